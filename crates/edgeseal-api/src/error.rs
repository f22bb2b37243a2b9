//! Errors of calls: what each says on the wire, and the errors that all operations share.

use std::error::Error;

use edgeseal_store::{Fault, catalog::ChangeError};
use serde::{Deserialize, Serialize};

use crate::code::Code;

/// An error that maps to a wire code.
pub trait ApiError: Error + Send + Sync {
    /// The code.
    fn code(&self) -> Code;

    /// The code on the wire, for a code that is a template.
    fn wire_code(&self) -> String {
        self.code().spec().wire_code.to_owned()
    }

    /// The message, for a code whose message is a template.
    fn message(&self) -> String {
        self.code().spec().message.to_owned()
    }

    /// One plain sentence that says what is wrong and where. Never key material.
    fn detail(&self) -> Option<String> {
        None
    }

    /// The denied permission, for a response that reports one.
    fn access_denied(&self) -> Option<AccessDenied> {
        None
    }

    /// Milliseconds after which a retry may succeed.
    fn retry_after_ms(&self) -> Option<u64> {
        None
    }

    /// Whether the error is written to the audit log. Repeated refusals of one kind are written
    /// once.
    fn should_audit(&self) -> bool {
        true
    }
}

/// `AccessDeniedDetail`: the permission that the caller lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessDenied {
    /// The action that was denied.
    pub auth_action: String,
    /// The kind of the denied principal.
    pub auth_principal_type: String,
    /// Its account.
    pub auth_principal_owner_id: String,
    /// Its name.
    pub auth_principal_display_name: String,
    /// The kind of the policy that decided.
    pub policy_type: String,
    /// `ImplicitDeny` or `ExplicitDeny`.
    pub no_permission_type: String,
    /// The reason, sealed: `DecodeDiagnosticMessage` opens it for callers with that permission.
    pub encoded_diagnostic_message: String,
}

/// The errors of an operation on the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store failed.
    #[error("the store failed")]
    Fault(#[from] Fault),
    /// Conflicting changes kept winning.
    #[error("conflicting changes kept winning; try again")]
    Contended,
    /// The nonce was used before, perhaps at another node.
    #[error("a call with this nonce has changed something before")]
    NonceUsed,
}

impl ApiError for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Fault(_) => Code::ServiceUnavailable,
            Self::Contended => Code::ServiceBusy,
            Self::NonceUsed => Code::NonceUsed,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            // The cause is logged and never sent.
            Self::Fault(_) => Some(
                "the store failed; nothing was changed unless a later read shows it".to_owned(),
            ),
            Self::Contended | Self::NonceUsed => Some(self.to_string()),
        }
    }
}

/// Codes that every operation may return: those of [`StoreError`], and the code of a missing
/// permission, which an operation finds once it knows what it acts on.
pub const STORE_ERROR_CODES: &[Code] = &[
    Code::ServiceUnavailable,
    Code::ServiceBusy,
    Code::NonceUsed,
    Code::NoPermission,
];

/// Converts a failed change into the operation's own error or a [`StoreError`].
pub fn from_change_error<R, E: From<R> + From<StoreError>>(error: ChangeError<R>) -> E {
    match error {
        ChangeError::Refused(refusal) => refusal.into(),
        ChangeError::NonceUsed => StoreError::NonceUsed.into(),
        ChangeError::Contended => StoreError::Contended.into(),
        ChangeError::Fault(fault) => StoreError::Fault(fault).into(),
    }
}

/// An error with its chain of sources, for the log.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
