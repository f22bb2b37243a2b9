//! `DescribeCdnHttpsDomainList`: the domains with HTTPS on, and how their certificates stand.

use edgeseal_core::{
    Timestamp,
    domain::{Binding, Domain},
};
use edgeseal_store::{Catalog, Fault, catalog::Span};
use serde::Serialize;

use super::words::Word as _;
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble},
    ops::{
        issued::{date_time, standing_on_domain},
        paging::{BadPage, Page},
    },
    request::Params,
};

/// The operation.
pub struct DescribeCdnHttpsDomainList;

/// What is looked for.
pub struct Search {
    page: Page,
    keyword: Option<String>,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    total_count: usize,
    cert_infos: CertInfos,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfos {
    cert_info: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    domain_name: String,
    cert_name: String,
    cert_type: &'static str,
    cert_common_name: String,
    cert_status: &'static str,
    cert_start_time: String,
    cert_expire_time: String,
    cert_update_time: String,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] BadPage),
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for DescribeCdnHttpsDomainList {
    type Params = Search;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[Code::InvalidPageNumber, Code::InvalidPageSize];

    fn parse(params: &Params) -> Result<Search, Error> {
        let keyword = params.given("Keyword").map(str::to_lowercase);
        Ok(Search {
            page: Page::of(params, 20, 500)?,
            keyword: keyword.map(|word| word.trim_start_matches('*').to_owned()),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Search,
    ) -> Result<Done<Reply>, Error> {
        let listing = context.catalog.domains_where(
            call.account(),
            |name, summary| {
                summary.bound.as_ref().is_some_and(|bound| bound.enabled)
                    && search
                        .keyword
                        .as_ref()
                        .is_none_or(|word| name.contains(word))
            },
            Span::of_page(search.page.number, search.page.size),
        );
        let listing = listing.await.map_err(Trouble::from)?;
        let rows = rows(&context.catalog, listing.items, call.now()).await;
        Ok(Done::read(Reply {
            total_count: listing.total,
            cert_infos: CertInfos {
                cert_info: rows.map_err(Trouble::from)?,
            },
        }))
    }
}

async fn rows(catalog: &Catalog, domains: Vec<Domain>, now: Timestamp) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::with_capacity(domains.len());
    for domain in domains {
        // Switched off between the two reads: then it is not in the list any more.
        let bound = domain.production.filter(|binding| binding.enabled);
        if let Some(binding) = bound {
            rows.extend(Row::of(catalog, domain.name.to_string(), &binding, now).await?);
        }
    }
    Ok(rows)
}

impl Row {
    async fn of(
        catalog: &Catalog,
        domain_name: String,
        binding: &Binding,
        now: Timestamp,
    ) -> Result<Option<Self>, Fault> {
        let Some(certificate) = catalog.certificate(binding.certificate).await? else {
            return Ok(None);
        };
        let facts = certificate.facts;
        Ok(Some(Self {
            domain_name,
            cert_name: certificate.name,
            cert_type: certificate.source.word(),
            cert_common_name: facts.common_name,
            cert_status: standing_on_domain(binding.covers, facts.chain_not_after, now),
            cert_start_time: date_time(facts.not_before),
            cert_expire_time: date_time(facts.not_after),
            cert_update_time: date_time(binding.updated),
        }))
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Page(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Page(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
        }
    }
}
