//! `DescribeDcdnUserDomains`: the account's domains, filtered and paged.

use edgeseal_core::domain::Domain;
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::cdn::{
        domain_filter::{DomainFilter, InvalidDomainFilter},
        sources::OriginView,
        wire_names::{WireName as _, cname, on_off},
    },
};

/// `DescribeDcdnUserDomains`.
pub struct DescribeDcdnUserDomains;

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    page_number: usize,
    page_size: usize,
    total_count: usize,
    domains: Domains,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Domains {
    page_data: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    domain_id: i64,
    domain_name: String,
    cname: String,
    domain_status: &'static str,
    #[serde(rename = "SSLProtocol")]
    ssl_protocol: &'static str,
    sandbox: &'static str,
    scene: &'static str,
    function_type: &'static str,
    description: String,
    resource_group_id: String,
    gmt_created: String,
    gmt_modified: String,
    sources: Sources,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sources {
    source: Vec<OriginView>,
}

impl Operation for DescribeDcdnUserDomains {
    type Params = DomainFilter;
    type Reply = Reply;
    type Error = InvalidDomainFilter;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainFilter, InvalidDomainFilter> {
        DomainFilter::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: DomainFilter,
    ) -> Result<Success<Reply>, InvalidDomainFilter> {
        let listing = search.list(&context.catalog, call.account()).await;
        let listing = listing.map_err(StoreError::from)?;
        let suffix = &context.settings.cname_suffix;
        let rows = listing.items.into_iter();
        Ok(Success::read(Reply {
            page_number: search.page.number,
            page_size: search.page.size,
            total_count: listing.total,
            domains: Domains {
                page_data: rows.map(|domain| Row::of(domain, suffix)).collect(),
            },
        }))
    }
}

impl Row {
    fn of(domain: Domain, cname_suffix: &str) -> Self {
        Self {
            domain_id: domain.id,
            domain_name: domain.name.to_string(),
            cname: cname(&domain.name, cname_suffix),
            domain_status: domain.state.wire_name(),
            ssl_protocol: on_off(domain.is_https_on()),
            sandbox: "normal",
            scene: "",
            function_type: "",
            gmt_created: domain.created.to_string(),
            gmt_modified: domain.modified.to_string(),
            sources: Sources {
                source: domain.origins.iter().map(OriginView::listed).collect(),
            },
            description: domain.description,
            resource_group_id: domain.resource_group,
        }
    }
}
