//! `DryRun=true`: a call is checked like any other, and changes nothing.
//!
//! A dry run is recorded nowhere, like a read. Neither are its refusals: the audit log would show
//! failed changes that nobody tried to make. Denied permissions are recorded all the same.

use std::{error::Error, fmt};

use crate::{code::Code, error::ApiError, request::ParamMap, sanitize::sanitize};

/// The name of the parameter.
const PARAM: &str = "DryRun";

/// `DryRun` is neither true nor false.
#[derive(Debug, thiserror::Error)]
#[error("DryRun is {given:?}; use true or false")]
pub struct InvalidDryRun {
    given: String,
}

/// Whether the call asks for a dry run; `false` also if the value is invalid.
pub(crate) fn is_requested(params: &ParamMap) -> bool {
    parse(params).unwrap_or(false)
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

/// The refusal of a dry run.
#[derive(Debug)]
pub(crate) struct DryRunRefused<E>(pub(crate) E);

impl<E: ApiError> fmt::Display for DryRunRefused<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<E: ApiError + 'static> Error for DryRunRefused<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl<E: ApiError + 'static> ApiError for DryRunRefused<E> {
    fn code(&self) -> Code {
        self.0.code()
    }

    fn inner(&self) -> Option<&dyn ApiError> {
        Some(&self.0)
    }

    fn should_audit(&self) -> bool {
        self.0.access_denied().is_some() && self.0.should_audit()
    }
}
