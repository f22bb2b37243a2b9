//! Shared by the actions on the replacement of many certificates: the planner, the response and
//! the errors.

use std::sync::Arc;

use edgeseal_core::{
    Timestamp,
    acme::reissue::{Reissue, ReissueScope},
};
use edgeseal_store::{
    Fault,
    catalog::{ChangeError, Draft},
};
use serde::Serialize;

use crate::{
    context::Context,
    dry_run::InvalidDryRun,
    error::{StoreError, api_error},
    reissue_planner::{Outlook, ReissuePlanner},
};

/// The state of a replacement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// `Planned`, `Running`, `Stopped` or `Finished`.
    state: &'static str,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_from: Option<String>,
    requested: String,
    deadline: String,
    total: u64,
    replaced: u64,
    left: u64,
    failing: u64,
    percent: u64,
    /// When it will be done at the pace so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_at_this_pace: Option<String>,
    forecast: ForecastReply,
}

/// When the rest would be issued under the limits of the issuers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ForecastReply {
    seconds: i64,
    finished: String,
    /// Certificates that would come after the deadline.
    late: usize,
    /// Certificates that no issuer would take within a year.
    never: usize,
    issuers: Vec<Share>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Share {
    issuer: String,
    certificates: usize,
    finished: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not one of the scopes.
    #[error(
        "Scope is {given:?}; use All, Revoked, or Issuer together with the parameter Issuer, the \
         issuer's name in the configuration"
    )]
    Scope {
        /// The value given.
        given: String,
    },
    /// Not a time in the future.
    #[error("EndTime is {given:?}; it must be a future time in UTC such as 2026-01-02T03:04:05Z")]
    End {
        /// The value given.
        given: String,
    },
    /// `DryRun` is neither true nor false.
    #[error(transparent)]
    DryRun(#[from] InvalidDryRun),
    /// Not an issuer: leaving it out would change nothing.
    #[error("NotFrom is {given:?}; the issuers are {}", issuers.join(", "))]
    NotFrom {
        /// The value given.
        given: String,
        /// The names of the issuers.
        issuers: Vec<String>,
    },
    /// Nothing is ordered here.
    #[error(
        "no issuer is configured: nothing is ordered, so nothing can be replaced; see [[acme]]"
    )]
    NoIssuer,
    /// Another one is not done.
    #[error(
        "the replacement that was asked for at {since} runs, with {left} certificates left; stop \
         it first"
    )]
    Running {
        /// When it was asked for.
        since: Timestamp,
        /// What is left of it.
        left: u64,
    },
    /// There was none.
    #[error("no replacement of certificates was asked for; start one with edgeseal cert reissue")]
    None,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The component that orders certificates.
pub(super) fn planner(context: &Context) -> Result<&Arc<dyn ReissuePlanner>, Error> {
    context.reissue_planner.as_ref().ok_or(Error::NoIssuer)
}

/// What would become of a replacement.
pub(super) async fn outlook(
    planner: &Arc<dyn ReissuePlanner>,
    reissue: &Reissue,
) -> Result<Outlook, Error> {
    let ended = || StoreError::Fault(Fault::new("ask what is ordered: this process ends"));
    let outlook = planner.outlook(reissue.clone()).await;
    Ok(outlook.ok_or_else(ended)?)
}

/// The replacement that was asked for last.
pub(super) async fn last(draft: &mut Draft) -> Result<Reissue, ChangeError<Error>> {
    let found = draft.reissue().await?;
    found.ok_or(ChangeError::Refused(Error::None))
}

/// How a replacement is described in the audit log.
pub(super) fn described(reissue: &Reissue) -> String {
    let of = match &reissue.scope {
        ReissueScope::All => "all".to_owned(),
        ReissueScope::Revoked => "revoked".to_owned(),
        ReissueScope::Issuer(name) => format!("issuer {name}"),
    };
    let (total, deadline) = (reissue.total, reissue.deadline);
    format!("{of}: {total} certificates by {deadline}")
}

impl Reply {
    pub(super) fn of(
        reissue: Reissue,
        outlook: Outlook,
        issuers: &[String],
        is_planned: bool,
        now: Timestamp,
    ) -> Self {
        let progress = reissue.progress(outlook.left, now);
        let state = match (is_planned, outlook.left, reissue.stopped_at) {
            (true, ..) => "Planned",
            (_, 0, _) => "Finished",
            (_, _, Some(_)) => "Stopped",
            _ => "Running",
        };
        let forecast = &outlook.forecast;
        let shares = forecast.issuers.iter().zip(issuers);
        let shares = shares.filter(|(share, _)| share.domains > 0);
        let shares = shares.map(|(share, issuer)| Share {
            issuer: issuer.clone(),
            certificates: share.domains,
            finished: share.finished_at.to_string(),
        });
        let (scope, issuer) = match reissue.scope {
            ReissueScope::All => ("All", None),
            ReissueScope::Revoked => ("Revoked", None),
            ReissueScope::Issuer(name) => ("Issuer", Some(name)),
        };
        Self {
            state,
            scope,
            issuer,
            not_from: reissue.not_from,
            requested: reissue.requested_at.to_string(),
            deadline: reissue.deadline.to_string(),
            total: reissue.total,
            replaced: progress.done,
            left: outlook.left,
            failing: outlook.failing,
            percent: progress.percent,
            finish_at_this_pace: progress.finished_at.map(|at| at.to_string()),
            forecast: ForecastReply {
                seconds: forecast.finished_at.since_ms(now).max(0) / 1000,
                finished: forecast.finished_at.to_string(),
                late: forecast.late,
                never: forecast.never,
                issuers: shares.collect(),
            },
        }
    }
}

api_error!(Error {
    Scope => InvalidReissueScope,
    End => InvalidEndTime,
    DryRun | NotFrom => ParameterFormat,
    NoIssuer => IssuerNotConfigured,
    Running => ReissueInProgress,
    None => ReissueNotFound,
    Store(StoreError),
});

#[cfg(test)]
mod tests;
