//! `ListCertificates`: the certificates of CAS as its newer actions represent them, filtered and
//! paged.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{
    Listing,
    catalog::Pagination,
    filter::{CertificateCondition, CertificateFilter},
};
use serde::Serialize;

use super::{get_certificate_detail::CertificateView, parse_instance_id};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_view::CertificateStatus,
        paging::{InvalidPage, Page, PageParamNames},
        region,
    },
    sanitize::sanitize,
};

/// `ListCertificates`.
pub struct ListCertificates;

/// The parameters.
pub struct Params {
    page: Page,
    source: Source,
    standing: Option<CertificateStatus>,
    keyword: Option<CertificateCondition>,
    /// Only the certificate of this instance; `Some(None)` if there is no such instance.
    instance: Option<Option<CertificateId>>,
}

/// The source of certificates. All certificates here are uploaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Any,
    Upload,
    Other,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    total_count: usize,
    current_page: usize,
    show_size: usize,
    certificate_list: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    /// A string here, though a number in the detail.
    certificate_id: String,
    #[serde(flatten)]
    shown: CertificateView,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// No such source.
    #[error("CertificateSource is {given:?}; use BUY, TEST or UPLOAD")]
    Source {
        /// The value given.
        given: String,
    },
    /// No such status.
    #[error("CertificateStatus is {given:?}; use issued, willExpire, expired or revoked")]
    Status {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for ListCertificates {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let given = sanitize;
        let source = match params.get_non_empty("CertificateSource") {
            None => Source::Any,
            Some(word) if word.eq_ignore_ascii_case("upload") => Source::Upload,
            Some(word)
                if ["buy", "test"]
                    .iter()
                    .any(|known| word.eq_ignore_ascii_case(known)) =>
            {
                Source::Other
            }
            Some(word) => return Err(Error::Source { given: given(word) }),
        };
        let standing = params.get_non_empty("CertificateStatus").map(|word| {
            CertificateStatus::from_certificate_status(word)
                .ok_or_else(|| Error::Status { given: given(word) })
        });
        Ok(Params {
            page: Page::parse_with(PageParamNames::CurrentShow, params, 10, 100)?,
            source,
            standing: standing.transpose()?,
            keyword: super::keyword(params),
            instance: params.get_non_empty("InstanceId").map(parse_instance_id),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let now = call.now();
        let listing = search.listing(context, call).await?;
        let mut rows = Vec::with_capacity(listing.items.len());
        // At most a hundred rows with 24 KiB of names each.
        for id in &listing.items {
            let found = context.catalog.certificate(*id).await;
            let Some(certificate) = found.map_err(StoreError::from)? else {
                continue;
            };
            let shown = CertificateView::of(&context.catalog, &certificate, now).await;
            rows.push(Row {
                certificate_id: id.to_string(),
                shown: shown.map_err(StoreError::from)?,
            });
        }
        Ok(Success::read(Reply {
            total_count: listing.total,
            current_page: search.page.number,
            show_size: search.page.size,
            certificate_list: rows,
        }))
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
        let instance = match self.instance {
            // No certificate has such an instance.
            Some(None) => return Ok(Listing::default()),
            Some(Some(id)) => Some(CertificateCondition::Id(id)),
            None => None,
        };
        if let Source::Other = self.source {
            return Ok(Listing::default());
        }
        let status = self.standing.map(|status| status.conditions(now));
        let conditions = status.into_iter().flatten();
        let conditions = conditions.chain(self.keyword.clone()).chain(instance);
        let conditions: Vec<_> = conditions.collect();
        if conditions.is_empty() {
            return Ok(catalog.certificates(account, region, span).await?);
        }
        let filter = CertificateFilter { conditions };
        let listing = catalog.certificates_where(account, region, filter, span);
        Ok(listing.await?)
    }
}

api_error!(Error {
    Page(InvalidPage),
    Source => InvalidCertificateSource,
    Status => InvalidCertificateStatus,
    Store(StoreError),
});
