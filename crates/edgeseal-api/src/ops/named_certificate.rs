//! A certificate that the caller names, and the one behind the name.

use edgeseal_core::{AccountId, certificate::CertificateId};
use edgeseal_store::{Catalog, record::CertificateRecord};

use crate::{
    code::Code,
    operation::{Failure, Trouble},
    ops::region,
    request::Params,
};

/// The parameter that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `CertId`, a number.
    CertId,
    /// `CertificateId`, a number.
    CertificateId,
    /// `CertName`.
    CertName,
}

/// Why there is no such certificate.
#[derive(Debug, thiserror::Error)]
pub enum NoCertificate {
    /// The parameter is absent or empty.
    #[error("name the certificate in {}", .0.param())]
    Unnamed(By),
    /// Not a number of a certificate.
    #[error("{} is {given:?}; it must be a positive number", by.param())]
    Malformed {
        /// The parameter.
        by: By,
        /// What was given.
        given: String,
    },
    /// No such region.
    #[error("CertRegion is {given:?}; use cn-hangzhou or ap-southeast-1")]
    Region {
        /// What was given.
        given: String,
    },
    /// A CDN operation looked for it.
    #[error("your account has no certificate {which}")]
    NotFound {
        /// How it was named.
        which: String,
    },
    /// An operation of the certificate centre looked for it.
    #[error("your account has no certificate {which}")]
    NotInCentre {
        /// How it was named.
        which: String,
    },
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl By {
    const fn param(self) -> &'static str {
        match self {
            Self::CertId => "CertId",
            Self::CertificateId => "CertificateId",
            Self::CertName => "CertName",
        }
    }
}

/// Reads a number. `<id>-<region>`, the long form that some clients pass on, is understood too.
///
/// # Errors
/// [`NoCertificate::Unnamed`] and [`NoCertificate::Malformed`].
pub(crate) fn number(params: &Params, by: By) -> Result<CertificateId, NoCertificate> {
    let given = params
        .given(by.param())
        .ok_or(NoCertificate::Unnamed(by))?
        .trim();
    let digits = match given.split_once('-') {
        Some((digits, region)) if region::REGIONS.contains(&region) => digits,
        _ => given,
    };
    let id = digits.parse().ok().filter(|id: &CertificateId| *id > 0);
    id.ok_or_else(|| NoCertificate::Malformed {
        by,
        given: given.chars().take(40).collect(),
    })
}

/// Reads a name.
///
/// # Errors
/// [`NoCertificate::Unnamed`].
pub(crate) fn name(params: &Params) -> Result<String, NoCertificate> {
    let name = params.given(By::CertName.param());
    name.map(str::to_owned)
        .ok_or(NoCertificate::Unnamed(By::CertName))
}

/// Reads the account's certificate of this number. That of another account is not there, nor is one
/// that was removed.
///
/// # Errors
/// The store failed.
pub(crate) async fn find(
    catalog: &Catalog,
    account: &AccountId,
    id: CertificateId,
) -> Result<Option<CertificateRecord>, Trouble> {
    let found = catalog.certificate(id).await?;
    Ok(found.filter(|found| found.account == *account && !found.removed))
}

/// As [`find`], for the certificate centre.
///
/// # Errors
/// [`NoCertificate::NotInCentre`], or the store failed.
pub(super) async fn in_centre(
    catalog: &Catalog,
    account: &AccountId,
    id: CertificateId,
) -> Result<CertificateRecord, NoCertificate> {
    let found = find(catalog, account, id).await?;
    found.ok_or_else(|| NoCertificate::NotInCentre {
        which: format!("with the number {id}"),
    })
}

impl Failure for NoCertificate {
    fn code(&self) -> Code {
        match self {
            Self::Unnamed(By::CertId) => Code::MissingCertId,
            Self::Unnamed(By::CertificateId) => Code::MissingCertificateId,
            Self::Unnamed(By::CertName) => Code::MissingCertName,
            Self::Malformed {
                by: By::CertificateId,
                ..
            } => Code::InvalidCertificateId,
            Self::Malformed { .. } => Code::InvalidCertId,
            Self::Region { .. } => Code::InvalidCertRegionParameter,
            Self::NotFound { .. } => Code::NoSuchCertificate,
            Self::NotInCentre { .. } => Code::NotInCertificateCentre,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
