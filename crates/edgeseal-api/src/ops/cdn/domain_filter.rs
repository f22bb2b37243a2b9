//! The domain filter of the lists of both products.

use edgeseal_core::{
    AccountId, Timestamp,
    domain::{Coverage, Domain, DomainState, ServiceType},
};
use edgeseal_store::{Catalog, Fault, Listing, catalog::Pagination, record::DomainSummary};

use super::{tags, wire_names::WireName as _};
use crate::{
    error::{StoreError, api_error},
    ops::paging::{InvalidPage, Page},
    request::ParamMap,
    sanitize::sanitize,
};

/// The filter; a member that is `None` or empty matches everything.
#[derive(Clone, Default)]
pub struct DomainFilter {
    pub(in crate::ops) page: Page,
    name: Option<(String, NameMatch)>,
    state: Option<DomainState>,
    /// An unknown value matches nothing.
    services: Option<Vec<ServiceType>>,
    /// Like `services`.
    coverage: Option<Option<Coverage>>,
    source: Option<String>,
    resource_group: Option<String>,
    changed_from: Option<Timestamp>,
    changed_to: Option<Timestamp>,
    tags: Vec<(String, String)>,
}

/// How a name is compared.
#[derive(Clone, Copy)]
enum NameMatch {
    Full,
    Fuzzy,
    Prefix,
    Suffix,
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

impl DomainFilter {
    /// Reads the parameters. `CheckDomainShow` is ignored: no domain is ever under review here.
    ///
    /// # Errors
    /// [`InvalidDomainFilter`].
    pub(in crate::ops) fn parse(params: &ParamMap) -> Result<Self, InvalidDomainFilter> {
        let state = params.get_non_empty("DomainStatus").map(|word| {
            DomainState::from_wire_name(word).ok_or_else(|| InvalidDomainFilter::State {
                given: sanitize(word),
            })
        });
        let services = params.get_non_empty("CdnType").map(|words| {
            // Each value once, however often it is named.
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
        Ok(Self {
            page: Page::parse(params, 20, 500)?,
            name: name(params)?,
            state: state.transpose()?,
            services,
            coverage: params
                .get_non_empty("Coverage")
                .map(Coverage::from_wire_name),
            source: params.get_non_empty("Source").map(str::to_owned),
            resource_group: params.get_non_empty("ResourceGroupId").map(str::to_owned),
            changed_from: time(params, "ChangeStartTime")?,
            changed_to: time(params, "ChangeEndTime")?,
            tags: tags::parse_filter(params),
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
        if self.is_unfiltered() {
            return catalog.domains(account, span).await;
        }
        let search = self.clone();
        catalog
            .domains_where(
                account,
                move |name, domain| search.matches(name, domain),
                span,
            )
            .await
    }

    const fn is_unfiltered(&self) -> bool {
        self.name.is_none()
            && self.state.is_none()
            && self.services.is_none()
            && self.coverage.is_none()
            && self.source.is_none()
            && self.resource_group.is_none()
            && self.changed_from.is_none()
            && self.changed_to.is_none()
            && self.tags.is_empty()
    }

    fn matches(&self, name: &str, domain: &DomainSummary<'_>) -> bool {
        let has_tag = |wanted: &(String, String)| {
            let mut tags = domain.tags.iter();
            tags.any(|(key, value)| tags::is_wanted(wanted, key, value))
        };
        self.name
            .as_ref()
            .is_none_or(|(text, how)| how.matches(name, text))
            && self.state.is_none_or(|state| domain.state == state)
            && self
                .services
                .as_ref()
                .is_none_or(|services| services.contains(&domain.service))
            && self
                .coverage
                .is_none_or(|coverage| coverage == Some(domain.coverage))
            && self
                .source
                .as_ref()
                .is_none_or(|source| domain.origins.contains(&source.as_str()))
            && self
                .resource_group
                .as_ref()
                .is_none_or(|group| domain.resource_group == *group)
            && self.changed_from.is_none_or(|from| domain.modified >= from)
            && self.changed_to.is_none_or(|to| domain.modified < to)
            && self.tags.iter().all(has_tag)
    }
}

impl NameMatch {
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "full_match" => Some(Self::Full),
            "fuzzy_match" => Some(Self::Fuzzy),
            "pre_match" => Some(Self::Prefix),
            "suf_match" => Some(Self::Suffix),
            _ => None,
        }
    }

    fn matches(self, name: &str, text: &str) -> bool {
        match self {
            Self::Full => name == text,
            Self::Fuzzy => name.contains(text),
            Self::Prefix => name.starts_with(text),
            Self::Suffix => name.ends_with(text),
        }
    }
}

fn time(params: &ParamMap, param: &'static str) -> Result<Option<Timestamp>, InvalidDomainFilter> {
    let given = params.get_non_empty(param);
    let parsed =
        given.map(|text| Timestamp::parse_iso(text).ok_or(InvalidDomainFilter::Time { param }));
    parsed.transpose()
}

/// The name to search for, lower case, `*.x` as `.x`, and how it is compared.
fn name(params: &ParamMap) -> Result<Option<(String, NameMatch)>, InvalidDomainFilter> {
    let how = params
        .get_non_empty("DomainSearchType")
        .unwrap_or("full_match");
    let how = NameMatch::of_word(how).ok_or_else(|| InvalidDomainFilter::SearchType {
        given: sanitize(how),
    })?;
    let Some(text) = params.get_non_empty("DomainName") else {
        return Ok(None);
    };
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix('*').unwrap_or(&text).to_owned();
    Ok(Some((text, how)))
}

api_error!(InvalidDomainFilter {
    Page(InvalidPage),
    SearchType => InvalidDomainSearchType,
    State => InvalidDomainStatus,
    Time { param: "ChangeStartTime", } => InvalidChangeStartTime,
    Time => InvalidChangeEndTime,
    Store(StoreError),
});
