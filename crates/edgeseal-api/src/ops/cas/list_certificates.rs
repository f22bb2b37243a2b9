//! `ListCertificates`: the certificates of the centre in its newer words, filtered and paged.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{
    catalog::{Listing, Span},
    record::CertificateSummary,
};
use serde::Serialize;

use super::{Keyword, get_certificate_detail::Shown, of_instance};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble, shown},
    ops::{
        issued::Standing,
        paging::{BadPage, Page, Spelling},
        region,
    },
    request::Params,
};

/// The operation.
pub struct ListCertificates;

/// What is looked for.
pub struct Search {
    page: Page,
    source: Source,
    standing: Option<Standing>,
    keyword: Option<Keyword>,
    /// Only that of this instance; `Some(None)` if there is no such instance.
    instance: Option<Option<CertificateId>>,
}

/// Where certificates come from. Here all are uploaded.
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
    /// Text here, though a number in the detail.
    certificate_id: String,
    #[serde(flatten)]
    shown: Shown,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] BadPage),
    /// No such source.
    #[error("CertificateSource is {given:?}; use BUY, TEST or UPLOAD")]
    Source {
        /// What was given.
        given: String,
    },
    /// No such status.
    #[error("CertificateStatus is {given:?}; use issued, willExpire, expired or revoked")]
    Status {
        /// What was given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for ListCertificates {
    type Params = Search;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidCurrentPage,
        Code::InvalidShowSize,
        Code::InvalidCertificateSource,
        Code::InvalidCertificateStatus,
    ];

    fn parse(params: &Params) -> Result<Search, Error> {
        let given = shown;
        let source = match params.given("CertificateSource") {
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
        let standing = params.given("CertificateStatus").map(|word| {
            Standing::of_newer_word(word).ok_or_else(|| Error::Status { given: given(word) })
        });
        Ok(Search {
            page: Page::spelt(Spelling::Show, params, 10, 100)?,
            source,
            standing: standing.transpose()?,
            keyword: Keyword::of(params),
            instance: params.given("InstanceId").map(of_instance),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Search,
    ) -> Result<Done<Reply>, Error> {
        let now = call.now();
        let listing = search.listing(context, call).await?;
        let mut rows = Vec::with_capacity(listing.items.len());
        // A hundred rows at most, and of a certificate 24 KiB of names.
        for id in &listing.items {
            let found = context.catalog.certificate(*id).await;
            let Some(certificate) = found.map_err(Trouble::from)? else {
                continue;
            };
            let shown = Shown::of(&context.catalog, &certificate, now).await;
            rows.push(Row {
                certificate_id: id.to_string(),
                shown: shown.map_err(Trouble::from)?,
            });
        }
        Ok(Done::read(Reply {
            total_count: listing.total,
            current_page: search.page.number,
            show_size: search.page.size,
            certificate_list: rows,
        }))
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
        let instance = self.instance;
        let listing = match (self.source, self.standing, self.keyword.clone()) {
            (Source::Other, ..) => Listing::default(),
            (_, None, None) if instance.is_none() => {
                catalog.certificates(account, region, span).await?
            }
            (_, standing, keyword) => {
                let wanted = move |id, certificate: &CertificateSummary<'_>| {
                    let is = Standing::of(certificate.not_after, certificate.revoked, now);
                    standing.is_none_or(|wanted| wanted == is)
                        && keyword
                            .as_ref()
                            .is_none_or(|keyword| keyword.finds(id, certificate))
                        && instance.is_none_or(|instance| instance == Some(id))
                };
                catalog
                    .certificates_where(account, region, wanted, span)
                    .await?
            }
        };
        Ok(listing)
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Page(why) => why.code(),
            Self::Source { .. } => Code::InvalidCertificateSource,
            Self::Status { .. } => Code::InvalidCertificateStatus,
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
