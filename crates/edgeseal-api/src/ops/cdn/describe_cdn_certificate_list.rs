//! `DescribeCdnSSLCertificateList` and the legacy `DescribeCdnCertificateList`: the certificates
//! that could be bound to a domain.

use edgeseal_core::{DomainPattern, certificate::CertificateId};
use edgeseal_store::{
    Listing,
    catalog::Pagination,
    filter::{CertificateCondition, CertificateFilter},
    record::CertificateRecord,
};
use serde::Serialize;

use super::{domain_list_error::DomainListError, domain_lookup};
use crate::{
    authorize::Authorized,
    context::Context,
    domain_list::DomainList,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_page,
        paging::{InvalidPage, Page},
    },
    request::ParamMap,
};

/// `DescribeCdnSSLCertificateList`.
pub struct DescribeCdnSslCertificateList;

/// The legacy `DescribeCdnCertificateList`: without pages.
pub struct DescribeCdnCertificateList;

/// The parameters.
#[derive(Clone)]
pub struct Params {
    page: Page,
    domains: Vec<DomainPattern>,
    keyword: Option<String>,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    certificate_list_model: Model,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Model {
    count: usize,
    #[serde(flatten)]
    page: Option<PageInfo>,
    cert_list: List,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PageInfo {
    page_number: usize,
    page_size: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    cert: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    cert_id: CertificateId,
    cert_name: String,
    /// Only in the newer action.
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_region: Option<String>,
    common: String,
    fingerprint: String,
    issuer: String,
    /// When it was uploaded, in seconds since the Unix epoch.
    last_time: i64,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// The domain list is invalid.
    #[error(transparent)]
    Domains(#[from] DomainListError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Most rows of a response; the legacy action returns that many.
const ROWS_MAX: usize = 1000;

impl Operation for DescribeCdnSslCertificateList {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        Ok(Params {
            page: Page::parse(params, ROWS_MAX, ROWS_MAX)?,
            domains: domains(params)?,
            keyword: params.get_non_empty("SearchKeyword").map(str::to_lowercase),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let (count, rows) = search.rows(context, call, true).await?;
        let shown = PageInfo {
            page_number: search.page.number,
            page_size: search.page.size,
        };
        Ok(Success::read(Reply::of(count, rows, Some(shown))))
    }
}

impl Operation for DescribeCdnCertificateList {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        Ok(Params {
            page: Page {
                number: 1,
                size: ROWS_MAX,
            },
            domains: domains(params)?,
            keyword: None,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let (count, rows) = search.rows(context, call, false).await?;
        Ok(Success::read(Reply::of(count, rows, None)))
    }
}

/// The domains to list certificates for; empty for all certificates.
fn domains(params: &ParamMap) -> Result<Vec<DomainPattern>, DomainListError> {
    match params.get_non_empty("DomainName") {
        Some(_) => Ok(DomainList::from_param(params, "DomainName").names()?),
        None => Ok(Vec::new()),
    }
}

impl Params {
    /// The number of matching certificates, and the rows of the page.
    async fn rows(
        &self,
        context: &Context,
        call: &Authorized,
        with_region: bool,
    ) -> Result<(usize, Vec<Row>), Error> {
        let listing = self.listing(context, call).await?;
        let rows = certificate_page::rows(&context.catalog, &listing.items, |certificate| {
            Row::of(certificate, with_region)
        });
        Ok((listing.total, rows.await.map_err(StoreError::from)?))
    }

    async fn listing(
        &self,
        context: &Context,
        call: &Authorized,
    ) -> Result<Listing<CertificateId>, Error> {
        for name in &self.domains {
            let found = domain_lookup::find(&context.catalog, call.account(), name).await;
            found.map_err(DomainListError::from)?;
        }
        let (catalog, account) = (&context.catalog, call.account());
        let span = Pagination::of_page(self.page.number, self.page.size);
        let listing = if self.domains.is_empty() && self.keyword.is_none() {
            catalog.certificates(account, None, span).await
        } else {
            let named = self.keyword.clone().map(CertificateCondition::Named);
            let covers = (!self.domains.is_empty())
                .then(|| CertificateCondition::Covers(self.domains.clone()));
            let conditions = named.into_iter().chain(covers).collect();
            let filter = CertificateFilter { conditions };
            catalog
                .certificates_where(account, None, filter, span)
                .await
        };
        Ok(listing.map_err(StoreError::from)?)
    }
}

impl Reply {
    const fn of(count: usize, cert: Vec<Row>, page: Option<PageInfo>) -> Self {
        let cert_list = List { cert };
        Self {
            certificate_list_model: Model {
                count,
                page,
                cert_list,
            },
        }
    }
}

impl Row {
    fn of(certificate: CertificateRecord, with_region: bool) -> Self {
        Self {
            cert_id: certificate.id,
            cert_name: certificate.name,
            cert_region: with_region.then_some(certificate.region),
            common: certificate.info.common_name,
            fingerprint: certificate.info.sha1,
            issuer: certificate.info.issuer,
            last_time: certificate.created.unix_seconds(),
        }
    }
}

api_error!(Error {
    Page(InvalidPage),
    Domains(DomainListError),
    Store(StoreError),
});
