//! Finds the certificate that a call names.

use edgeseal_core::{AccountId, certificate::CertificateId};
use edgeseal_store::{
    Catalog,
    catalog::{ChangeError, Draft},
    record::CertificateRecord,
};

use crate::{
    error::{StoreError, api_error},
    ops::region,
    request::ParamMap,
    sanitize::sanitize,
};

/// The parameter that names the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateParam {
    /// `CertId`, a number.
    CertId,
    /// `CertificateId`, a number.
    CertificateId,
    /// `CertName`.
    CertName,
}

/// Why a certificate is not found.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The parameter is absent or empty.
    #[error("name the certificate in {}", .0.param())]
    Missing(CertificateParam),
    /// Not a certificate id.
    #[error("{} is {given:?}; it must be a positive number", by.param())]
    Malformed {
        /// The parameter.
        by: CertificateParam,
        /// The value given.
        given: String,
    },
    /// No such region.
    #[error("CertRegion is {given:?}; use cn-hangzhou or ap-southeast-1")]
    Region {
        /// The value given.
        given: String,
    },
    /// Not found by a CDN operation.
    #[error("your account has no certificate {which}")]
    NotFound {
        /// How the call named it.
        which: String,
    },
    /// Not found by a CAS operation.
    #[error("your account has no certificate {which}")]
    NotFoundInCas {
        /// How the call named it.
        which: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CertificateParam {
    const fn param(self) -> &'static str {
        match self {
            Self::CertId => "CertId",
            Self::CertificateId => "CertificateId",
            Self::CertName => "CertName",
        }
    }
}

/// Reads an id. `<id>-<region>`, the long form that some clients send, is accepted too.
///
/// # Errors
/// [`CertificateError::Missing`] and [`CertificateError::Malformed`].
pub(crate) fn parse_id(
    params: &ParamMap,
    by: CertificateParam,
) -> Result<CertificateId, CertificateError> {
    let given = params
        .get_non_empty(by.param())
        .ok_or(CertificateError::Missing(by))?
        .trim();
    let digits = match given.split_once('-') {
        Some((digits, region)) if region::REGIONS.contains(&region) => digits,
        _ => given,
    };
    let id = digits.parse().ok().filter(|id: &CertificateId| *id > 0);
    id.ok_or_else(|| CertificateError::Malformed {
        by,
        given: sanitize(given),
    })
}

/// Reads a name.
///
/// # Errors
/// [`CertificateError::Missing`].
pub(crate) fn parse_name(params: &ParamMap) -> Result<String, CertificateError> {
    let name = params.get_non_empty(CertificateParam::CertName.param());
    name.map(str::to_owned)
        .ok_or(CertificateError::Missing(CertificateParam::CertName))
}

/// Reads the account's certificate with this id. A certificate of another account or a deleted one
/// is not found.
///
/// # Errors
/// The store failed.
pub(crate) async fn find(
    catalog: &Catalog,
    account: &AccountId,
    id: CertificateId,
) -> Result<Option<CertificateRecord>, StoreError> {
    Ok(visible_to(account, catalog.certificate(id).await?))
}

/// Like [`find`], for CAS.
///
/// # Errors
/// [`CertificateError::NotFoundInCas`], or the store failed.
pub(super) async fn find_in_cas(
    catalog: &Catalog,
    account: &AccountId,
    id: CertificateId,
) -> Result<CertificateRecord, CertificateError> {
    let found = find(catalog, account, id).await?;
    found.ok_or_else(|| not_in_cas(id))
}

/// Like [`find_in_cas`], inside a transaction.
///
/// # Errors
/// As for [`find_in_cas`].
pub(super) async fn find_in_cas_for_change<E: From<CertificateError>>(
    draft: &mut Draft,
    account: &AccountId,
    id: CertificateId,
) -> Result<CertificateRecord, ChangeError<E>> {
    let found = visible_to(account, draft.certificate(id).await?);
    found.ok_or_else(|| ChangeError::Refused(not_in_cas(id).into()))
}

fn visible_to(account: &AccountId, found: Option<CertificateRecord>) -> Option<CertificateRecord> {
    found.filter(|found| found.account == *account && !found.removed)
}

fn not_in_cas(id: CertificateId) -> CertificateError {
    CertificateError::NotFoundInCas {
        which: format!("with the number {id}"),
    }
}

api_error!(CertificateError {
    Missing(CertificateParam::CertId) => MissingCertId,
    Missing(CertificateParam::CertificateId) => MissingCertificateId,
    Missing(CertificateParam::CertName) => MissingCertName,
    Malformed { by: CertificateParam::CertificateId, .. } => InvalidCertificateId,
    Malformed => InvalidCertId,
    Region => InvalidCertRegionParameter,
    NotFound => NoSuchCertificate,
    NotFoundInCas => CasCertificateNotFound,
    Store(StoreError),
});
