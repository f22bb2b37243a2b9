//! `DescribeCdnDomainDetail`: one domain. Version 2014-11-11 returns its certificate too, which
//! certbot-aliyun-cdn compares with its own.

use edgeseal_core::domain::Domain;
use serde::Serialize;

use super::{
    domain_reply::{DescribeDomain, DomainMembers, DomainReply},
    sources::OriginView,
    wire_names::{WireName as _, cname},
};
use crate::{
    authorize::Authorized, context::Context, error::StoreError, ops::certificate_view::served_pem,
};

/// `DescribeCdnDomainDetail`.
pub type DescribeCdnDomainDetail = DescribeDomain<Reply>;

/// `DescribeCdnDomainDetail` of version 2014-11-11.
pub type DescribeCdnDomainDetail2014 = DescribeDomain<Reply2014>;

/// The domain, in the wrapper that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    get_domain_detail_model: Detail,
}

/// The same with the certificate.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Reply2014(Reply);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    #[serde(flatten)]
    members: DomainMembers,
    cdn_type: &'static str,
    https_cname: String,
    scope: &'static str,
    server_certificate_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_certificate: Option<String>,
    source_models: SourceModels,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SourceModels {
    source_model: Vec<OriginView>,
}

impl DomainReply for Reply {
    async fn of(context: &Context, _: &Authorized, domain: Domain) -> Result<Self, StoreError> {
        let https = domain.is_https_on();
        let suffix = &context.settings.cname_suffix;
        let https_cname = https.then(|| cname(&domain.name, suffix));
        Ok(Self {
            get_domain_detail_model: Detail {
                members: DomainMembers::of(&domain, suffix),
                cdn_type: domain.service.wire_name(),
                https_cname: https_cname.unwrap_or_default(),
                scope: domain.coverage.wire_name(),
                server_certificate_status: https.wire_name(),
                server_certificate: None,
                source_models: SourceModels {
                    source_model: domain.origins.iter().map(OriginView::detailed).collect(),
                },
            },
        })
    }
}

impl DomainReply for Reply2014 {
    async fn of(context: &Context, call: &Authorized, domain: Domain) -> Result<Self, StoreError> {
        let served = served_pem(&context.catalog, &domain).await?;
        let mut reply = Reply::of(context, call, domain).await?;
        // Absent, not empty: the client understands only that as no certificate.
        reply.get_domain_detail_model.server_certificate =
            Some(served).filter(|text| !text.is_empty());
        Ok(Self(reply))
    }
}
