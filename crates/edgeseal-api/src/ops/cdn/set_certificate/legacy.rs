//! Error codes of the legacy operations for the same causes.

use edgeseal_core::{certificate::InvalidCertificate, domain::CertificateLocked};

use super::error::Error;
use crate::{
    code::Code,
    error::{AccessDenied, ApiError},
    ops::{
        cdn::{domain_list_error::DomainListError, domain_lookup::DomainError},
        quota,
    },
};

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// The domain list is invalid.
    #[error(transparent)]
    Domains(#[from] DomainListError),
    /// Any other cause.
    #[error(transparent)]
    Set(#[from] Error),
}

impl From<DomainError> for LegacyError {
    fn from(error: DomainError) -> Self {
        Self::Set(error.into())
    }
}

macro_rules! codes {
    ($($own:ident)*) => {
        &[
            $(Code::$own,)*
            Code::MissingDomainName,
            Code::DomainNameMalformed,
            Code::DomainNotFound,
            Code::DomainOffline,
            Code::LegacyChainMissing,
            Code::LegacyKeyMissing,
            Code::LegacyInvalidCertificate,
            Code::LegacyInvalidPrivateKey,
            Code::LegacyMismatch,
            Code::LegacyTooLong,
            Code::LegacyCertNameTooLong,
            Code::LegacyParameter,
            Code::LegacyStatus,
            Code::LegacyNotFound,
            Code::LegacyDuplicated,
            Code::LegacyFormat,
            Code::LegacyKeyNull,
            Code::LegacyKeyMalformed,
            Code::LegacyStorageFailed,
            Code::LegacyContentDuplicated,
            Code::LegacyExpired,
            Code::LegacyNotOnline,
            Code::LegacyDecodeError,
            Code::LegacySslPubEncoding,
            Code::LegacySslPriEncoding,
            Code::LegacySafeMode,
            Code::LegacyProtectedMode,
            Code::TooManyCertificates,
        ]
    };
}

/// Codes of the operation for one domain.
pub(in crate::ops::cdn) const SINGLE_CODES: &[Code] = codes![LegacyInvalidSwitch];

/// Codes of the operation for many domains.
pub(in crate::ops::cdn) const BATCH_CODES: &[Code] = codes![DomainNameOverLimit MissingSslProtocol];

impl ApiError for LegacyError {
    fn code(&self) -> Code {
        match self {
            Self::Domains(error) => error.code(),
            Self::Set(error) => code_of(error),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Set(Error::Unauthorized(error)) => error.message(),
            other => other.code().spec().message.to_owned(),
        }
    }

    fn access_denied(&self) -> Option<AccessDenied> {
        match self {
            Self::Domains(_) => None,
            Self::Set(error) => error.access_denied(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domains(error) => error.detail(),
            Self::Set(error) => error.detail(),
        }
    }
}

const SINGLE_SWITCH: &str = "ServerCertificateStatus";

fn code_of(error: &Error) -> Code {
    match error {
        Error::Domain(error) => error.code(),
        Error::MissingSwitch { param } | Error::Switch { param, .. } if *param == SINGLE_SWITCH => {
            Code::LegacyInvalidSwitch
        }
        Error::MissingSwitch { .. } => Code::MissingSslProtocol,
        Error::Held(held) => held_code(*held),
        Error::NameTooLong { .. } => Code::LegacyCertNameTooLong,
        Error::Switch { .. }
        | Error::Environment { .. }
        | Error::Companion { .. }
        | Error::NoCompanion { .. }
        | Error::NameControl
        | Error::Kind { .. }
        | Error::Free
        | Error::Id { .. }
        | Error::Region { .. }
        | Error::NoReference => Code::LegacyParameter,
        Error::NoCertificate { .. } => Code::LegacyNotFound,
        Error::Revoked { .. } | Error::NotYetValid { .. } => Code::LegacyStatus,
        Error::StoredWithoutKey { .. } => Code::LegacyKeyNull,
        Error::StoredExpired { .. } => Code::LegacyExpired,
        Error::NoKey { .. } => Code::LegacyKeyMissing,
        Error::NoChain { .. } => Code::LegacyChainMissing,
        Error::Certificate(error) => certificate_code(error),
        Error::NotCovered { .. } => Code::LegacyMismatch,
        Error::NameTaken { .. } | Error::NameInUse { .. } | Error::NameInCentre { .. } => {
            Code::LegacyDuplicated
        }
        Error::ContentTaken { .. } => Code::LegacyContentDuplicated,
        Error::Quota(over) => quota::code(over.kind),
        Error::NotStored(_) | Error::NotSwitchedOff(_) => Code::LegacyStorageFailed,
        Error::Contended => Code::ServiceBusy,
        Error::Unauthorized(error) => error.code(),
        Error::Store(error) => error.code(),
    }
}

const fn held_code(held: CertificateLocked) -> Code {
    match held {
        CertificateLocked::Protected => Code::LegacyProtectedMode,
        CertificateLocked::Safe => Code::LegacySafeMode,
        CertificateLocked::Stopped => Code::DomainOffline,
        CertificateLocked::NotOnline { .. } => Code::LegacyNotOnline,
    }
}

const fn certificate_code(error: &InvalidCertificate) -> Code {
    match error {
        InvalidCertificate::BlankKey => Code::LegacyKeyNull,
        InvalidCertificate::TooLong(_) => Code::LegacyTooLong,
        InvalidCertificate::ChainText(_) => Code::LegacySslPubEncoding,
        InvalidCertificate::KeyText(_) => Code::LegacySslPriEncoding,
        InvalidCertificate::Base64(_) => Code::LegacyDecodeError,
        InvalidCertificate::Chain(_) | InvalidCertificate::Untrusted(_) => {
            Code::LegacyInvalidCertificate
        }
        InvalidCertificate::Format(_) => Code::LegacyFormat,
        InvalidCertificate::KeyBlock(_) => Code::LegacyInvalidPrivateKey,
        InvalidCertificate::Key(_) => Code::LegacyKeyMalformed,
        InvalidCertificate::Mismatch { .. } => Code::LegacyMismatch,
        InvalidCertificate::Expired { .. } => Code::LegacyExpired,
        InvalidCertificate::NotYetValid { .. } => Code::LegacyStatus,
    }
}
