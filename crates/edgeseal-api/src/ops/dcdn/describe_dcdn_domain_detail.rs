//! `DescribeDcdnDomainDetail`: one domain, with the PEM of its certificate.

use edgeseal_core::domain::Domain;
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    ops::{
        cdn::{
            domain_reply::{DescribeDomain, DomainMembers, DomainReply},
            sources::Sources,
            wire_names::WireName as _,
        },
        certificate_view::served_pem,
    },
};

/// `DescribeDcdnDomainDetail`.
pub type DescribeDcdnDomainDetail = DescribeDomain<Reply>;

/// The domain, in the wrapper that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    domain_detail: Detail,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    #[serde(flatten)]
    members: DomainMembers,
    scope: &'static str,
    scene: &'static str,
    function_type: &'static str,
    #[serde(rename = "SSLProtocol")]
    ssl_protocol: &'static str,
    #[serde(rename = "SSLPub")]
    ssl_pub: String,
    sources: Sources,
}

impl DomainReply for Reply {
    async fn of(context: &Context, _: &Authorized, domain: Domain) -> Result<Self, StoreError> {
        Ok(Self {
            domain_detail: Detail {
                members: DomainMembers::of(&domain, &context.settings.cname_suffix),
                scope: domain.coverage.wire_name(),
                scene: "",
                function_type: "",
                ssl_protocol: domain.is_https_on().wire_name(),
                ssl_pub: served_pem(&context.catalog, &domain).await?,
                sources: Sources::detailed(&domain.origins),
            },
        })
    }
}
