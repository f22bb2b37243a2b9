//! Which of the account's domains are looked for: what the lists of both products ask with.

use edgeseal_core::{
    AccountId, Timestamp,
    domain::{Coverage, Domain, Service, State},
};
use edgeseal_store::{
    Catalog, Fault,
    catalog::{Listing, Span},
    record::DomainSummary,
};

use super::{tags, words::Word as _};
use crate::{
    code::Code,
    operation::{Failure, Trouble},
    ops::paging::{BadPage, Page},
    request::Params,
};

/// Codes of [`BadSearch`].
pub(crate) const BAD_SEARCH: [Code; 6] = [
    Code::InvalidPageNumber,
    Code::InvalidPageSize,
    Code::InvalidDomainSearchType,
    Code::InvalidDomainStatus,
    Code::InvalidChangeStartTime,
    Code::InvalidChangeEndTime,
];

/// What is looked for; what is `None` or empty does not count.
#[derive(Clone, Default)]
pub struct Search {
    pub(in crate::ops) page: Page,
    name: Option<(String, Match)>,
    state: Option<State>,
    /// A word that is none finds nothing.
    services: Option<Vec<Service>>,
    /// As `services`.
    coverage: Option<Option<Coverage>>,
    source: Option<String>,
    resource_group: Option<String>,
    changed_from: Option<Timestamp>,
    changed_to: Option<Timestamp>,
    tags: Vec<(String, String)>,
}

/// How a name is compared.
#[derive(Clone, Copy)]
enum Match {
    Full,
    Fuzzy,
    Prefix,
    Suffix,
}

/// Why nothing is looked for.
#[derive(Debug, thiserror::Error)]
pub enum BadSearch {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] BadPage),
    /// No such way.
    #[error("DomainSearchType is {given:?}; use full_match, fuzzy_match, pre_match or suf_match")]
    SearchType {
        /// What was given.
        given: String,
    },
    /// No such state.
    #[error("DomainStatus is {given:?}; use one of {}", State::all_words())]
    State {
        /// What was given.
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
    Trouble(#[from] Trouble),
}

impl Search {
    /// Reads the parameters. `CheckDomainShow` is ignored: no domain is ever under review here.
    ///
    /// # Errors
    /// [`BadSearch`].
    pub(in crate::ops) fn parse(params: &Params) -> Result<Self, BadSearch> {
        let state = params.given("DomainStatus").map(|word| {
            State::of_word(word).ok_or_else(|| BadSearch::State {
                given: word.to_owned(),
            })
        });
        let services = params.given("CdnType").map(|words| {
            let words = words.split(',');
            words
                .filter_map(|word| Service::of_word(word.trim()))
                .collect()
        });
        Ok(Self {
            page: Page::of(params, 20, 500)?,
            name: name(params)?,
            state: state.transpose()?,
            services,
            coverage: params.given("Coverage").map(Coverage::of_word),
            source: params.given("Source").map(str::to_owned),
            resource_group: params.given("ResourceGroupId").map(str::to_owned),
            changed_from: time(params, "ChangeStartTime")?,
            changed_to: time(params, "ChangeEndTime")?,
            tags: tags::parse(params),
        })
    }

    /// What was looked for.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub(in crate::ops) async fn listing(
        &self,
        catalog: &Catalog,
        account: &AccountId,
    ) -> Result<Listing<Domain>, Fault> {
        let span = Span::of_page(self.page.number, self.page.size);
        if self.is_everything() {
            return catalog.domains(account, span).await;
        }
        let search = self.clone();
        catalog
            .domains_where(
                account,
                move |name, domain| search.finds(name, domain),
                span,
            )
            .await
    }

    const fn is_everything(&self) -> bool {
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

    fn finds(&self, name: &str, domain: &DomainSummary<'_>) -> bool {
        let has_tag = |wanted: &(String, String)| {
            domain
                .tags
                .iter()
                .any(|(key, value)| *key == wanted.0 && (wanted.1.is_empty() || *value == wanted.1))
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

impl Match {
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

fn time(params: &Params, param: &'static str) -> Result<Option<Timestamp>, BadSearch> {
    let given = params.given(param);
    let parsed = given.map(|text| Timestamp::parse_iso(text).ok_or(BadSearch::Time { param }));
    parsed.transpose()
}

/// The name that is looked for, lower case, `*.x` as `.x`, and how it is compared.
fn name(params: &Params) -> Result<Option<(String, Match)>, BadSearch> {
    let how = params.given("DomainSearchType").unwrap_or("full_match");
    let how = Match::of_word(how).ok_or_else(|| BadSearch::SearchType {
        given: how.to_owned(),
    })?;
    let Some(text) = params.given("DomainName") else {
        return Ok(None);
    };
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix('*').unwrap_or(&text).to_owned();
    Ok(Some((text, how)))
}

impl Failure for BadSearch {
    fn code(&self) -> Code {
        match self {
            Self::Page(why) => why.code(),
            Self::SearchType { .. } => Code::InvalidDomainSearchType,
            Self::State { .. } => Code::InvalidDomainStatus,
            Self::Time {
                param: "ChangeStartTime",
            } => Code::InvalidChangeStartTime,
            Self::Time { .. } => Code::InvalidChangeEndTime,
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
