//! Errors of authentication.

use edgeseal_core::Timestamp;

use super::SIGNED_HEADERS_MAX;
use crate::{
    canonical::V3_ALGORITHM,
    code::Code,
    error::{ApiError, StoreError},
};

/// Why the caller is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// A common parameter is absent or empty; the code names it.
    #[error("{}", .0.spec().message)]
    MissingParam(Code),
    /// A signature method or type that is not supported.
    #[error("use HMAC-SHA1 (SignatureVersion 1.0) or {V3_ALGORITHM}; {given:?} is not supported")]
    SignatureMethod {
        /// The value given.
        given: String,
    },
    /// A bearer token instead of a signature.
    #[error(
        "bearer tokens are not accepted: they are the cloud's own and cannot be verified here; get a temporary key from STS, with AssumeRole or, from a token of your identity provider, with AssumeRoleWithOIDC"
    )]
    BearerToken,
    /// Not `1.0`.
    #[error("SignatureVersion must be 1.0")]
    SignatureVersion,
    /// A malformed `Authorization` header.
    #[error(
        "the Authorization header must read {V3_ALGORITHM} Credential=…,SignedHeaders=…,Signature=…"
    )]
    MalformedAuthorization,
    /// More signed headers than a request can have, or a duplicate. The string to sign repeats
    /// each, so a long list would amplify the work.
    #[error("SignedHeaders names at most {SIGNED_HEADERS_MAX} headers, each once")]
    SignedHeaders,
    /// A header that must be signed is not signed.
    #[error("the header {name} must be present and listed in SignedHeaders")]
    UnsignedHeader {
        /// The header.
        name: &'static str,
    },
    /// A signed header that occurs more than once.
    #[error("the signed header {name} occurs more than once")]
    RepeatedHeader {
        /// The header.
        name: String,
    },
    /// A nonce with a comma.
    #[error("x-acs-signature-nonce must not contain a comma")]
    NonceFormat,
    /// A common parameter that exceeds its limit.
    #[error("{name} has {bytes} bytes; at most {max} are accepted")]
    TooLong {
        /// The parameter.
        name: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not `yyyy-MM-ddTHH:mm:ssZ`.
    #[error("the timestamp must have the form yyyy-MM-ddTHH:mm:ssZ, in UTC")]
    TimestampFormat,
    /// Outside the clock window.
    #[error(
        "the request is dated {given}, the server's clock shows {now}; they may differ by at most 15 minutes"
    )]
    TimestampExpired {
        /// The request's time.
        given: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// Too many failures from this address.
    #[error("too many failed authentications from your address; wait {retry_after_ms} ms")]
    Throttled {
        /// Milliseconds to wait.
        retry_after_ms: u64,
    },
    /// No such key.
    #[error("there is no such access key here; keys of the cloud itself do not work on Edgeseal")]
    UnknownKey,
    /// The key is disabled.
    #[error("the access key is disabled; enable it with UpdateAccessKey")]
    InactiveKey,
    /// A temporary key with a token that was not issued here.
    #[error("this security token was not issued by this Edgeseal")]
    TokenMalformed,
    /// A token of another key, or of a key that has none.
    #[error(
        "this security token belongs to another access key; the key of an account or a user is sent without one"
    )]
    TokenMismatch,
    /// A token whose session has expired.
    #[error("the session expired at {ended}; assume the role again")]
    TokenExpired {
        /// When it expired.
        ended: Timestamp,
    },
    /// A token of a deleted role.
    #[error("the role {role} of this session was deleted")]
    RoleDeleted {
        /// The role.
        role: String,
    },
    /// The signature differs.
    #[error(
        "check the secret, and that no proxy changes the request: compare the string to sign with yours"
    )]
    SignatureMismatch {
        /// The string that the server signed: the caller's own data, sent to the caller only.
        string_to_sign: Redacted,
    },
    /// The nonce was used before.
    #[error("each call needs a nonce of its own; sign a retry with a new one")]
    NonceUsed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Text for the response, never for the log.
pub struct Redacted(pub String);

impl Unauthenticated {
    /// Whether the error counts against the source address: the caller may be guessing, or is
    /// making the server look up keys, unseal secrets and write audit records for an account that
    /// it does not own.
    pub(super) const fn is_auth_failure(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey
                | Self::InactiveKey
                | Self::TokenMalformed
                | Self::TokenMismatch
                | Self::TokenExpired { .. }
                | Self::RoleDeleted { .. }
                | Self::SignatureMismatch { .. }
                | Self::NonceUsed
        )
    }
}

impl ApiError for Unauthenticated {
    fn code(&self) -> Code {
        match self {
            Self::MissingParam(code) => *code,
            Self::SignatureMethod { .. } | Self::BearerToken => Code::InvalidSignatureMethod,
            Self::SignatureVersion => Code::InvalidSignatureVersion,
            Self::MalformedAuthorization
            | Self::SignedHeaders
            | Self::UnsignedHeader { .. }
            | Self::RepeatedHeader { .. } => Code::IncompleteSignature,
            Self::NonceFormat | Self::TooLong { .. } => Code::ParameterFormat,
            Self::TimestampFormat => Code::TimestampFormat,
            Self::TimestampExpired { .. } => Code::TimestampExpired,
            Self::Throttled { .. } => Code::Throttling,
            Self::UnknownKey => Code::AccessKeyNotFound,
            Self::InactiveKey => Code::AccessKeyInactive,
            Self::TokenMalformed => Code::SecurityTokenMalformed,
            Self::TokenMismatch => Code::SecurityTokenMismatch,
            Self::TokenExpired { .. } | Self::RoleDeleted { .. } => Code::SecurityTokenExpired,
            Self::SignatureMismatch { .. } => Code::SignatureDoesNotMatch,
            Self::NonceUsed => Code::NonceUsed,
            Self::Store(error) => error.code(),
        }
    }

    fn message(&self) -> String {
        let message = self.code().spec().message;
        match self {
            Self::SignatureMismatch {
                string_to_sign: Redacted(text),
            } => message.replace("{string_to_sign}", text),
            _ => message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::MissingParam(_) => None,
            Self::Store(error) => error.detail(),
            other => Some(other.to_string()),
        }
    }

    fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Throttled { retry_after_ms } => Some(*retry_after_ms),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}
