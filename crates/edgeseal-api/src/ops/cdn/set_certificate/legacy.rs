//! Error codes of the legacy operations for the same causes.

use edgeseal_core::{certificate::InvalidCertificate, domain::CertificateLocked, quota::OverQuota};

use super::error::Error;
use crate::{
    authorize::Unauthorized,
    error::{StoreError, api_error},
    ops::cdn::{domain_list_error::DomainListError, domain_lookup::DomainError},
};

/// Errors of the legacy actions of the CDN. One variant, so that `api_error!` applies.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// Any cause.
    #[error(transparent)]
    Set(#[from] Error),
}

/// Errors of the legacy actions of the DCDN. One variant, so that `api_error!` applies.
#[derive(Debug, thiserror::Error)]
pub enum LegacyDcdnError {
    /// Any cause.
    #[error(transparent)]
    Set(#[from] Error),
}

const SINGLE_SWITCH: &str = "ServerCertificateStatus";

api_error!(LegacyError {
    Set(Error::Domains(error)) => error: DomainListError,
    Set(Error::Domain(error)) => error: DomainError,
    Set(Error::MissingSwitch { param: SINGLE_SWITCH }) => LegacyInvalidSwitch,
    Set(Error::Switch { param: SINGLE_SWITCH, .. }) => LegacyInvalidSwitch,
    Set(Error::MissingSwitch { .. }) => MissingSslProtocol,
    Set(Error::Locked(CertificateLocked::Protected)) => LegacyProtectedMode,
    Set(Error::Locked(CertificateLocked::Safe)) => LegacySafeMode,
    Set(Error::Locked(CertificateLocked::Stopped)) => DomainOffline,
    Set(Error::Locked(CertificateLocked::NotOnline { .. })) => LegacyNotOnline,
    Set(Error::NameTooLong { .. }) => LegacyCertNameTooLong,
    Set(Error::NoCertificate { .. }) => LegacyNotFound,
    Set(Error::Revoked { .. } | Error::NotYetValid { .. }) => LegacyStatus,
    Set(Error::StoredWithoutKey { .. }) => LegacyKeyNull,
    Set(Error::StoredExpired { .. }) => LegacyExpired,
    Set(Error::NoKey { .. }) => LegacyKeyMissing,
    Set(Error::NoChain { .. }) => LegacyChainMissing,
    Set(Error::Certificate(InvalidCertificate::BlankKey)) => LegacyKeyNull,
    Set(Error::Certificate(InvalidCertificate::TooLong(_))) => LegacyTooLong,
    Set(Error::Certificate(InvalidCertificate::ChainText(_))) => LegacySslPubEncoding,
    Set(Error::Certificate(InvalidCertificate::KeyText(_))) => LegacySslPriEncoding,
    Set(Error::Certificate(InvalidCertificate::Base64(_))) => LegacyDecodeError,
    Set(Error::Certificate(InvalidCertificate::Chain(_))) => LegacyInvalidCertificate,
    Set(Error::Certificate(InvalidCertificate::Untrusted(_))) => LegacyInvalidCertificate,
    Set(Error::Certificate(InvalidCertificate::Format(_))) => LegacyFormat,
    Set(Error::Certificate(InvalidCertificate::KeyBlock(_))) => LegacyInvalidPrivateKey,
    Set(Error::Certificate(InvalidCertificate::Key(_))) => LegacyKeyMalformed,
    Set(Error::Certificate(InvalidCertificate::Mismatch { .. })) => LegacyMismatch,
    Set(Error::Certificate(InvalidCertificate::Expired { .. })) => LegacyExpired,
    Set(Error::Certificate(InvalidCertificate::NotYetValid { .. })) => LegacyStatus,
    Set(Error::NotCovered { .. }) => LegacyMismatch,
    Set(Error::NameTaken { .. } | Error::NameInUse { .. }) => LegacyDuplicated,
    Set(Error::NameInCas { .. }) => LegacyDuplicated,
    Set(Error::ContentTaken { .. }) => LegacyContentDuplicated,
    Set(Error::Quota(error)) => error: OverQuota,
    Set(Error::NotStored(_) | Error::NotSwitchedOff(_)) => LegacyStorageFailed,
    Set(Error::Contended) => ServiceBusy,
    Set(Error::Unauthorized(error)) => error: Unauthorized,
    Set(Error::Store(error)) => error: StoreError,
    Set(Error::Switch { .. } | Error::Environment { .. } | Error::Kind { .. }) => LegacyParameter,
    Set(Error::Companion { .. } | Error::NoCompanion { .. }) => LegacyParameter,
    Set(Error::NoIssuer | Error::NoDnsChallenge { .. }) => LegacyParameter,
    Set(Error::OrderedCompanion) => LegacyParameter,
    Set(Error::NameControl | Error::NoReference | Error::DryRun(_)) => LegacyParameter,
    Set(Error::Region { .. } | Error::Id { .. }) => LegacyParameter,
});

// The legacy page has one code for names that are taken, one for parameters, and one for domains
// that are not online; the other codes are the current ones.
api_error!(LegacyDcdnError {
    Set(Error::NameTaken { .. } | Error::NameInUse { .. }) => CertificateDuplicated,
    Set(Error::Region { .. } | Error::NoReference) => SetCertificateParameter,
    Set(Error::Locked(CertificateLocked::Stopped)) => DomainNotOnline,
    Set(Error::Contended) => ServiceBusy,
    Set(Error),
});
