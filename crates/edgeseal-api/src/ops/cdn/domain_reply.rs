//! Responses that show domains: finding the domains, and the members that all responses have. Each
//! action adds its own members.

use std::marker::PhantomData;

use edgeseal_core::{DomainPattern, domain::Domain};
use serde::Serialize;

use super::{
    domain_filter::{DomainSearch, InvalidDomainFilter},
    domain_lookup::{self, DomainError},
    wire_names::{WireName as _, cname},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::paging::Page,
};

/// Shows the domain that `DomainName` names.
pub struct DescribeDomain<R>(PhantomData<R>);

/// Lists the account's domains, filtered and paged.
pub struct ListDomains<R>(PhantomData<R>);

/// A response that shows one domain.
pub trait DomainReply: Serialize + Send + Sized + 'static {
    /// The response for this domain.
    fn of(
        context: &Context,
        call: &Authorized,
        domain: Domain,
    ) -> impl Future<Output = Result<Self, StoreError>> + Send;
}

/// A row of a list of domains.
pub trait DomainRow: Serialize + Send + 'static {
    /// The row of this domain.
    fn of(domain: Domain, cname_suffix: &str) -> Self;
}

/// A page of a list of domains.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DomainPage<R> {
    page_number: usize,
    page_size: usize,
    total_count: usize,
    domains: PageData<R>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PageData<R> {
    page_data: Vec<R>,
}

/// The members of a domain that all lists and details have.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::ops) struct DomainMembers {
    domain_name: String,
    cname: String,
    domain_status: &'static str,
    description: String,
    resource_group_id: String,
    gmt_created: String,
    gmt_modified: String,
}

impl<R: DomainReply> Operation for DescribeDomain<R> {
    type Params = DomainPattern;
    type Reply = R;
    type Error = DomainError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, DomainError> {
        domain_lookup::parse_name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<R>, DomainError> {
        let domain = domain_lookup::find(&context.catalog, call.account(), &name).await?;
        Ok(Success::read(R::of(context, call, domain).await?))
    }
}

impl<R: DomainRow> Operation for ListDomains<R> {
    type Params = DomainSearch;
    type Reply = DomainPage<R>;
    type Error = InvalidDomainFilter;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainSearch, InvalidDomainFilter> {
        DomainSearch::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        filter: DomainSearch,
    ) -> Result<Success<DomainPage<R>>, InvalidDomainFilter> {
        let listing = filter.list(&context.catalog, call.account()).await;
        let listing = listing.map_err(StoreError::from)?;
        let suffix = &context.settings.cname_suffix;
        let rows = listing.items.into_iter().map(|one| R::of(one, suffix));
        Ok(Success::read(DomainPage::new(
            filter.page,
            listing.total,
            rows,
        )))
    }
}

impl<R> DomainPage<R> {
    /// The rows of `page`, of `total_count` rows of all pages.
    pub(super) fn new(page: Page, total_count: usize, rows: impl Iterator<Item = R>) -> Self {
        Self {
            page_number: page.number,
            page_size: page.size,
            total_count,
            domains: PageData {
                page_data: rows.collect(),
            },
        }
    }
}

impl DomainMembers {
    /// The members of this domain.
    pub(in crate::ops) fn of(domain: &Domain, cname_suffix: &str) -> Self {
        Self {
            domain_name: domain.name.to_string(),
            cname: cname(&domain.name, cname_suffix),
            domain_status: domain.state.wire_name(),
            description: domain.description.clone(),
            resource_group_id: domain.resource_group.clone(),
            gmt_created: domain.created.to_string(),
            gmt_modified: domain.modified.to_string(),
        }
    }
}
