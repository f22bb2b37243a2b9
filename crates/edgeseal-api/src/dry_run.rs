//! `DryRun=true`: a call is checked like any other, and changes nothing.
//!
//! A dry run that passes is recorded nowhere, like a read. One that is refused is logged and audited
//! like any refusal, and marked: nobody tried to make that change.

use crate::{
    actions::{Action, table::EDGESEAL},
    error::api_error,
    request::ParamMap,
    sanitize::sanitize,
};

/// The name of the parameter.
pub(crate) const PARAM: &str = "DryRun";

/// What the audit log notes of a refused dry run.
pub(crate) const AUDIT_NOTE: &str = "dry run: it would have changed nothing";

/// `DryRun` is neither true nor false.
#[derive(Debug, thiserror::Error)]
#[error("DryRun is {given:?}; use true or false")]
pub struct InvalidDryRun {
    given: String,
}

/// A dry run of an action that has none.
#[derive(Debug, thiserror::Error)]
#[error("{action} has no dry run, and would do what it does; leave DryRun out")]
pub(crate) struct NoDryRun {
    action: &'static str,
}

/// Whether the call is a dry run; not if the value is invalid.
pub(crate) fn is_requested(action: &Action, params: &ParamMap) -> bool {
    action.has_dry_run && parse(params).unwrap_or(false)
}

/// Reads `DryRun`; absent or empty is false.
///
/// # Errors
/// [`InvalidDryRun`].
pub(crate) fn parse(params: &ParamMap) -> Result<bool, InvalidDryRun> {
    let flag = params.flag(PARAM);
    flag.map_err(|given| InvalidDryRun {
        given: sanitize(given),
    })
}

/// Refuses a dry run of an action that would ignore it. Only of Edgeseal's own: the cloud's ignore
/// parameters that they do not know.
///
/// # Errors
/// [`NoDryRun`].
pub(crate) fn check_supported(action: &Action, params: &ParamMap) -> Result<(), NoDryRun> {
    let ignores =
        !action.has_dry_run && action.version == EDGESEAL && !matches!(parse(params), Ok(false));
    match ignores {
        true => Err(NoDryRun {
            action: action.name,
        }),
        false => Ok(()),
    }
}

api_error!(NoDryRun => ParameterFormat);

#[cfg(test)]
mod tests;
