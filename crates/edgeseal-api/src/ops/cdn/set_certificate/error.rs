//! Errors of setting a certificate: every documented code of `SetCdnDomainSSLCertificate` has its
//! cause here. The legacy operations map the same causes to other codes; see `legacy`.

use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::{CertificateId, InvalidCertificate},
    domain::{CertificateLocked, CompanionError},
    quota::OverQuota,
};
use edgeseal_store::{Fault, catalog::ChangeError};

use crate::{
    authorize::Unauthorized,
    dry_run::InvalidDryRun,
    error::{StoreError, api_error},
    ops::{
        cdn::{domain_list_error::DomainListError, domain_lookup::DomainError},
        quota,
    },
};

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The list of domains is invalid.
    #[error(transparent)]
    Domains(#[from] DomainListError),
    /// HTTPS is neither enabled nor disabled.
    #[error("set {param} to on or off to enable or disable HTTPS")]
    MissingSwitch {
        /// The parameter.
        param: &'static str,
    },
    /// Neither on nor off.
    #[error("{param} is {given:?}; use on or off")]
    Switch {
        /// The parameter.
        param: &'static str,
        /// The value given.
        given: String,
    },
    /// Not a valid `Env`.
    #[error("Env is {given:?}; use staging or production, a word of at most 64 characters")]
    Environment {
        /// The value given.
        given: String,
    },
    /// `DryRun` is neither true nor false.
    #[error(transparent)]
    DryRun(#[from] InvalidDryRun),
    /// Locked by mode or state.
    #[error(transparent)]
    Locked(#[from] CertificateLocked),
    /// Neither true nor false.
    #[error("Companion is {given:?}; use true or false")]
    Companion {
        /// The value given.
        given: String,
    },
    /// The certificate cannot be a companion of the bound one.
    #[error("{}: {reason}; {}", domain.to_san(), companion_advice(*reason))]
    NoCompanion {
        /// The domain.
        domain: DomainPattern,
        /// The cause.
        reason: CompanionError,
    },
    /// The name is too long.
    #[error("CertName has {characters} characters")]
    NameTooLong {
        /// Its length.
        characters: usize,
    },
    /// The name has control characters.
    #[error("CertName has control characters, perhaps a line break")]
    NameControl,
    /// No such certificate type.
    #[error("CertType is {given:?}; use upload, cas or free")]
    Kind {
        /// The value given.
        given: String,
    },
    /// No certificate can be ordered.
    #[error(
        "CertType is free, but there is no issuer to order from: the operator adds one as [[acme]] to the \
         configuration; or use upload or cas"
    )]
    NoIssuer,
    /// Certificates for wildcards cannot be ordered.
    #[error(
        "{}: CertType is free, and certificates for wildcards need the challenge dns-01: the operator \
         configures it in [acme_dns]; or use upload or cas", domain.to_san()
    )]
    NoDnsChallenge {
        /// The domain.
        domain: DomainPattern,
    },
    /// A companion was to be ordered.
    #[error(
        "Companion is true, but certificates with CertType=free get their companion by the operator's setting \
         (key = \"both\" in [[acme]])"
    )]
    OrderedCompanion,
    /// No such region.
    #[error("{param} is {given:?}; use cn-hangzhou or ap-southeast-1")]
    Region {
        /// The parameter.
        param: &'static str,
        /// The value given.
        given: String,
    },
    /// Not a certificate id.
    #[error("CertId is {given:?}; it must be a positive number")]
    Id {
        /// The value given.
        given: String,
    },
    /// Neither id nor name.
    #[error("CertType is cas: name the certificate in CertId or CertName")]
    NoReference,
    /// No such certificate.
    #[error("your account has no certificate {which}")]
    NoCertificate {
        /// How the call named it.
        which: String,
    },
    /// Revoked or disabled.
    #[error("certificate {id} is revoked or disabled")]
    Revoked {
        /// The certificate.
        id: CertificateId,
    },
    /// Not yet valid.
    #[error("certificate {id} is not valid before {not_before}")]
    NotYetValid {
        /// The certificate.
        id: CertificateId,
        /// Start of its validity.
        not_before: Timestamp,
    },
    /// Stored without a key.
    #[error("certificate {id} is stored without a private key; it cannot be served")]
    StoredWithoutKey {
        /// The certificate.
        id: CertificateId,
    },
    /// Expired.
    #[error("certificate {id}, or an intermediate of it, expired at {not_after}")]
    StoredExpired {
        /// The certificate.
        id: CertificateId,
        /// End of its validity.
        not_after: Timestamp,
    },
    /// No private key.
    #[error("{param} is absent or empty: give the private key in PEM")]
    NoKey {
        /// The parameter.
        param: &'static str,
    },
    /// No certificate.
    #[error("{param} is absent or empty: give the certificate and its chain in PEM")]
    NoChain {
        /// The parameter.
        param: &'static str,
    },
    /// The certificate is rejected.
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// No name of the certificate covers the domain.
    #[error("the certificate does not cover {}{}", domain.to_san(), told(names.as_deref()))]
    NotCovered {
        /// The domain.
        domain: DomainPattern,
        /// The names of the certificate, if the caller may know them.
        names: Option<Vec<DomainPattern>>,
    },
    /// The name belongs to other content.
    #[error(
        "your account has another certificate named {name:?} (CertId {id}); choose another name, or bind that one with CertType cas"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The id of that certificate.
        id: CertificateId,
    },
    /// The name belongs to a certificate that the caller may not delete.
    #[error(
        "certificate {id} has the name {name:?} and is not that of these domains alone; to take its name, ForceSet=1 also needs the permission yundun-cert:DeleteUserCertificate"
    )]
    NameInUse {
        /// The name.
        name: String,
        /// The id of that certificate.
        id: CertificateId,
    },
    /// The name belongs to a certificate of CAS.
    #[error("a certificate named {name:?} is in CAS; choose another name")]
    NameInCas {
        /// The name.
        name: String,
    },
    /// The content was uploaded before.
    #[error(
        "the same certificate was uploaded before as {name:?} (CertId {id}); bind it with CertType cas"
    )]
    ContentTaken {
        /// Its name.
        name: String,
        /// Its id.
        id: CertificateId,
    },
    /// The account has reached the limit.
    #[error("{}", quota::over_quota_detail(.0))]
    Quota(#[from] OverQuota),
    /// The store failed while writing.
    #[error("the store failed; the certificate served before is still served")]
    NotStored(#[source] Fault),
    /// The store failed while disabling HTTPS.
    #[error("the store failed; HTTPS is still as it was before")]
    NotSwitchedOff(#[source] Fault),
    /// Conflicting changes kept winning.
    #[error("conflicting changes of the domain or name kept winning; try again")]
    Contended,
    /// The caller may not upload to CAS.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// Removes facts about the certificate unless the caller may read it.
    pub(super) fn told_to(self, may_read: bool) -> Self {
        match self {
            Self::NotCovered { domain, .. } if !may_read => Self::NotCovered {
                domain,
                names: None,
            },
            other => other,
        }
    }

    /// A companion that a domain cannot have.
    pub(super) fn companion_refused(domain: &DomainPattern, reason: CompanionError) -> Self {
        Self::NoCompanion {
            domain: domain.clone(),
            reason,
        }
    }

    /// Converts the error of a change.
    pub(super) fn from_change(error: ChangeError<Self>, on: bool) -> Self {
        match error {
            ChangeError::Refused(refused) => refused,
            ChangeError::NonceUsed => StoreError::NonceUsed.into(),
            ChangeError::Contended => Self::Contended,
            // Clients repeat a call that is refused with it, until the store has moved.
            ChangeError::Fault(fault) if fault.read_only().is_some() => {
                StoreError::Fault(fault).into()
            }
            ChangeError::Fault(fault) if on => Self::NotStored(fault),
            ChangeError::Fault(fault) => Self::NotSwitchedOff(fault),
        }
    }
}

api_error!(Error {
    Domain(DomainError),
    Domains(DomainListError),
    MissingSwitch => MissingSslProtocol,
    Switch => InvalidSslProtocol,
    Environment => InvalidEnv,
    Locked(CertificateLocked),
    NameTooLong => CertNameTooLong,
    DryRun | Companion | NoCompanion | NameControl | Kind | Id => SetCertificateParameter,
    NoIssuer | NoDnsChallenge | OrderedCompanion => SetCertificateParameter,
    Region => InvalidCertRegion,
    NoReference => CertNameMissing,
    NoCertificate => CertificateNotFound,
    Revoked | NotYetValid => CertificateStatus,
    StoredWithoutKey => CertificateKeyNull,
    StoredExpired => CertificateExpired,
    NoKey => SslPriMissing,
    NoChain => SslPubMissing,
    Certificate(InvalidCertificate::BlankKey) => CertificateKeyNull,
    Certificate(InvalidCertificate::TooLong { .. }) => CertificateTooLong,
    Certificate(InvalidCertificate::ChainText { .. }) => SslPubEncoding,
    Certificate(InvalidCertificate::KeyText { .. }) => SslPriEncoding,
    Certificate(InvalidCertificate::Base64 { .. }) => DecodeError,
    Certificate(InvalidCertificate::Chain { .. }) => InvalidSslPub,
    Certificate(InvalidCertificate::Format { .. }) => CertificateFormat,
    Certificate(InvalidCertificate::KeyBlock { .. }) => InvalidSslPri,
    Certificate(InvalidCertificate::Key { .. }) => KeyMalformed,
    Certificate(InvalidCertificate::Mismatch { .. }) => CertificateMismatch,
    Certificate(InvalidCertificate::Untrusted { .. }) => AuthenticationFailed,
    Certificate(InvalidCertificate::Expired { .. }) => CertificateExpired,
    Certificate(InvalidCertificate::NotYetValid { .. }) => CertificateStatus,
    NotCovered => CertificateMismatch,
    NameTaken | NameInUse => CertNameAlreadyExists,
    NameInCas => CertificateDuplicated,
    ContentTaken => CertificateContentDuplicated,
    Quota(OverQuota),
    NotStored => CertStorageFailed,
    NotSwitchedOff => DeleteFailed,
    Contended => CreateCertificateFailed,
    Unauthorized(Unauthorized),
    Store(StoreError),
});

/// Advice for a refused companion.
const fn companion_advice(reason: CompanionError) -> &'static str {
    match reason {
        CompanionError::NothingBound | CompanionError::HttpsOff => {
            "upload the first certificate without Companion"
        }
        CompanionError::SameKey { .. } | CompanionError::UnsupportedPair { .. } => {
            "give one with a key of the other kind, RSA or ECDSA, or leave Companion out to replace \
             what is bound"
        }
    }
}

/// The names of a certificate, or the permission needed to see them.
fn told(names: Option<&[DomainPattern]>) -> String {
    match names {
        Some(names) => format!(": it is for {}", listed(names)),
        None => "; yundun-cert:GetUserCertificateDetail is needed to see what it is for".to_owned(),
    }
}

/// The first few names: a certificate may have hundreds.
fn listed(names: &[DomainPattern]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(DomainPattern::to_san)
        .collect();
    match names.len() {
        0 => "no domain name at all".to_owned(),
        few if few <= SHOWN => shown.join(", "),
        many => format!("{} and {} more", shown.join(", "), many - SHOWN),
    }
}
