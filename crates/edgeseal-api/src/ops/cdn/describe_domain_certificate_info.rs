//! `DescribeDomainCertificateInfo`: the certificates bound to one domain.

use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::CertificateId,
    domain::{Domain, Environment},
    managed_certificate::{ManagedCertificate, OrderStatus},
    outside::{Observation, Verdict},
};
use edgeseal_store::{Catalog, Fault, record::CertificateSource};
use serde::Serialize;

use super::{
    domain_reply::{DescribeDomain, DomainReply},
    wire_names::WireName as _,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    ops::certificate_view::{domain_certificate_status, public_pem},
};

/// `DescribeDomainCertificateInfo`.
pub type DescribeDomainCertificateInfo = DescribeDomain<Reply>;

/// One entry per certificate, the primary first. Never empty: Terraform interprets an empty list as
/// a missing domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    cert_infos: CertInfos,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfos {
    cert_info: Vec<CertInfo>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfo {
    domain_name: String,
    server_certificate_status: &'static str,
    #[serde(flatten)]
    bound: Option<BoundCertificate>,
    #[serde(flatten)]
    order: Option<OrderView>,
}

/// The order for a domain with a managed certificate (`CertType=free`) that serves none yet.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::ops) struct OrderView {
    cert_type: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_failure: Option<String>,
}

/// Members that are present only if a certificate is served. All values are strings on the wire.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::ops) struct BoundCertificate {
    pub(in crate::ops) cert_name: String,
    pub(in crate::ops) cert_id: String,
    pub(in crate::ops) cert_region: String,
    pub(in crate::ops) cert_type: &'static str,
    pub(in crate::ops) cert_domain_name: String,
    pub(in crate::ops) cert_org: String,
    pub(in crate::ops) cert_life: String,
    pub(in crate::ops) cert_start_time: String,
    pub(in crate::ops) cert_expire_time: String,
    pub(in crate::ops) cert_update_time: String,
    pub(in crate::ops) server_certificate: String,
    pub(in crate::ops) status: &'static str,
    /// An addition of Edgeseal: why the last order of a managed certificate failed; otherwise
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::ops) order_failure: Option<String>,
    /// An addition of Edgeseal: `ok`, `mismatch`, `expired` or `expire_soon`, as in
    /// `DescribeCdnHttpsDomainList`.
    pub(in crate::ops) cert_status: &'static str,
    /// From what visitors found last; `ok` if it was never checked.
    pub(in crate::ops) domain_cname_status: &'static str,
    /// An addition of Edgeseal: what visitors found last, in a word and in a sentence, and when;
    /// absent if it was never checked.
    #[serde(flatten)]
    pub(in crate::ops) outside: Option<OutsideView>,
    /// An addition of Edgeseal: `true` for the companion; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::ops) companion: Option<&'static str>,
}

/// What visitors of a domain found last.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::ops) struct OutsideView {
    outside_status: &'static str,
    outside_detail: String,
    outside_time: String,
}

impl OutsideView {
    fn of(found: Observation) -> Self {
        Self {
            outside_status: found.verdict.as_str(),
            outside_detail: found.text,
            outside_time: found.at.to_string(),
        }
    }
}

/// `DomainCnameStatus` of a domain.
fn cname_status(domain: &Domain, verdict: Verdict) -> &'static str {
    let registrable = domain.name.registrable_domain();
    match &domain.name {
        _ if !verdict.is_elsewhere() => "ok",
        DomainPattern::Exact(name) if *name == registrable => "top_domain_cname_error",
        _ => "cname_error",
    }
}

impl DomainReply for Reply {
    async fn of(context: &Context, call: &Authorized, domain: Domain) -> Result<Self, StoreError> {
        let of_domain = BoundCertificate::of_domain(&context.catalog, domain, call.now());
        let (domain, bound) = of_domain.await?;
        let mut order = OrderView::of_unserved(&context.catalog, &domain).await?;
        let infos = entries_or_empty_one(bound, |bound| CertInfo {
            domain_name: domain.name.to_string(),
            server_certificate_status: domain.is_https_on().wire_name(),
            bound,
            order: order.take(),
        });
        Ok(Self {
            cert_infos: CertInfos { cert_info: infos },
        })
    }
}

/// An entry for each certificate, or one empty entry.
pub(in crate::ops) fn entries_or_empty_one<T>(
    bound: Vec<BoundCertificate>,
    entry: impl FnMut(Option<BoundCertificate>) -> T,
) -> Vec<T> {
    if bound.is_empty() {
        return std::iter::once(None).map(entry).collect();
    }
    bound.into_iter().map(Some).map(entry).collect()
}

impl OrderView {
    /// `None` if the production edges serve a certificate, or the domain's is not managed.
    pub(in crate::ops) async fn of_unserved(
        catalog: &Catalog,
        domain: &Domain,
    ) -> Result<Option<Self>, Fault> {
        if domain.is_https_on() {
            return Ok(None);
        }
        let managed = managed(catalog, domain).await?;
        Ok(managed.map(|managed| Self {
            cert_type: CertificateSource::Issued.wire_name(),
            status: order_status(&managed, None),
            order_failure: managed.failure.map(|failure| failure.reason),
        }))
    }
}

/// The state of the certificate that is managed for the production edges.
async fn managed(catalog: &Catalog, domain: &Domain) -> Result<Option<ManagedCertificate>, Fault> {
    if !domain.is_managed(Environment::Production) {
        return Ok(None);
    }
    catalog
        .managed_certificate(&domain.name, Environment::Production)
        .await
}

/// The status of the order for a domain that serves a certificate of this type, or none. If the
/// certificate was bound after the domain was read, it is shown as it was: otherwise a client that
/// waits for success would take the certificate before for the new one.
fn order_status(managed: &ManagedCertificate, served: Option<&str>) -> &'static str {
    let is_served = served == Some(CertificateSource::Issued.wire_name());
    match managed.status {
        OrderStatus::Success if !is_served => OrderStatus::Applying.wire_name(),
        status => status.wire_name(),
    }
}

impl BoundCertificate {
    /// The certificates that the production edges serve, the primary first; none with HTTPS
    /// disabled, although the binding is kept: Terraform's acceptance tests expect that. They are
    /// those of the returned domain, which is newer than the given one if that was changed meanwhile
    /// and what it bound is gone.
    pub(in crate::ops) async fn of_domain(
        catalog: &Catalog,
        mut domain: Domain,
        now: Timestamp,
    ) -> Result<(Domain, Vec<Self>), Fault> {
        loop {
            let (mut all, is_complete) = Self::of_binding(catalog, &domain, now).await?;
            if !is_complete {
                let current = catalog.domain(&domain.name).await?;
                // What an unchanged domain binds is missing for good.
                if let Some(current) = current.filter(|it| it.id == domain.id && *it != domain) {
                    domain = current;
                    continue;
                }
            }
            Self::add_states(catalog, &domain, &mut all, now).await?;
            return Ok((domain, all));
        }
    }

    /// The certificates of the binding that are stored, and whether those are all, with their text.
    async fn of_binding(
        catalog: &Catalog,
        domain: &Domain,
        now: Timestamp,
    ) -> Result<(Vec<Self>, bool), Fault> {
        let Some(binding) = domain.production.as_ref().filter(|it| it.enabled) else {
            return Ok((Vec::new(), true));
        };
        let primary = (binding.certificate, (binding.covers, binding.updated), None);
        let companion = binding.companion.as_ref();
        let companion = companion.map(|it| (it.certificate, (it.covers, it.updated), Some("true")));
        let (mut all, mut is_complete) = (Vec::new(), true);
        for (id, bound, companion) in std::iter::once(primary).chain(companion) {
            let found = Self::of(catalog, id, bound, now).await?;
            is_complete &= found
                .as_ref()
                .is_some_and(|it| !it.server_certificate.is_empty());
            all.extend(found.map(|found| Self { companion, ..found }));
        }
        Ok((all, is_complete))
    }

    /// Adds what visitors found, and the state of the order.
    async fn add_states(
        catalog: &Catalog,
        domain: &Domain,
        all: &mut [Self],
        now: Timestamp,
    ) -> Result<(), Fault> {
        let found = catalog.observation(domain).await?;
        if let Some(found) = found.filter(|found| found.is_current(now)) {
            let status = cname_status(domain, found.verdict);
            let view = OutsideView::of(found);
            for bound in &mut *all {
                bound.domain_cname_status = status;
                bound.outside = Some(view.clone());
            }
        }
        if let Some(managed) = managed(catalog, domain).await? {
            let status = order_status(&managed, all.first().map(|primary| primary.cert_type));
            for bound in all {
                bound.status = status;
                bound.order_failure = managed.failure.as_ref().map(|it| it.reason.clone());
            }
        }
        Ok(())
    }

    /// `None` if the certificate was deleted concurrently.
    async fn of(
        catalog: &Catalog,
        id: CertificateId,
        (covers, updated): (bool, Timestamp),
        now: Timestamp,
    ) -> Result<Option<Self>, Fault> {
        let Some(certificate) = catalog.certificate(id).await? else {
            return Ok(None);
        };
        let server_certificate = public_pem(catalog, &certificate).await?;
        let facts = certificate.info;
        let cert_status = domain_certificate_status(covers, facts.chain_not_after, now);
        Ok(Some(Self {
            cert_name: certificate.name,
            cert_id: certificate.id.to_string(),
            cert_region: certificate.region,
            cert_type: certificate.source.wire_name(),
            cert_domain_name: facts.common_name,
            cert_org: facts.issuer,
            cert_life: life(facts.not_before, facts.not_after),
            cert_start_time: facts.not_before.to_string(),
            cert_expire_time: facts.not_after.to_string(),
            cert_update_time: updated.to_string(),
            server_certificate,
            status: OrderStatus::Success.wire_name(),
            order_failure: None,
            cert_status,
            domain_cname_status: "ok",
            outside: None,
            companion: None,
        }))
    }
}

/// `3 months`, `1 years`: whole years if exact, otherwise months of 30 days.
fn life(from: Timestamp, to: Timestamp) -> String {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    // Rounded, so that 90 days less one second are three months.
    let days = (to.since_ms(from) + DAY_MS / 2) / DAY_MS;
    match days {
        365.. if days % 365 <= days / 365 => format!("{} years", days / 365),
        _ => format!("{} months", (days + 15) / 30),
    }
}

#[cfg(test)]
mod tests;
