//! `DescribeDcdnDomainCertificateInfo`: the certificates bound to one domain.

use edgeseal_core::domain::Domain;
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    ops::cdn::{
        describe_domain_certificate_info::{BoundCertificate, OrderView, entries_or_empty_one},
        domain_reply::{DescribeDomain, DomainReply},
        wire_names::WireName as _,
    },
};

/// `DescribeDcdnDomainCertificateInfo`.
pub type DescribeDcdnDomainCertificateInfo = DescribeDomain<Reply>;

/// One entry per certificate, or an empty one, as in the CDN's action.
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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfo {
    domain_name: String,
    #[serde(rename = "SSLProtocol")]
    ssl_protocol: &'static str,
    #[serde(flatten)]
    bound: Option<BoundView>,
    #[serde(flatten)]
    order: Option<OrderView>,
}

/// Members that are present only if a certificate is bound. All values are strings on the wire.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BoundView {
    cert_name: String,
    cert_id: String,
    cert_region: String,
    cert_type: &'static str,
    cert_domain_name: String,
    cert_org: String,
    cert_life: String,
    cert_expire_time: String,
    #[serde(rename = "SSLPub")]
    ssl_pub: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    companion: Option<&'static str>,
}

impl DomainReply for Reply {
    async fn of(context: &Context, call: &Authorized, domain: Domain) -> Result<Self, StoreError> {
        let of_domain = BoundCertificate::of_domain(&context.catalog, domain, call.now());
        let (domain, bound) = of_domain.await?;
        let mut order = OrderView::of_unserved(&context.catalog, &domain).await?;
        let infos = entries_or_empty_one(bound, |bound| CertInfo {
            domain_name: domain.name.to_string(),
            ssl_protocol: domain.is_https_on().wire_name(),
            bound: bound.map(BoundView::from),
            order: order.take(),
        });
        Ok(Self {
            cert_infos: CertInfos { cert_info: infos },
        })
    }
}

impl From<BoundCertificate> for BoundView {
    fn from(bound: BoundCertificate) -> Self {
        Self {
            cert_name: bound.cert_name,
            cert_id: bound.cert_id,
            cert_region: bound.cert_region,
            cert_type: bound.cert_type,
            cert_domain_name: bound.cert_domain_name,
            cert_org: bound.cert_org,
            cert_life: bound.cert_life,
            cert_expire_time: bound.cert_expire_time,
            ssl_pub: bound.server_certificate,
            status: bound.status,
            order_failure: bound.order_failure,
            companion: bound.companion,
        }
    }
}
