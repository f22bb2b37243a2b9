//! `DescribeCdnUserDomainsByFunc`: the domains that have a configuration function, given by its id.

use edgeseal_core::domain::Domain;
use edgeseal_store::{Listing, catalog::Pagination};
use serde::Serialize;

use super::{
    functions,
    sources::OriginView,
    wire_names::{WireName as _, cname, on_off},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::paging::{InvalidPage, Page},
    sanitize::sanitize,
};

/// `DescribeCdnUserDomainsByFunc`.
pub struct DescribeCdnUserDomainsByFunc;

/// The parameters.
pub struct Params {
    page: Page,
    /// The function; `None` if none has the id.
    function: Option<&'static str>,
    resource_group: Option<String>,
}

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
    domain_name: String,
    cname: String,
    cdn_type: &'static str,
    domain_status: &'static str,
    ssl_protocol: &'static str,
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

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No function id.
    #[error("name the function in FuncId, by its number")]
    Unnamed,
    /// Not a number.
    #[error("FuncId is {given:?}; it must be the number of a function")]
    Function {
        /// The value given.
        given: String,
    },
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeCdnUserDomainsByFunc {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let given = params.get_non_empty("FuncId").ok_or(Error::Unnamed)?;
        let number: u32 = given.trim().parse().map_err(|_| Error::Function {
            given: sanitize(given),
        })?;
        Ok(Params {
            page: Page::parse(params, 20, 500)?,
            function: functions::by_id(number),
            resource_group: params.get_non_empty("ResourceGroupId").map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let listing = params.listing(context, call).await?;
        let suffix = &context.settings.cname_suffix;
        let rows = listing.items.into_iter();
        Ok(Success::read(Reply {
            page_number: params.page.number,
            page_size: params.page.size,
            total_count: listing.total,
            domains: Domains {
                page_data: rows.map(|domain| Row::of(domain, suffix)).collect(),
            },
        }))
    }
}

impl Params {
    async fn listing(
        &self,
        context: &Context,
        call: &Authorized,
    ) -> Result<Listing<Domain>, StoreError> {
        let Some(function) = self.function else {
            return Ok(Listing::default());
        };
        let group = self.resource_group.clone();
        let listing = context.catalog.domains_where(
            call.account(),
            move |_, domain| {
                domain.settings.contains(&function)
                    && group
                        .as_ref()
                        .is_none_or(|group| domain.resource_group == *group)
            },
            Pagination::of_page(self.page.number, self.page.size),
        );
        Ok(listing.await?)
    }
}

impl Row {
    fn of(domain: Domain, cname_suffix: &str) -> Self {
        Self {
            domain_name: domain.name.to_string(),
            cname: cname(&domain.name, cname_suffix),
            cdn_type: domain.service.wire_name(),
            domain_status: domain.state.wire_name(),
            ssl_protocol: on_off(domain.is_https_on()),
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

api_error!(Error {
    Unnamed => MissingFuncId,
    Function => InvalidFuncId,
    Page(InvalidPage),
    Store(StoreError),
});
