//! `DescribeUserCertificateList` of 2018: the certificates of CAS, paged.

use edgeseal_core::{Timestamp, certificate::CertificateId};
use edgeseal_store::{catalog::Pagination, record::CertificateRecord};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_page::{self, NameBudget},
        certificate_view::date,
        paging::{InvalidPage, Page, PageParamNames},
        region,
    },
};

/// `DescribeUserCertificateList`.
pub struct DescribeUserCertificateList;

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    total_count: usize,
    current_page: usize,
    show_size: usize,
    certificate_list: Vec<Row>,
}

/// A certificate; member names begin in lower case in this version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    id: CertificateId,
    name: String,
    common: String,
    sans: String,
    issuer: String,
    fingerprint: String,
    start_date: String,
    end_date: String,
    expired: bool,
    buy_in_aliyun: bool,
    org_name: String,
    country: String,
    province: String,
    city: String,
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

impl Operation for DescribeUserCertificateList {
    type Params = Page;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Page, Error> {
        Ok(Page::parse_with(
            PageParamNames::CurrentShow,
            params,
            50,
            1000,
        )?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        page: Page,
    ) -> Result<Success<Reply>, Error> {
        let region = Some(region::from_call(call));
        let span = Pagination::of_page(page.number, page.size);
        let listing = context.catalog.certificates(call.account(), region, span);
        let listing = listing.await.map_err(StoreError::from)?;
        let (now, mut names) = (call.now(), NameBudget::for_rows(listing.items.len()));
        let rows = certificate_page::rows(&context.catalog, &listing.items, |certificate| {
            let names = names.take_names(&certificate.info);
            Row::of(certificate, names, now)
        });
        let rows = rows.await.map_err(StoreError::from)?;
        Ok(Success::read(Reply {
            total_count: listing.total,
            current_page: page.number,
            show_size: page.size,
            certificate_list: rows,
        }))
    }
}

impl Row {
    pub(super) fn of(certificate: CertificateRecord, names: String, now: Timestamp) -> Self {
        let facts = certificate.info;
        Self {
            id: certificate.id,
            name: certificate.name,
            sans: names,
            common: facts.common_name,
            issuer: facts.issuer,
            fingerprint: facts.sha1.to_uppercase(),
            start_date: date(facts.not_before),
            end_date: date(facts.not_after),
            expired: facts.not_after < now,
            buy_in_aliyun: false,
            org_name: facts.subject.organization,
            country: facts.subject.country,
            province: facts.subject.province,
            city: facts.subject.locality,
        }
    }
}

api_error!(Error {
    Page(InvalidPage),
    Store(StoreError),
});
