//! `DescribeDcdnDomainDetail`: one domain, with the text of its certificate.

use edgeseal_core::{DomainPattern, domain::Domain};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::{
        cdn::{
            domain_lookup::{self, DomainError},
            sources::OriginView,
            wire_names::{WireName as _, cname, on_off},
        },
        certificate_view::served_pem,
    },
};

/// `DescribeDcdnDomainDetail`.
pub struct DescribeDcdnDomainDetail;

/// The domain, in the wrapper that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    domain_detail: Detail,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    domain_name: String,
    cname: String,
    domain_status: &'static str,
    scope: &'static str,
    scene: &'static str,
    function_type: &'static str,
    description: String,
    resource_group_id: String,
    gmt_created: String,
    gmt_modified: String,
    #[serde(rename = "SSLProtocol")]
    ssl_protocol: &'static str,
    #[serde(rename = "SSLPub")]
    ssl_pub: String,
    sources: Sources,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sources {
    source: Vec<OriginView>,
}

impl Operation for DescribeDcdnDomainDetail {
    type Params = DomainPattern;
    type Reply = Reply;
    type Error = DomainError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, DomainError> {
        domain_lookup::parse_name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<Reply>, DomainError> {
        let domain = domain_lookup::find(&context.catalog, call.account(), &name).await?;
        let ssl_pub = served_pem(&context.catalog, &domain).await;
        let suffix = &context.settings.cname_suffix;
        Ok(Success::read(Reply {
            domain_detail: Detail::of(domain, suffix, ssl_pub.map_err(StoreError::from)?),
        }))
    }
}

impl Detail {
    fn of(domain: Domain, cname_suffix: &str, ssl_pub: String) -> Self {
        Self {
            domain_name: domain.name.to_string(),
            cname: cname(&domain.name, cname_suffix),
            domain_status: domain.state.wire_name(),
            scope: domain.coverage.wire_name(),
            scene: "",
            function_type: "",
            gmt_created: domain.created.to_string(),
            gmt_modified: domain.modified.to_string(),
            ssl_protocol: on_off(domain.is_https_on()),
            ssl_pub,
            sources: Sources {
                source: domain.origins.iter().map(OriginView::detailed).collect(),
            },
            description: domain.description,
            resource_group_id: domain.resource_group,
        }
    }
}
