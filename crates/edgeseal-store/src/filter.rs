//! Filters of listings, as data, so that each engine can evaluate them where it reads.
//!
//! A filter sees an entry's name, which is the rest of its key behind the prefix of the listing, and
//! its summary. [`Filter::matches`] decides; an engine may evaluate the condition on the name
//! ([`Filter::name`]) by other means, but with the same result. Summaries are opaque to SQL.

use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::CertificateId,
    domain::{Coverage, DomainState, ServiceType},
};

use crate::record::{CertificateSummary, DomainSummary, decode_summary, is_summary_current};

/// Which entries of a listing are wanted. An entry whose summary cannot be decoded is wanted if its
/// name is, so that it does not get lost.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Of domain summaries.
    Domains(DomainFilter),
    /// Of certificate summaries.
    Certificates(CertificateFilter),
    /// Summaries in the form of another release.
    OutdatedSummaries,
}

/// Which domains are wanted: those for which everything holds.
#[derive(Clone, Debug, Default)]
pub struct DomainFilter {
    /// The name.
    pub name: Option<TextMatch>,
    /// What else must hold.
    pub conditions: Vec<DomainCondition>,
}

/// A condition on a domain.
#[derive(Clone, Debug)]
pub enum DomainCondition {
    /// Its ID is one of these.
    Id(Vec<i64>),
    /// Its state.
    State(DomainState),
    /// It delivers one of these.
    Service(Vec<ServiceType>),
    /// It is delivered in one of these regions.
    Coverage(Vec<Coverage>),
    /// It has this origin.
    Origin(String),
    /// It is in this resource group.
    ResourceGroup(String),
    /// It was last changed then or later.
    ModifiedFrom(Timestamp),
    /// It was last changed before.
    ModifiedBefore(Timestamp),
    /// It has a tag.
    Tagged,
    /// It has one of these tags: see [`is_tag`].
    Tag(Vec<(String, String)>),
    /// It has this setting.
    Setting(String),
    /// HTTPS is on for production.
    Https,
    /// It serves one of these certificates in production.
    Certificate(Vec<CertificateId>),
}

/// Which certificates are wanted: those for which everything holds.
#[derive(Clone, Debug, Default)]
pub struct CertificateFilter {
    /// What must hold.
    pub conditions: Vec<CertificateCondition>,
}

/// A condition on a certificate.
#[derive(Clone, Debug)]
pub enum CertificateCondition {
    /// Its ID.
    Id(CertificateId),
    /// It is in this resource group.
    ResourceGroup(String),
    /// Whether its owner revoked or disabled it.
    Revoked(bool),
    /// Its leaf ends then or later.
    ExpiresFrom(Timestamp),
    /// Its leaf ends before.
    ExpiresBefore(Timestamp),
    /// Its name or common name contains this text, given in lower case; case is ignored.
    Named(String),
    /// Its name, common name or one of its DNS names contains the text, given in lower case, of
    /// which the case is ignored for ASCII; or it has the ID.
    Keyword {
        /// The text.
        text: String,
        /// The ID.
        id: Option<CertificateId>,
    },
    /// One of its names covers one of these.
    Covers(Vec<DomainPattern>),
}

/// How a text is compared, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// It is this text.
    Equals(String),
    /// It starts with this text.
    StartsWith(String),
    /// It ends with this text.
    EndsWith(String),
    /// It contains this text.
    Contains(String),
}

impl Filter {
    /// Whether an entry is wanted. Called for every entry of a listing: it borrows from the summary.
    #[must_use]
    pub fn matches(&self, name: &str, value: &[u8]) -> bool {
        match self {
            Self::Domains(filter) => {
                filter.name.as_ref().is_none_or(|it| it.matches(name))
                    && (filter.conditions.is_empty()
                        || decode_summary(value).map_or(true, |domain: DomainSummary<'_>| {
                            filter.conditions.iter().all(|it| it.holds(&domain))
                        }))
            }
            Self::Certificates(filter) => {
                // Listings of all regions have the region before the ID.
                let id = name.rsplit('/').next().and_then(|id| id.parse().ok());
                let id = id.unwrap_or_default();
                decode_summary(value).map_or(true, |certificate: CertificateSummary<'_>| {
                    filter
                        .conditions
                        .iter()
                        .all(|it| it.holds(id, &certificate))
                })
            }
            Self::OutdatedSummaries => !is_summary_current(value),
        }
    }

    /// The condition on the name alone; `None` if there is none.
    #[must_use]
    pub const fn name(&self) -> Option<&TextMatch> {
        match self {
            Self::Domains(filter) => filter.name.as_ref(),
            Self::Certificates(_) | Self::OutdatedSummaries => None,
        }
    }

    /// Whether the name decides, whatever the summary is.
    #[must_use]
    pub const fn is_by_name(&self) -> bool {
        match self {
            Self::Domains(filter) => filter.conditions.is_empty(),
            Self::Certificates(filter) => filter.conditions.is_empty(),
            Self::OutdatedSummaries => false,
        }
    }
}

impl DomainFilter {
    /// The domains for which one condition holds.
    #[must_use]
    pub fn of(condition: DomainCondition) -> Self {
        Self {
            name: None,
            conditions: vec![condition],
        }
    }

    /// Whether it matches every domain.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.name.is_none() && self.conditions.is_empty()
    }

    /// The same listing with as long a prefix as the name allows, and what is left of the filter
    /// there.
    pub(crate) fn narrow(mut self, prefix: &str) -> (String, Self) {
        let (start, rest) = match self.name.take() {
            // The rest of the key is empty.
            Some(TextMatch::Equals(name)) => (name, Some(TextMatch::Equals(String::new()))),
            Some(TextMatch::StartsWith(start)) => (start, None),
            other => (String::new(), other),
        };
        self.name = rest;
        (format!("{prefix}{start}"), self)
    }
}

impl DomainCondition {
    fn holds(&self, domain: &DomainSummary<'_>) -> bool {
        match self {
            Self::Id(ids) => ids.contains(&domain.id),
            Self::State(state) => domain.state == *state,
            Self::Service(services) => services.contains(&domain.service),
            Self::Coverage(regions) => regions.contains(&domain.coverage),
            Self::Origin(origin) => domain.origins.contains(&origin.as_str()),
            Self::ResourceGroup(group) => domain.resource_group == group,
            Self::ModifiedFrom(from) => domain.modified >= *from,
            Self::ModifiedBefore(before) => domain.modified < *before,
            Self::Tagged => !domain.tags.is_empty(),
            Self::Tag(tags) => {
                let mut own = domain.tags.iter();
                own.any(|(key, value)| tags.iter().any(|tag| is_tag(tag, key, value)))
            }
            Self::Setting(name) => domain.settings.contains(&name.as_str()),
            Self::Https => domain.served.is_some(),
            Self::Certificate(ids) => domain
                .served
                .is_some_and(|served| ids.contains(&served.certificate)),
        }
    }
}

impl CertificateCondition {
    fn holds(&self, id: CertificateId, certificate: &CertificateSummary<'_>) -> bool {
        match self {
            Self::Id(wanted) => id == *wanted,
            Self::ResourceGroup(group) => certificate.resource_group == group,
            Self::Revoked(revoked) => certificate.revoked == *revoked,
            Self::ExpiresFrom(from) => certificate.not_after >= *from,
            Self::ExpiresBefore(before) => certificate.not_after < *before,
            Self::Named(text) => {
                let names = [certificate.name, certificate.common_name];
                names.iter().any(|name| name.to_lowercase().contains(text))
            }
            Self::Keyword { text, id: wanted } => {
                let texts = [
                    certificate.name,
                    certificate.common_name,
                    &certificate.names,
                ];
                // Names are almost always lower case: compare without a copy first.
                let has = |it: &&str| it.contains(text) || it.to_ascii_lowercase().contains(text);
                *wanted == Some(id) || texts.iter().any(has)
            }
            Self::Covers(domains) => certificate.names.split(',').any(|name| {
                DomainPattern::parse(name)
                    .is_ok_and(|name| domains.iter().any(|domain| name.covers(domain)))
            }),
        }
    }
}

/// Whether a tag is the wanted one, which has any value if none is given.
#[must_use]
pub fn is_tag(wanted: &(String, String), key: &str, value: &str) -> bool {
    wanted.0 == key && (wanted.1.is_empty() || wanted.1 == value)
}

impl TextMatch {
    /// Whether a text is as wanted.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equals(wanted) => text == wanted,
            Self::StartsWith(wanted) => text.starts_with(wanted),
            Self::EndsWith(wanted) => text.ends_with(wanted),
            Self::Contains(wanted) => text.contains(wanted),
        }
    }

    /// What SQL's `LIKE` compares a key with, of a listing under `prefix`; without a condition, every
    /// key there.
    pub(crate) fn like(this: Option<&Self>, prefix: &str) -> String {
        let mut pattern = String::with_capacity(prefix.len() + 16);
        let literally = |text: &str, pattern: &mut String| {
            for letter in text.chars() {
                if matches!(letter, '%' | '_' | '\\') {
                    pattern.push('\\');
                }
                pattern.push(letter);
            }
        };
        literally(prefix, &mut pattern);
        let (before, text, after) = match this {
            None => ("", "", "%"),
            Some(Self::Equals(text)) => ("", text.as_str(), ""),
            Some(Self::StartsWith(text)) => ("", text.as_str(), "%"),
            Some(Self::EndsWith(text)) => ("%", text.as_str(), ""),
            Some(Self::Contains(text)) => ("%", text.as_str(), "%"),
        };
        pattern.push_str(before);
        literally(text, &mut pattern);
        pattern.push_str(after);
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_literal() {
        let contains = TextMatch::Contains("50%_\\".to_owned());
        assert_eq!(TextMatch::like(Some(&contains), "a_b/"), r"a\_b/%50\%\_\\%");
        assert_eq!(TextMatch::like(None, "a/"), "a/%");
    }

    #[test]
    fn a_summary_that_cannot_be_decoded_is_wanted_by_its_name() {
        let filter = |name: &str| {
            Filter::Domains(DomainFilter {
                name: Some(TextMatch::Contains(name.to_owned())),
                conditions: vec![DomainCondition::Https],
            })
        };
        assert!(filter("a").matches("a.com", b"?"));
        assert!(!filter("b").matches("a.com", b"?"));
    }
}
