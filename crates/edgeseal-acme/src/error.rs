//! What went wrong with an order, told apart by what to do about it.

use std::time::{Duration, Instant};

use edgeseal_core::{Timestamp, domain::CertificateLocked, quota::OverQuota};
use edgeseal_store::Fault;
use http::StatusCode;
use instant_acme::{Error, Problem};

use crate::{
    http_client::{ErrorResponse, NoResponse},
    preflight::Obstacle,
};

/// Prefix of the problem types of RFC 8555 §6.7.
const ACME_ERROR: &str = "urn:ietf:params:acme:error:";
/// The authority wants the same request with another nonce (RFC 8555 §6.5).
pub(crate) const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";
/// A part of the protocol that the authority does not have; not a type of RFC 8555.
pub(crate) const UNSUPPORTED: &str = "unsupported";
/// Longest text from an authority that is shown, in characters.
const TEXT_MAX: usize = 400;
/// Longest reason of a failure, in characters: such a text, and what it is about.
pub(crate) const REASON_MAX: usize = 600;

/// Why a step of an order was not done.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The authority limits us, or is down: to be asked again later, or another one instead.
    #[error("{reason}")]
    Paused {
        /// Why.
        reason: String,
        /// Whether it limits us, and is not down.
        limited: bool,
        /// When the authority says that it may be asked again.
        retry_at: Option<Timestamp>,
        /// The status of its response, if there was one.
        status: Option<StatusCode>,
    },
    /// The authority refuses.
    #[error("{reason}")]
    Refused {
        /// The type of the problem without its prefix, as in `rejectedIdentifier`; empty if the
        /// authority gave none.
        kind: String,
        /// Why.
        reason: String,
    },
    /// Something on this side is missing: a setting, or another kind of challenge.
    #[error("{0}")]
    Unable(String),
    /// The authority would find something missing: it was not asked.
    #[error(transparent)]
    NotReady(#[from] Obstacle),
    /// The authority has not decided yet: to be looked at again soon.
    #[error("the authority has not decided yet")]
    Undecided {
        /// How long it wants not to be asked.
        retry_after: Option<Duration>,
    },
    /// The account has no room for another certificate.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// The certificate of the domain must not be changed now.
    #[error(transparent)]
    Locked(#[from] CertificateLocked),
    /// The domain was deleted, or its certificate is not managed any more: the order ends.
    #[error("the order was stopped")]
    Stopped,
    /// The program ends, or the lease was lost; the order goes on later, perhaps at another process.
    #[error("the program ends or has lost the lease")]
    Interrupted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Fault),
}

impl OrderError {
    /// Whether the authority gave a problem of this type (RFC 8555 §6.7, without the prefix).
    pub(crate) fn is_kind(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == wanted)
    }

    /// As the answer about an order that was placed before: what is not there is lost, and nothing to
    /// wait for.
    pub(crate) fn of_placed_order(self) -> Self {
        match self {
            Self::Paused {
                status: Some(StatusCode::NOT_FOUND | StatusCode::GONE),
                reason,
                ..
            } => Self::refused(format!("the order is gone: {reason}")),
            other => other,
        }
    }

    /// What the authority wants is refused here.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused {
            kind: String::new(),
            reason: reason.into(),
        }
    }

    /// The authority is down, or as good as that.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Paused {
            reason: reason.into(),
            limited: false,
            retry_at: None,
            status: None,
        }
    }

    fn of_problem(problem: &Problem) -> Self {
        Self::Refused {
            kind: kind(problem).to_owned(),
            reason: describe(problem),
        }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::of_problem(&problem),
            Error::Other(cause) => match cause.downcast::<ErrorResponse>() {
                Ok(response) => response.into_error(),
                // The library looks whether the authority repeats what the order replaces, as RFC 9773
                // §5 demands, and has no type for it.
                Err(cause) if cause.to_string().starts_with("replaces field mismatch") => {
                    Self::Refused {
                        kind: UNSUPPORTED.to_owned(),
                        reason: "the authority does not confirm what an order replaces".to_owned(),
                    }
                }
                Err(cause) => unavailable(&*cause),
            },
            Error::Timeout(next) => Self::Undecided {
                retry_after: next.map(|next| next.saturating_duration_since(Instant::now())),
            },
            Error::Unsupported(what) => Self::Refused {
                kind: UNSUPPORTED.to_owned(),
                reason: format!("the authority does not support {what}"),
            },
            other => {
                let what = printable(&other.to_string());
                Self::unavailable(format!("its response was not understood: {what}"))
            }
        }
    }
}

impl ErrorResponse {
    fn into_error(self) -> OrderError {
        let limited = self.status == StatusCode::TOO_MANY_REQUESTS
            || self
                .problem
                .as_ref()
                .is_some_and(|it| kind(it) == "rateLimited");
        if !limited
            && !self.status.is_server_error()
            && let Some(problem) = &self.problem
        {
            return OrderError::of_problem(problem);
        }
        let said = self.problem.as_ref().map(describe);
        let status = self.status.as_u16();
        let reason = match (limited, said) {
            (true, Some(said)) => format!("it limits the rate: {said}"),
            (true, None) => "it limits the rate".to_owned(),
            (false, Some(said)) => format!("it answers with status {status}: {said}"),
            (false, None) => format!("it answers with status {status}"),
        };
        OrderError::Paused {
            reason,
            limited,
            retry_at: self.retry_at,
            status: Some(self.status),
        }
    }
}

fn unavailable(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> OrderError {
    let reason = match cause.downcast_ref::<NoResponse>() {
        Some(NoResponse::Connect(error)) => {
            let mut innermost: &dyn std::error::Error = error;
            while let Some(source) = innermost.source() {
                innermost = source;
            }
            format!(
                "it cannot be reached: {}",
                printable(&innermost.to_string())
            )
        }
        _ => printable(&cause.to_string()),
    };
    OrderError::unavailable(reason)
}

fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(ACME_ERROR).unwrap_or(kind)
}

/// A problem document as one sentence, safe to show.
pub(crate) fn describe(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    let details = problem.subproblems.iter();
    for detail in details.filter_map(|sub| sub.detail.as_deref()) {
        text.push_str("; ");
        text.push_str(detail);
    }
    match kind(problem) {
        "" => printable(&text),
        kind => format!("{} ({})", printable(&text), printable(kind)),
    }
}

/// A text from an authority: bounded, on one line.
pub(crate) fn printable(text: &str) -> String {
    bounded(text, TEXT_MAX)
}

/// At most so many characters of a text, on one line.
pub(crate) fn bounded(text: &str, max: usize) -> String {
    let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(max).map(on_one_line).collect()
}
