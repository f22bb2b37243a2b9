//! `DescribeCdnHttpsDomainList`: the domains with HTTPS enabled, and the status of their
//! certificates.

use std::collections::HashMap;

use edgeseal_core::{
    Timestamp,
    certificate::CertificateId,
    domain::{Binding, Domain},
};
use edgeseal_store::{
    Catalog, Fault,
    catalog::Pagination,
    filter::{DomainCondition, DomainFilter, TextMatch},
    record::CertificateRecord,
};
use serde::Serialize;

use super::wire_names::WireName as _;
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_view::{date_time, domain_certificate_status},
        paging::{InvalidPage, Page},
    },
};

/// `DescribeCdnHttpsDomainList`.
pub struct DescribeCdnHttpsDomainList;

/// The parameters.
pub struct Params {
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

/// A domain with its first certificate, and the worst status of its certificates.
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
    /// The earliest end among all certificates that the domain serves, intermediates included.
    chain_expire_time: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeCdnHttpsDomainList {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let keyword = params.get_non_empty("Keyword").map(str::to_lowercase);
        Ok(Params {
            page: Page::parse(params, 20, 500)?,
            keyword: keyword.map(|word| word.trim_start_matches('*').to_owned()),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let span = Pagination::of_page(search.page.number, search.page.size);
        let filter = DomainFilter {
            name: search.keyword.map(TextMatch::Contains),
            conditions: vec![DomainCondition::Https],
        };
        let catalog = &context.catalog;
        let listing = catalog.domains_where(call.account(), filter, span).await;
        let listing = listing.map_err(StoreError::from)?;
        let rows = rows(&context.catalog, listing.items, call.now()).await;
        Ok(Success::read(Reply {
            total_count: listing.total,
            cert_infos: CertInfos {
                cert_info: rows.map_err(StoreError::from)?,
            },
        }))
    }
}

async fn rows(catalog: &Catalog, domains: Vec<Domain>, now: Timestamp) -> Result<Vec<Row>, Fault> {
    // If HTTPS was disabled between the two reads, the domain is not listed.
    let bound: Vec<(String, Binding)> = domains
        .into_iter()
        .filter_map(|domain| {
            let binding = domain.production.filter(|binding| binding.enabled)?;
            Some((domain.name.to_string(), binding))
        })
        .collect();
    let ids = bound.iter().flat_map(|(_, one)| one.certificates());
    let mut ids: Vec<CertificateId> = ids.map(|(id, _)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    let certificates: HashMap<CertificateId, CertificateRecord> = catalog
        .certificates_by_id(&ids)
        .await?
        .into_iter()
        .map(|certificate| (certificate.id, certificate))
        .collect();
    let rows = bound.into_iter().filter_map(|(name, binding)| {
        let certificate = certificates.get(&binding.certificate)?;
        let all = binding.certificates();
        let ends = all.filter_map(|(id, _)| Some(certificates.get(&id)?.info.chain_not_after));
        let expires = ends.min()?;
        let standing = domain_certificate_status(binding.all_cover(), expires, now);
        Some(Row {
            chain_expire_time: expires.to_string(),
            ..Row::of(name, &binding, certificate, standing)
        })
    });
    Ok(rows.collect())
}

impl Row {
    fn of(
        domain_name: String,
        binding: &Binding,
        certificate: &CertificateRecord,
        cert_status: &'static str,
    ) -> Self {
        let facts = &certificate.info;
        Self {
            domain_name,
            cert_name: certificate.name.clone(),
            cert_type: certificate.source.wire_name(),
            cert_common_name: facts.common_name.clone(),
            cert_status,
            cert_start_time: date_time(facts.not_before),
            cert_expire_time: date_time(facts.not_after),
            cert_update_time: date_time(binding.updated),
            chain_expire_time: facts.chain_not_after.to_string(),
        }
    }
}

api_error!(Error {
    Page(InvalidPage),
    Store(StoreError),
});
