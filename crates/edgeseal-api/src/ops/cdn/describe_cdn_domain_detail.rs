//! `DescribeCdnDomainDetail`: one domain. Version 2014-11-11 returns its certificate too, which
//! certbot-aliyun-cdn compares with its own.

use edgeseal_core::{DomainPattern, domain::Domain};
use serde::Serialize;

use super::{
    domain_lookup::{self, DomainError},
    sources::OriginView,
    wire_names::{WireName as _, cname, on_off},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::certificate_view::served_pem,
};

/// `DescribeCdnDomainDetail`.
pub struct DescribeCdnDomainDetail;

/// `DescribeCdnDomainDetail` of version 2014-11-11.
pub struct DescribeCdnDomainDetail2014;

/// The domain, in the wrapper that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    get_domain_detail_model: Detail,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    domain_name: String,
    cdn_type: &'static str,
    cname: String,
    https_cname: String,
    domain_status: &'static str,
    scope: &'static str,
    description: String,
    resource_group_id: String,
    gmt_created: String,
    gmt_modified: String,
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

impl Operation for DescribeCdnDomainDetail {
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
        let detail = Detail::of(&domain, &context.settings.cname_suffix);
        Ok(Success::read(Reply {
            get_domain_detail_model: detail,
        }))
    }
}

impl Operation for DescribeCdnDomainDetail2014 {
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
        let served = served_pem(&context.catalog, &domain).await;
        Ok(Success::read(Reply {
            get_domain_detail_model: Detail {
                // Absent, not empty: the client understands only that as no certificate.
                server_certificate: Some(served.map_err(StoreError::from)?)
                    .filter(|text| !text.is_empty()),
                ..Detail::of(&domain, &context.settings.cname_suffix)
            },
        }))
    }
}

impl Detail {
    fn of(domain: &Domain, cname_suffix: &str) -> Self {
        let https = domain.is_https_on();
        let cname = cname(&domain.name, cname_suffix);
        Self {
            domain_name: domain.name.to_string(),
            cdn_type: domain.service.wire_name(),
            https_cname: if https { cname.clone() } else { String::new() },
            cname,
            domain_status: domain.state.wire_name(),
            scope: domain.coverage.wire_name(),
            description: domain.description.clone(),
            resource_group_id: domain.resource_group.clone(),
            gmt_created: domain.created.to_string(),
            gmt_modified: domain.modified.to_string(),
            server_certificate_status: on_off(https),
            server_certificate: None,
            source_models: SourceModels {
                source_model: domain.origins.iter().map(OriginView::detailed).collect(),
            },
        }
    }
}
