//! Summaries of domains and certificates: what listings filter by.

use bytes::Bytes;
use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::{CertificateId, CertificateInfo},
    domain::{Binding, Coverage, Domain, DomainState, ServiceType},
};
use serde::{Deserialize, Serialize};

use super::CertificateRecord;
use crate::Fault;

/// What listings filter domains by. Stored in the account's index of its domains, so that a listing
/// reads the records of one page only. It borrows, because a listing decodes all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainSummary<'a> {
    /// Its ID.
    pub id: i64,
    /// Whether it is served.
    pub state: DomainState,
    /// What it delivers.
    pub service: ServiceType,
    /// Where it is delivered.
    pub coverage: Coverage,
    /// When it was last changed.
    pub modified: Timestamp,
    /// The owner's resource group.
    pub resource_group: &'a str,
    /// The owner's tags.
    #[serde(borrow)]
    pub tags: Vec<(&'a str, &'a str)>,
    /// Host names or IP addresses of its origins.
    #[serde(borrow)]
    pub origins: Vec<&'a str>,
    /// Its certificate, if HTTPS is on for the production edges.
    pub served: Option<BindingSummary>,
    /// Its certificate of its own for the staging edges, if HTTPS is on there.
    pub staged: Option<BindingSummary>,
    /// Names of its settings, each once.
    #[serde(borrow)]
    pub settings: Vec<&'a str>,
}

/// The certificate of a domain with HTTPS on, as listings need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingSummary {
    /// The certificate; the primary one of two.
    pub certificate: CertificateId,
    /// End of validity of the served chain; of two chains the earlier.
    pub expires: Timestamp,
    /// End of validity of the leaf of that chain.
    pub leaf_expires: Timestamp,
    /// Validity of that leaf, in milliseconds.
    pub life_ms: i64,
}

/// What listings filter certificates by; see [`DomainSummary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSummary<'a> {
    /// Its name.
    pub name: &'a str,
    /// Common name of its subject.
    pub common_name: &'a str,
    /// Its DNS names in the form used in certificates, separated by commas.
    pub names: std::borrow::Cow<'a, str>,
    /// Whether its owner revoked or disabled it.
    pub revoked: bool,
    /// The owner's resource group.
    pub resource_group: &'a str,
    /// End of validity of the leaf.
    pub not_after: Timestamp,
}

impl BindingSummary {
    /// The summary of a binding with these certificates, those that exist.
    #[must_use]
    pub fn of<'a>(
        binding: &Binding,
        certificates: impl IntoIterator<Item = &'a CertificateInfo>,
    ) -> Self {
        let certificates = certificates.into_iter();
        let first = certificates.min_by_key(|info| info.chain_not_after);
        let leaf_expires = first.map_or_else(Timestamp::default, |info| info.not_after);
        Self {
            certificate: binding.certificate,
            expires: first.map_or_else(Timestamp::default, |info| info.chain_not_after),
            leaf_expires,
            life_ms: first.map_or(0, |info| leaf_expires.since_ms(info.not_before)),
        }
    }
}

impl<'a> DomainSummary<'a> {
    /// The summary of a domain that serves these certificates, on production and staging edges.
    #[must_use]
    pub fn of(
        domain: &'a Domain,
        served: Option<BindingSummary>,
        staged: Option<BindingSummary>,
    ) -> Self {
        let tags = domain.tags.iter();
        let origins = domain.origins.iter();
        let mut settings: Vec<&str> = domain.settings.iter().map(|it| it.name.as_str()).collect();
        settings.sort_unstable();
        settings.dedup();
        Self {
            id: domain.id,
            state: domain.state,
            service: domain.service,
            coverage: domain.coverage,
            modified: domain.modified,
            resource_group: &domain.resource_group,
            tags: tags
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            origins: origins.map(|origin| origin.address.as_str()).collect(),
            served,
            staged,
            settings,
        }
    }
}

impl<'a> CertificateSummary<'a> {
    /// The summary of a certificate.
    #[must_use]
    pub fn of(certificate: &'a CertificateRecord) -> Self {
        let names = certificate.info.names.iter();
        let names: Vec<String> = names.map(DomainPattern::to_san).collect();
        Self {
            name: &certificate.name,
            common_name: &certificate.info.common_name,
            names: names.join(",").into(),
            revoked: certificate.revoked,
            resource_group: &certificate.resource_group,
            not_after: certificate.info.not_after,
        }
    }
}

/// The version of both kinds of summary.
///
/// A change of their shapes needs another version: the encoding does not describe itself, so an
/// older summary would be misread. [`crate::Catalog::rebuild_summaries`] rewrites summaries of
/// other versions.
const SUMMARY_VERSION: u8 = 3;

/// Whether a summary has the version that this release writes.
#[must_use]
pub fn is_summary_current(value: &[u8]) -> bool {
    value.first() == Some(&SUMMARY_VERSION)
}

/// Encodes a summary.
///
/// # Errors
/// Never in practice.
pub fn encode_summary<T: Serialize>(summary: &T) -> Result<Bytes, Fault> {
    let mut bytes = vec![SUMMARY_VERSION];
    bytes.append(&mut postcard::to_allocvec(summary).map_err(Fault::of("encode a summary"))?);
    Ok(Bytes::from(bytes))
}

/// Decodes a summary, borrowing its strings.
///
/// # Errors
/// A [`Fault`] if the value is not a summary of a version that this release knows.
pub fn decode_summary<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, Fault> {
    match value.split_first() {
        Some((&SUMMARY_VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(Fault::of("decode a summary"))
        }
        _ => Err(Fault::new(
            "decode a summary: it was written by another release",
        )),
    }
}
