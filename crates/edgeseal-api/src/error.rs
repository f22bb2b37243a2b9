//! Errors of calls: their form on the wire, and the errors that all operations share.

use std::error::Error;

use edgeseal_store::{Fault, catalog::ChangeError};
use serde::{Deserialize, Serialize};

use crate::code::Code;

/// An error that maps to a wire code. `api_error!` implements it from one line per variant.
pub trait ApiError: Error + Send + Sync {
    /// The code.
    fn code(&self) -> Code;

    /// Every code that an error of this type can have, for the comparison of operations with
    /// `spec/errors.tsv`; errors that no operation returns need no list.
    #[must_use]
    fn codes() -> Vec<Code>
    where
        Self: Sized,
    {
        Vec::new()
    }

    /// The error that this one wraps, if it adds nothing. All methods below then return what the
    /// wrapped error returns.
    fn inner(&self) -> Option<&dyn ApiError> {
        None
    }

    /// The code on the wire, for a code with a placeholder.
    fn wire_code(&self) -> String {
        self.inner().map_or_else(
            || self.code().spec().wire_code.to_owned(),
            |inner| inner.wire_code(),
        )
    }

    /// The message, for a code whose message has a placeholder.
    fn message(&self) -> String {
        self.inner().map_or_else(
            || self.code().spec().message.to_owned(),
            |inner| inner.message(),
        )
    }

    /// One plain sentence that says what is wrong and where. Never key material.
    fn detail(&self) -> Option<String> {
        self.inner()
            .map_or_else(|| Some(self.to_string()), |inner| inner.detail())
    }

    /// The denied permission, for a response that reports one.
    fn access_denied(&self) -> Option<AccessDenied> {
        self.inner().and_then(|inner| inner.access_denied())
    }

    /// Milliseconds after which a retry may succeed.
    fn retry_after_ms(&self) -> Option<u64> {
        self.inner().and_then(|inner| inner.retry_after_ms())
    }

    /// Whether the error is written to the audit log. Repeated refusals of one kind are written
    /// once.
    fn should_audit(&self) -> bool {
        self.inner().is_none_or(|inner| inner.should_audit())
    }

    /// Whether an unsigned call may have failed because its credential was guessed: such errors
    /// count against the source address.
    fn is_auth_failure(&self) -> bool {
        self.inner().is_some_and(|inner| inner.is_auth_failure())
    }
}

/// Implements [`ApiError`] for an error with one code, `api_error!(TYPE => CODE)`, or for an enum:
///
/// ```ignore
/// api_error!(Error {
///     NoName => MissingName,                            // the code of a variant
///     Kind { given } if given.is_empty() => MissingKind, // of a variant with certain values
///     Kind => InvalidKind,
///     Store(StoreError),                                // the wrapped error has the code
///     Set(Cause::Domain(error)) => error: DomainError,  // so does a nested one
/// });
/// ```
///
/// The first row that matches decides, as in a `match`. Methods after the braces replace the
/// default ones.
macro_rules! api_error {
    ($error:ty => $code:ident) => {
        impl $crate::error::ApiError for $error {
            fn code(&self) -> $crate::code::Code {
                $crate::code::Code::$code
            }

            fn codes() -> Vec<$crate::code::Code> {
                vec![$crate::code::Code::$code]
            }
        }
    };
    ($error:ty { $($rows:tt)+ } $($methods:tt)*) => {
        impl $crate::error::ApiError for $error {
            $crate::error::api_error!(@rows [] [] [] $($rows)+);
            $($methods)*
        }
    };
    // Collects the arms of `code`, those of `inner`, and lists of codes, row by row.
    (@rows [$($code:tt)*] [$($inner:tt)*] [$($codes:tt)*]) => {
        fn code(&self) -> $crate::code::Code {
            match self { $($code)* }
        }

        fn codes() -> Vec<$crate::code::Code> {
            [$($codes)*].concat()
        }

        fn inner(&self) -> Option<&dyn $crate::error::ApiError> {
            match self { $($inner)* }
        }
    };
    (@rows $code:tt $inner:tt $codes:tt $variant:ident($($type:tt)+), $($rest:tt)*) => {
        $crate::error::api_error!(
            @rows $code $inner $codes $variant(error) => error: $($type)+, $($rest)*
        );
    };
    (
        @rows [$($code:tt)*] [$($inner:tt)*] [$($codes:tt)*]
        $variant:ident($($fields:tt)+) => $error:ident: $type:ty, $($rest:tt)*
    ) => {
        $crate::error::api_error!(
            @rows
            [$($code)* Self::$variant($($fields)+) => $crate::error::ApiError::code($error),]
            [$($inner)* Self::$variant($($fields)+) => Some($error),]
            [$($codes)* <$type as $crate::error::ApiError>::codes(),]
            $($rest)*
        );
    };
    (@rows $code:tt $inner:tt $codes:tt $($variant:ident)|+ => $row:ident, $($rest:tt)*) => {
        $crate::error::api_error!(
            @row $code $inner $codes [$(Self::$variant { .. })|+] $row $($rest)*
        );
    };
    (
        @rows $code:tt $inner:tt $codes:tt
        $variant:ident($($fields:tt)+) $(if $guard:expr)? => $row:ident, $($rest:tt)*
    ) => {
        $crate::error::api_error!(
            @row $code $inner $codes [Self::$variant($($fields)+) $(if $guard)?] $row $($rest)*
        );
    };
    (
        @rows $code:tt $inner:tt $codes:tt
        $variant:ident { $($fields:tt)+ } $(if $guard:expr)? => $row:ident, $($rest:tt)*
    ) => {
        $crate::error::api_error!(
            @row $code $inner $codes [Self::$variant { $($fields)+ } $(if $guard)?] $row $($rest)*
        );
    };
    (
        @row [$($code:tt)*] [$($inner:tt)*] [$($codes:tt)*] [$($pattern:tt)+]
        $row:ident $($rest:tt)*
    ) => {
        $crate::error::api_error!(
            @rows
            [$($code)* $($pattern)+ => $crate::code::Code::$row,]
            [$($inner)* $($pattern)+ => None,]
            [$($codes)* vec![$crate::code::Code::$row],]
            $($rest)*
        );
    };
}
pub(crate) use api_error;

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
    #[error("an earlier call with this nonce has already made a change")]
    NonceUsed,
}

api_error!(StoreError {
    Fault => ServiceUnavailable,
    Contended => ServiceBusy,
    NonceUsed => NonceUsed,
}
// The cause is logged and never sent.
fn detail(&self) -> Option<String> {
    Some(match self {
        Self::Fault(fault) => match fault.read_only() {
            Some(read_only) => format!("the {read_only}; nothing was changed"),
            None => "the store failed; nothing was changed unless a later read shows it".to_owned(),
        },
        Self::Contended | Self::NonceUsed => self.to_string(),
    })
});

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
