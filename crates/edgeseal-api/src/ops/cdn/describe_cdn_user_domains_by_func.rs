//! `DescribeCdnUserDomainsByFunc`: the domains that have a configuration function, which is named by
//! its number.

use edgeseal_core::domain::Domain;
use edgeseal_store::catalog::{Listing, Span};
use serde::Serialize;

use super::{
    functions,
    sources::Source,
    words::{Word as _, cname, on_off},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble, shown},
    ops::paging::{BadPage, Page},
    request::Params,
};

/// The operation.
pub struct DescribeCdnUserDomainsByFunc;

/// Which domains.
pub struct Wanted {
    page: Page,
    /// The function; `None` if none has the number.
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
    source: Vec<Source>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No number.
    #[error("name the function in FuncId, by its number")]
    Unnamed,
    /// Not a number.
    #[error("FuncId is {given:?}; it must be the number of a function")]
    Function {
        /// What was given.
        given: String,
    },
    /// Out of range.
    #[error(transparent)]
    Page(#[from] BadPage),
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for DescribeCdnUserDomainsByFunc {
    type Params = Wanted;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingFuncId,
        Code::InvalidFuncId,
        Code::InvalidPageNumber,
        Code::InvalidPageSize,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        let given = params.given("FuncId").ok_or(Error::Unnamed)?;
        let number: u32 = given.trim().parse().map_err(|_| Error::Function {
            given: shown(given),
        })?;
        Ok(Wanted {
            page: Page::of(params, 20, 500)?,
            function: functions::numbered(number),
            resource_group: params.given("ResourceGroupId").map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Reply>, Error> {
        let listing = wanted.listing(context, call).await?;
        let suffix = &context.settings.cname_suffix;
        let rows = listing.items.into_iter();
        Ok(Done::read(Reply {
            page_number: wanted.page.number,
            page_size: wanted.page.size,
            total_count: listing.total,
            domains: Domains {
                page_data: rows.map(|domain| Row::of(domain, suffix)).collect(),
            },
        }))
    }
}

impl Wanted {
    async fn listing(
        &self,
        context: &Context,
        call: &Authorized,
    ) -> Result<Listing<Domain>, Trouble> {
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
            Span::of_page(self.page.number, self.page.size),
        );
        Ok(listing.await?)
    }
}

impl Row {
    fn of(domain: Domain, cname_suffix: &str) -> Self {
        Self {
            domain_name: domain.name.to_string(),
            cname: cname(&domain.name, cname_suffix),
            cdn_type: domain.service.word(),
            domain_status: domain.state.word(),
            ssl_protocol: on_off(domain.is_https_on()),
            gmt_created: domain.created.to_string(),
            gmt_modified: domain.modified.to_string(),
            sources: Sources {
                source: domain.origins.iter().map(Source::listed).collect(),
            },
            description: domain.description,
            resource_group_id: domain.resource_group,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Unnamed => Code::MissingFuncId,
            Self::Function { .. } => Code::InvalidFuncId,
            Self::Page(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
