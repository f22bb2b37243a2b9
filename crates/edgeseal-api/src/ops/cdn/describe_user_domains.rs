//! `DescribeUserDomains`: the account's domains, filtered and paged.

use edgeseal_core::{
    Timestamp,
    domain::{Coverage, Domain, Service, State},
};
use serde::Serialize;

use super::{
    sources::Source,
    tags,
    words::{Word as _, cname, on_off},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct DescribeUserDomains;

/// What is looked for; what is `None` or empty does not count.
pub struct Search {
    page_number: usize,
    page_size: usize,
    name: Option<(String, Match)>,
    state: Option<State>,
    services: Vec<Service>,
    coverage: Option<Coverage>,
    source: Option<String>,
    resource_group: Option<String>,
    changed_from: Option<Timestamp>,
    changed_to: Option<Timestamp>,
    tags: Vec<(String, String)>,
    /// Whether domains that were never served are shown too.
    with_unserved: bool,
}

/// How a name is compared.
#[derive(Clone, Copy)]
enum Match {
    Full,
    Fuzzy,
    Prefix,
    Suffix,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    page_number: usize,
    page_size: usize,
    total_count: usize,
    domains: Domains,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Domains {
    page_data: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    domain_id: i64,
    domain_name: String,
    cname: String,
    cdn_type: &'static str,
    domain_status: &'static str,
    coverage: &'static str,
    ssl_protocol: &'static str,
    sandbox: &'static str,
    description: String,
    resource_group_id: String,
    gmt_created: String,
    gmt_modified: String,
    sources: Sources,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sources {
    source: Vec<Source>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error("PageNumber must be a number from 1 to 100000")]
    PageNumber,
    /// Out of range.
    #[error("PageSize must be a number from 1 to 500")]
    PageSize,
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
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for DescribeUserDomains {
    type Params = Search;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidPageNumber,
        Code::InvalidPageSize,
        Code::InvalidDomainSearchType,
        Code::InvalidDomainStatus,
    ];

    fn parse(params: &Params) -> Result<Search, Error> {
        let state = params.given("DomainStatus").map(|word| {
            State::of_word(word).ok_or_else(|| Error::State {
                given: word.to_owned(),
            })
        });
        let time = |name| params.given(name).and_then(Timestamp::parse_iso);
        let words = params.given("CdnType").unwrap_or_default().split(',');
        Ok(Search {
            page_number: number(params, "PageNumber", 1, 100_000).ok_or(Error::PageNumber)?,
            page_size: number(params, "PageSize", 20, 500).ok_or(Error::PageSize)?,
            name: name(params)?,
            state: state.transpose()?,
            services: words
                .filter_map(|word| Service::of_word(word.trim()))
                .collect(),
            coverage: params.given("Coverage").and_then(Coverage::of_word),
            source: params.given("Source").map(str::to_owned),
            resource_group: params.given("ResourceGroupId").map(str::to_owned),
            changed_from: time("ChangeStartTime"),
            changed_to: time("ChangeEndTime"),
            tags: tags::parse(params),
            with_unserved: params
                .given("CheckDomainShow")
                .is_some_and(|word| word.eq_ignore_ascii_case("true")),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Search,
    ) -> Result<Done<Reply>, Error> {
        let domains = context
            .catalog
            .domains_of(call.account())
            .await
            .map_err(Trouble::from)?;
        let found: Vec<&Domain> = domains
            .iter()
            .filter(|domain| search.finds(domain))
            .collect();
        let skip = (search.page_number - 1).saturating_mul(search.page_size);
        let page = found.iter().skip(skip).take(search.page_size);
        let suffix = &context.settings.cname_suffix;
        Ok(Done::read(Reply {
            page_number: search.page_number,
            page_size: search.page_size,
            total_count: found.len(),
            domains: Domains {
                page_data: page.map(|domain| Row::of(domain, suffix)).collect(),
            },
        }))
    }
}

impl Search {
    fn finds(&self, domain: &Domain) -> bool {
        let unserved = matches!(
            domain.state,
            State::Checking | State::CheckFailed | State::ConfigureFailed
        );
        let asked_for = self.state.is_some() || self.with_unserved;
        let has_tag = |wanted: &(String, String)| {
            domain
                .tags
                .iter()
                .any(|(key, value)| *key == wanted.0 && (wanted.1.is_empty() || *value == wanted.1))
        };
        (asked_for || !unserved)
            && self
                .name
                .as_ref()
                .is_none_or(|(text, how)| how.matches(&domain.name.to_string(), text))
            && self.state.is_none_or(|state| domain.state == state)
            && (self.services.is_empty() || self.services.contains(&domain.service))
            && self
                .coverage
                .is_none_or(|coverage| domain.coverage == coverage)
            && self.source.as_ref().is_none_or(|source| {
                domain
                    .origins
                    .iter()
                    .any(|origin| origin.address == *source)
            })
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

impl Row {
    fn of(domain: &Domain, cname_suffix: &str) -> Self {
        Self {
            domain_id: domain.id,
            domain_name: domain.name.to_string(),
            cname: cname(&domain.name, cname_suffix),
            cdn_type: domain.service.word(),
            domain_status: domain.state.word(),
            coverage: domain.coverage.word(),
            ssl_protocol: on_off(
                domain
                    .production
                    .as_ref()
                    .is_some_and(|binding| binding.enabled),
            ),
            sandbox: "normal",
            description: domain.description.clone(),
            resource_group_id: domain.resource_group.clone(),
            gmt_created: domain.created.to_string(),
            gmt_modified: domain.modified.to_string(),
            sources: Sources {
                source: domain.origins.iter().map(Source::listed).collect(),
            },
        }
    }
}

/// The name that is looked for, lower case, `*.x` as `.x`, and how it is compared.
fn name(params: &Params) -> Result<Option<(String, Match)>, Error> {
    let how = params.given("DomainSearchType").unwrap_or("full_match");
    let how = Match::of_word(how).ok_or_else(|| Error::SearchType {
        given: how.to_owned(),
    })?;
    let Some(text) = params.given("DomainName") else {
        return Ok(None);
    };
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix('*').unwrap_or(&text).to_owned();
    Ok(Some((text, how)))
}

fn number(params: &Params, name: &str, default: usize, max: usize) -> Option<usize> {
    let Some(text) = params.given(name) else {
        return Some(default);
    };
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::PageNumber => Code::InvalidPageNumber,
            Self::PageSize => Code::InvalidPageSize,
            Self::SearchType { .. } => Code::InvalidDomainSearchType,
            Self::State { .. } => Code::InvalidDomainStatus,
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
