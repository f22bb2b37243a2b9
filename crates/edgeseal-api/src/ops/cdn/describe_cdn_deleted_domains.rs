//! `DescribeCdnDeletedDomains`: the domains that the account deleted and has not added again.

use serde::Serialize;

use edgeseal_store::catalog::Pagination;

use super::{describe_cdn_https_domain_list::Error, domain_reply::DomainPage};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::paging::Page,
};

/// `DescribeCdnDeletedDomains`.
pub struct DescribeCdnDeletedDomains;

/// A deleted domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    domain_name: String,
    gmt_modified: String,
}

impl Operation for DescribeCdnDeletedDomains {
    type Params = Page;
    type Reply = DomainPage<Row>;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Page, Error> {
        Ok(Page::parse(params, 20, 500)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        page: Page,
    ) -> Result<Success<DomainPage<Row>>, Error> {
        let span = Pagination::of_page(page.number, page.size);
        let listing = context.catalog.deleted_domains(call.account(), span).await;
        let listing = listing.map_err(StoreError::from)?;
        let rows = listing.items.into_iter().map(|(name, since)| Row {
            domain_name: name.to_string(),
            gmt_modified: since.at.to_string(),
        });
        Ok(Success::read(DomainPage::new(page, listing.total, rows)))
    }
}
