//! `ListUserCertificateOrder`: the certificates of the centre, filtered and paged. There are no
//! orders here: what is asked of bought certificates finds nothing.

use edgeseal_core::{Timestamp, certificate::CertificateId};
use edgeseal_store::{
    catalog::{Listing, Span},
    record::{CertificateRecord, CertificateSummary},
};
use serde::Serialize;

use super::{Keyword, algorithm, instance};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble, shown},
    ops::{
        certificate_page::{self, Names},
        issued::{Standing, date},
        paging::{BadPage, Page, Spelling},
        region,
    },
    request::Params,
};

/// The operation.
pub struct ListUserCertificateOrder;

/// What is looked for.
pub struct Search {
    page: Page,
    kind: Kind,
    status: Status,
    keyword: Option<Keyword>,
    resource_group: Option<String>,
}

/// Which kind of order. Here are only certificates, all of them uploaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Certificate,
    Order,
}

/// Which status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Any,
    Of(Standing),
    /// One that only orders have.
    OfOrders,
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

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] BadPage),
    /// No such kind.
    #[error("OrderType is {given:?}; use CPACK, BUY, UPLOAD or CERT")]
    Kind {
        /// What was given.
        given: String,
    },
    /// No such status.
    #[error(
        "Status is {given:?}; use ISSUED, WILLEXPIRED, EXPIRED, REVOKED, PAYED, CHECKING, CHECKED_FAIL or NOTACTIVATED"
    )]
    Status {
        /// What was given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for ListUserCertificateOrder {
    type Params = Search;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidCurrentPage,
        Code::InvalidShowSize,
        Code::InvalidOrderType,
        Code::InvalidStatus,
    ];

    fn parse(params: &Params) -> Result<Search, Error> {
        Ok(Search {
            page: Page::spelt(Spelling::Show, params, 50, 1000)?,
            kind: kind(params.given("OrderType").unwrap_or("CPACK"))?,
            status: params.given("Status").map_or(Ok(Status::Any), status)?,
            keyword: Keyword::of(params),
            resource_group: params.given("ResourceGroupId").map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Search,
    ) -> Result<Done<Reply>, Error> {
        let listing = search.listing(context, call).await?;
        let (now, mut names) = (call.now(), Names::of_page(listing.items.len()));
        let rows = certificate_page::rows(&context.catalog, &listing.items, |certificate| {
            let names = names.next(&certificate.facts);
            Row::of(certificate, names, now)
        });
        let rows = rows.await.map_err(Trouble::from)?;
        Ok(Done::read(Reply {
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
        _ => Err(Error::Kind { given: shown(word) }),
    }
}

fn status(word: &str) -> Result<Status, Error> {
    let of_orders = OF_ORDERS
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known));
    match Standing::of_word(word) {
        Some(standing) => Ok(Status::Of(standing)),
        None if of_orders => Ok(Status::OfOrders),
        None => Err(Error::Status { given: shown(word) }),
    }
}

impl Search {
    async fn listing(
        &self,
        context: &Context,
        call: &Authorized,
    ) -> Result<Listing<CertificateId>, Trouble> {
        let (catalog, account, now) = (&context.catalog, call.account(), call.now());
        let region = Some(region::of_call(call));
        let span = Span::of_page(self.page.number, self.page.size);
        let group = self.resource_group.clone();
        let listing = match (self.kind, self.status, self.keyword.clone()) {
            (Kind::Order, ..) | (_, Status::OfOrders, _) => Listing::default(),
            (_, Status::Any, None) if group.is_none() => {
                catalog.certificates(account, region, span).await?
            }
            (_, status, keyword) => {
                let wanted = move |id, certificate: &CertificateSummary<'_>| {
                    let is = Standing::of(certificate.not_after, certificate.revoked, now);
                    (status == Status::Any || status == Status::Of(is))
                        && group
                            .as_ref()
                            .is_none_or(|group| certificate.resource_group == group)
                        && keyword
                            .as_ref()
                            .is_none_or(|keyword| keyword.finds(id, certificate))
                };
                catalog
                    .certificates_where(account, region, wanted, span)
                    .await?
            }
        };
        Ok(listing)
    }
}

impl Row {
    fn of(certificate: CertificateRecord, names: String, now: Timestamp) -> Self {
        let facts = certificate.facts;
        let wildcards = facts.names.iter().filter(|name| name.is_wildcard()).count();
        let standing = Standing::of(facts.not_after, certificate.revoked, now);
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
            status: standing.word(),
            source_type: "upload",
            algorithm: algorithm(facts.key),
            fingerprint: facts.sha1.to_uppercase(),
            sha2: facts.sha256.to_uppercase(),
            instance_id: instance(certificate.id),
            resource_group_id: certificate.resource_group,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Page(why) => why.code(),
            Self::Kind { .. } => Code::InvalidOrderType,
            Self::Status { .. } => Code::InvalidStatus,
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
