//! `DescribeCdnUserDomainsByFunc`: the domains that have a configuration function, given by its id.

use edgeseal_core::domain::Domain;
use edgeseal_store::{
    Listing,
    catalog::Pagination,
    filter::{DomainCondition, DomainFilter},
};
use serde::Serialize;

use super::{
    domain_reply::{DomainMembers, DomainPage, DomainRow},
    functions,
    sources::Sources,
    wire_names::WireName as _,
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

/// A domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    #[serde(flatten)]
    members: DomainMembers,
    cdn_type: &'static str,
    ssl_protocol: &'static str,
    sources: Sources,
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
    type Reply = DomainPage<Row>;
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
    ) -> Result<Success<DomainPage<Row>>, Error> {
        let listing = params.listing(context, call).await?;
        let suffix = &context.settings.cname_suffix;
        let rows = listing.items.into_iter().map(|one| Row::of(one, suffix));
        Ok(Success::read(DomainPage::new(
            params.page,
            listing.total,
            rows,
        )))
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
        let mut filter = DomainFilter::of(DomainCondition::Setting(function.to_owned()));
        let group = self.resource_group.clone();
        let group = group.map(DomainCondition::ResourceGroup);
        filter.conditions.extend(group);
        let listing = context.catalog.domains_where(
            call.account(),
            filter,
            Pagination::of_page(self.page.number, self.page.size),
        );
        Ok(listing.await?)
    }
}

impl DomainRow for Row {
    fn of(domain: Domain, cname_suffix: &str) -> Self {
        Self {
            members: DomainMembers::of(&domain, cname_suffix),
            cdn_type: domain.service.wire_name(),
            ssl_protocol: domain.is_https_on().wire_name(),
            sources: Sources::listed(&domain.origins),
        }
    }
}

api_error!(Error {
    Unnamed => MissingFuncId,
    Function => InvalidFuncId,
    Page(InvalidPage),
    Store(StoreError),
});
