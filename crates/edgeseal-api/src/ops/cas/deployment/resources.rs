//! `ListCloudResources`: the account's domains as deployment targets.

use edgeseal_core::{
    certificate::CertificateId,
    domain::{Domain, Environment},
};
use edgeseal_store::{
    Listing,
    catalog::Pagination,
    filter::{DomainCondition, DomainFilter, TextMatch},
    record::CertificateRecord,
};
use serde::Serialize;

use super::{PRODUCT, PROVIDER};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        paging::{InvalidPage, Page, PageParamNames},
        region,
    },
    request::ParamMap,
    sanitize::sanitize,
};

/// `ListCloudResources`.
pub struct ListCloudResources;

/// The parameters.
pub struct Params {
    page: Page,
    /// Whether the filter can match anything here.
    any_match: bool,
    keyword: Option<String>,
    /// Only domains that use one of these certificates for HTTPS.
    certificates: Vec<CertificateId>,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    current_page: usize,
    show_size: usize,
    total: usize,
    data: Vec<Row>,
}

/// A domain. Times are milliseconds as strings.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    id: i64,
    domain: String,
    instance_id: String,
    cloud_name: &'static str,
    cloud_product: &'static str,
    region_id: &'static str,
    enable_https: i32,
    use_ssl: i32,
    default_resource: i32,
    #[serde(flatten)]
    bound: Option<Bound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    gmt_create: String,
    gmt_modified: String,
}

/// The certificate bound to it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Bound {
    cert_id: i64,
    cert_name: String,
    cert_start_time: String,
    cert_end_time: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// Not certificate ids.
    #[error("CertIds is {given:?}; it must be a JSON list of at most {CERTIFICATES_MAX} numbers")]
    Certificates {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Most certificates of one call.
const CERTIFICATES_MAX: usize = 20;

impl Operation for ListCloudResources {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let is = |name: &str, here: &[&str]| {
            let given = params.get_non_empty(name);
            given.is_none_or(|given| here.iter().any(|here| given.eq_ignore_ascii_case(here)))
        };
        Ok(Params {
            page: Page::parse_with(PageParamNames::CurrentShow, params, 20, 100)?,
            any_match: is("CloudName", &[PROVIDER]) && is("CloudProduct", &[PRODUCT, "DCDN"]),
            keyword: params.get_non_empty("Keyword").map(str::to_ascii_lowercase),
            certificates: certificates(params)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let (page, account) = (search.page, call.account());
        let span = Pagination::of_page(page.number, page.size);
        let found = match search.filter() {
            Some(filter) => context.catalog.domains_where(account, filter, span).await,
            None => Ok(Listing::default()),
        };
        let found = found.map_err(StoreError::from)?;
        let mut data = Vec::with_capacity(found.items.len());
        for domain in &found.items {
            let bound = domain.binding(Environment::Production);
            let certificate = match bound {
                Some(bound) => context.catalog.certificate(bound.certificate).await,
                None => Ok(None),
            };
            data.push(Row::of(domain, certificate.map_err(StoreError::from)?));
        }
        Ok(Success::read(Reply {
            current_page: page.number,
            show_size: page.size,
            total: found.total,
            data,
        }))
    }
}

/// `CertIds`, a JSON list of numbers.
fn certificates(params: &ParamMap) -> Result<Vec<CertificateId>, Error> {
    let Some(given) = params.get_non_empty("CertIds") else {
        return Ok(Vec::new());
    };
    let ids: Option<Vec<CertificateId>> = serde_json::from_str(given).ok();
    let ids = ids.filter(|ids| ids.len() <= CERTIFICATES_MAX);
    ids.ok_or_else(|| Error::Certificates {
        given: sanitize(given),
    })
}

impl Params {
    /// `None` if nothing matches.
    fn filter(self) -> Option<DomainFilter> {
        let certificates = (!self.certificates.is_empty())
            .then_some(DomainCondition::Certificate(self.certificates));
        self.any_match.then_some(DomainFilter {
            name: self.keyword.map(TextMatch::Contains),
            conditions: certificates.into_iter().collect(),
        })
    }
}

impl Row {
    fn of(domain: &Domain, certificate: Option<CertificateRecord>) -> Self {
        let on = domain.binding(Environment::Production);
        let on = i32::from(on.is_some_and(|bound| bound.enabled));
        let name = domain.name.to_string();
        Self {
            id: domain.id,
            instance_id: name.clone(),
            domain: name,
            cloud_name: PROVIDER,
            cloud_product: PRODUCT,
            region_id: region::DEFAULT,
            enable_https: on,
            use_ssl: on,
            default_resource: 0,
            bound: certificate.map(Bound::of),
            user_id: domain.account.as_str().parse().ok(),
            gmt_create: domain.created.unix_ms().to_string(),
            gmt_modified: domain.modified.unix_ms().to_string(),
        }
    }
}

impl Bound {
    fn of(certificate: CertificateRecord) -> Self {
        Self {
            cert_id: certificate.id,
            cert_name: certificate.name,
            cert_start_time: certificate.info.not_before.unix_ms().to_string(),
            cert_end_time: certificate.info.not_after.unix_ms().to_string(),
        }
    }
}

api_error!(Error {
    Page(InvalidPage),
    Certificates => InvalidCertIds,
    Store(StoreError),
});
