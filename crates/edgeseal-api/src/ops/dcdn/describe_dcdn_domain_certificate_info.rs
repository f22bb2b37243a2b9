//! `DescribeDcdnDomainCertificateInfo`: what is bound to one domain.

use edgeseal_core::Pattern;
use serde::Serialize;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    ops::cdn::{
        describe_domain_certificate_info::{Bound, each_or_none},
        named_domain::{self, NO_DOMAIN, NoDomain},
        words::on_off,
    },
    request::Params,
};

/// The operation.
pub struct DescribeDcdnDomainCertificateInfo;

/// One entry for each certificate and never none, as in the CDN's.
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
    bound: Option<Shown>,
}

/// What is there only if a certificate is bound. All values are strings on the wire.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
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
    companion: Option<&'static str>,
}

impl Operation for DescribeDcdnDomainCertificateInfo {
    type Params = Pattern;
    type Reply = Reply;
    type Error = NoDomain;

    const CODES: &'static [Code] = &NO_DOMAIN;

    fn parse(params: &Params) -> Result<Pattern, NoDomain> {
        named_domain::name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: Pattern,
    ) -> Result<Done<Reply>, NoDomain> {
        let domain = named_domain::find(&context.catalog, call.account(), &name).await?;
        let bound = Bound::of_domain(&context.catalog, &domain, call.now()).await;
        let infos = each_or_none(bound.map_err(Trouble::from)?, |bound| CertInfo {
            domain_name: domain.name.to_string(),
            ssl_protocol: on_off(domain.is_https_on()),
            bound: bound.map(Shown::from),
        });
        Ok(Done::read(Reply {
            cert_infos: CertInfos { cert_info: infos },
        }))
    }
}

impl From<Bound> for Shown {
    fn from(bound: Bound) -> Self {
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
            companion: bound.companion,
        }
    }
}
