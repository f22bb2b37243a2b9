//! `ListUserCertificateOrder`: the certificates of CAS, filtered and paged. There are no orders
//! here: filters for bought certificates match nothing.

use edgeseal_core::{Timestamp, certificate::CertificateId};
use edgeseal_store::{
    Listing,
    catalog::Pagination,
    filter::{CertificateCondition, CertificateFilter},
    record::CertificateRecord,
};
use serde::Serialize;

use super::{algorithm, instance_id};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_page::{self, NameBudget},
        certificate_view::{CertificateStatus, date},
        paging::{InvalidPage, Page, PageParamNames},
        region,
    },
    sanitize::sanitize,
};

/// `ListUserCertificateOrder`.
pub struct ListUserCertificateOrder;

/// The parameters.
pub struct Params {
    page: Page,
    kind: Kind,
    status: Status,
    keyword: Option<CertificateCondition>,
    resource_group: Option<String>,
}

/// The order type. There are only uploaded certificates here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Certificate,
    Order,
}

/// The status filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Any,
    Of(CertificateStatus),
    /// A status that only orders have.
    OrderOnly,
}

/// Statuses of orders that were not delivered.
const OF_ORDERS: [&str; 4] = ["PAYED", "CHECKING", "CHECKED_FAIL", "NOTACTIVATED"];

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    total_count: usize,
    current_page: usize,
    show_size: usize,
    certificate_order_list: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    certificate_id: CertificateId,
    name: String,
    common_name: String,
    sans: String,
    domain: String,
    domain_count: usize,
    wild_domain_count: usize,
    serial_no: String,
    issuer: String,
    org_name: String,
    country: String,
    province: String,
    city: String,
    start_date: String,
    end_date: String,
    cert_start_time: i64,
    cert_end_time: i64,
    expired: bool,
    upload: bool,
    status: &'static str,
    source_type: &'static str,
    algorithm: &'static str,
    fingerprint: String,
    sha2: String,
    instance_id: String,
    resource_group_id: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// No such order type.
    #[error("OrderType is {given:?}; use CPACK, BUY, UPLOAD or CERT")]
    Kind {
        /// The value given.
        given: String,
    },
    /// No such status.
    #[error(
        "Status is {given:?}; use ISSUED, WILLEXPIRED, EXPIRED, REVOKED, PAYED, CHECKING, CHECKED_FAIL or NOTACTIVATED"
    )]
    Status {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for ListUserCertificateOrder {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        Ok(Params {
            page: Page::parse_with(PageParamNames::CurrentShow, params, 50, 1000)?,
            kind: kind(params.get_non_empty("OrderType").unwrap_or("CPACK"))?,
            status: params
                .get_non_empty("Status")
                .map_or(Ok(Status::Any), status)?,
            keyword: super::keyword(params),
            resource_group: params.get_non_empty("ResourceGroupId").map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let listing = search.listing(context, call).await?;
        let (now, mut names) = (call.now(), NameBudget::for_rows(listing.items.len()));
        let rows = certificate_page::rows(&context.catalog, &listing.items, |certificate| {
            let names = names.take_names(&certificate.info);
            Row::of(certificate, names, now)
        });
        let rows = rows.await.map_err(StoreError::from)?;
        Ok(Success::read(Reply {
            total_count: listing.total,
            current_page: search.page.number,
            show_size: search.page.size,
            certificate_order_list: rows,
        }))
    }
}

fn kind(word: &str) -> Result<Kind, Error> {
    match word.to_ascii_uppercase().as_str() {
        "CERT" | "UPLOAD" => Ok(Kind::Certificate),
        "CPACK" | "BUY" => Ok(Kind::Order),
        _ => Err(Error::Kind {
            given: sanitize(word),
        }),
    }
}

fn status(word: &str) -> Result<Status, Error> {
    let of_orders = OF_ORDERS
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known));
    match CertificateStatus::from_order_status(word) {
        Some(standing) => Ok(Status::Of(standing)),
        None if of_orders => Ok(Status::OrderOnly),
        None => Err(Error::Status {
            given: sanitize(word),
        }),
    }
}

impl Params {
    async fn listing(
        &self,
        context: &Context,
        call: &Authorized,
    ) -> Result<Listing<CertificateId>, StoreError> {
        let (catalog, account, now) = (&context.catalog, call.account(), call.now());
        let region = Some(region::from_call(call));
        let span = Pagination::of_page(self.page.number, self.page.size);
        let status = match (self.kind, self.status) {
            (Kind::Order, _) | (_, Status::OrderOnly) => return Ok(Listing::default()),
            (_, Status::Any) => Vec::new(),
            (_, Status::Of(status)) => status.conditions(now),
        };
        let group = self.resource_group.clone();
        let group = group.map(CertificateCondition::ResourceGroup);
        let conditions = status.into_iter().chain(group).chain(self.keyword.clone());
        let conditions: Vec<_> = conditions.collect();
        if conditions.is_empty() {
            return Ok(catalog.certificates(account, region, span).await?);
        }
        let filter = CertificateFilter { conditions };
        let listing = catalog.certificates_where(account, region, filter, span);
        Ok(listing.await?)
    }
}

impl Row {
    fn of(certificate: CertificateRecord, names: String, now: Timestamp) -> Self {
        let facts = certificate.info;
        let wildcards = facts.names.iter().filter(|name| name.is_wildcard()).count();
        let standing = CertificateStatus::of(facts.not_after, certificate.revoked, now);
        Self {
            certificate_id: certificate.id,
            name: certificate.name,
            common_name: facts.common_name,
            sans: names.clone(),
            domain: names,
            domain_count: facts.names.len() - wildcards,
            wild_domain_count: wildcards,
            serial_no: facts.serial,
            issuer: facts.issuer,
            org_name: facts.subject.organization,
            country: facts.subject.country,
            province: facts.subject.province,
            city: facts.subject.locality,
            start_date: date(facts.not_before),
            end_date: date(facts.not_after),
            cert_start_time: facts.not_before.unix_ms(),
            cert_end_time: facts.not_after.unix_ms(),
            expired: facts.not_after < now,
            upload: true,
            status: standing.order_status(),
            source_type: "upload",
            algorithm: algorithm(facts.key),
            fingerprint: facts.sha1.to_uppercase(),
            sha2: facts.sha256.to_uppercase(),
            instance_id: instance_id(certificate.id),
            resource_group_id: certificate.resource_group,
        }
    }
}

api_error!(Error {
    Page(InvalidPage),
    Kind => InvalidOrderType,
    Status => InvalidStatus,
    Store(StoreError),
});
