//! The domain filter of the lists of both products.

use edgeseal_core::{
    AccountId, Timestamp,
    domain::{Coverage, Domain, DomainState, ServiceType},
};
use edgeseal_store::{
    Catalog, Fault, Listing,
    catalog::Pagination,
    filter::{DomainCondition, DomainFilter, TextMatch},
};

use super::{tags, wire_names::WireName as _};
use crate::{
    error::{StoreError, api_error},
    ops::paging::{InvalidPage, Page},
    request::ParamMap,
    sanitize::sanitize,
};

/// The filter and the page.
#[derive(Clone, Default)]
pub struct DomainSearch {
    pub(in crate::ops) page: Page,
    filter: DomainFilter,
}

/// Why a filter is invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDomainFilter {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// No such search type.
    #[error("DomainSearchType is {given:?}; use full_match, fuzzy_match, pre_match or suf_match")]
    SearchType {
        /// The value given.
        given: String,
    },
    /// No such status.
    #[error(
        "DomainStatus is {given:?}; use one of {}",
        DomainState::all_wire_names()
    )]
    State {
        /// The value given.
        given: String,
    },
    /// Not a time.
    #[error("{param} must be a time as 2026-01-02T03:04:05Z")]
    Time {
        /// The parameter.
        param: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DomainSearch {
    /// Reads the parameters. `CheckDomainShow` is ignored: no domain is ever under review here.
    ///
    /// # Errors
    /// [`InvalidDomainFilter`].
    pub(in crate::ops) fn parse(params: &ParamMap) -> Result<Self, InvalidDomainFilter> {
        let page = Page::parse(params, 20, 500)?;
        let name = name(params)?;
        let state = params.get_non_empty("DomainStatus").map(|word| {
            DomainState::from_wire_name(word).ok_or_else(|| InvalidDomainFilter::State {
                given: sanitize(word),
            })
        });
        let services = params.get_non_empty("CdnType").map(|words| {
            // Each value once, however often it is named. An unknown one matches nothing.
            let named = |word: &str| {
                words
                    .split(',')
                    .any(|one| one.trim().eq_ignore_ascii_case(word))
            };
            let known = ServiceType::WIRE_NAMES
                .iter()
                .filter(|(_, word)| named(word));
            known.map(|(service, _)| *service).collect()
        });
        let coverage = params
            .get_non_empty("Coverage")
            .map(|word| Coverage::from_wire_name(word).into_iter().collect());
        let text = |param| params.get_non_empty(param).map(str::to_owned);
        let conditions = [
            state.transpose()?.map(DomainCondition::State),
            services.map(DomainCondition::Service),
            coverage.map(DomainCondition::Coverage),
            text("Source").map(DomainCondition::Origin),
            text("ResourceGroupId").map(DomainCondition::ResourceGroup),
            time(params, "ChangeStartTime")?.map(DomainCondition::ModifiedFrom),
            time(params, "ChangeEndTime")?.map(DomainCondition::ModifiedBefore),
        ];
        let tags = tags::parse_filter(params).into_iter();
        let tags = tags.map(|tag| DomainCondition::Tag(vec![tag]));
        let conditions = conditions.into_iter().flatten().chain(tags).collect();
        Ok(Self {
            page,
            filter: DomainFilter { name, conditions },
        })
    }

    /// The domains that match.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub(in crate::ops) async fn list(
        &self,
        catalog: &Catalog,
        account: &AccountId,
    ) -> Result<Listing<Domain>, Fault> {
        let span = Pagination::of_page(self.page.number, self.page.size);
        if self.filter.is_empty() {
            return catalog.domains(account, span).await;
        }
        let filter = self.filter.clone();
        catalog.domains_where(account, filter, span).await
    }
}

fn time(params: &ParamMap, param: &'static str) -> Result<Option<Timestamp>, InvalidDomainFilter> {
    let given = params.get_non_empty(param);
    let parsed =
        given.map(|text| Timestamp::parse_iso(text).ok_or(InvalidDomainFilter::Time { param }));
    parsed.transpose()
}

/// How the name is compared: with the text in lower case, `*.x` as `.x`.
fn name(params: &ParamMap) -> Result<Option<TextMatch>, InvalidDomainFilter> {
    let how = params
        .get_non_empty("DomainSearchType")
        .unwrap_or("full_match");
    let how = match how {
        "full_match" => TextMatch::Equals,
        "fuzzy_match" => TextMatch::Contains,
        "pre_match" => TextMatch::StartsWith,
        "suf_match" => TextMatch::EndsWith,
        other => {
            return Err(InvalidDomainFilter::SearchType {
                given: sanitize(other),
            });
        }
    };
    let Some(text) = params.get_non_empty("DomainName") else {
        return Ok(None);
    };
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix('*').unwrap_or(&text).to_owned();
    Ok(Some(how(text)))
}

api_error!(InvalidDomainFilter {
    Page(InvalidPage),
    SearchType => InvalidDomainSearchType,
    State => InvalidDomainStatus,
    Time { param: "ChangeStartTime", } => InvalidChangeStartTime,
    Time => InvalidChangeEndTime,
    Store(StoreError),
});
