//! Which domain a host name belongs to: exact name first, then the one-label wildcard above it,
//! nothing else.
//!
//! One domain is replaced at a time, in O(1). Readers never wait for a writer and see a domain
//! whole, old or new. The index is generic over its values: it knows nothing of certificates.

use std::borrow::Cow;

use edgeseal_core::DomainPattern;

/// Domains by name.
///
/// A domain is stored under the spelling of its [`DomainPattern`]: `example.com`, and
/// `.example.com` for the wildcard below it. The leading dot is the marker; the key of a wildcard
/// lookup is therefore a tail of the host itself.
#[derive(Debug)]
pub struct Index<T> {
    domains: papaya::HashMap<Box<str>, T>,
}

/// A host name in the spelling of the index: lower case, no trailing dot, no empty label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a>(Cow<'a, str>);

/// How a domain was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The host is the domain's own name.
    Exact,
    /// The host is one label below the base of a wildcard domain.
    Wildcard,
}

/// A host, and the domain that was found for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedDomain<'a> {
    /// The host.
    pub host: Host<'a>,
    /// How its domain was found.
    pub found: Match,
    /// The id of its domain.
    pub domain_id: i64,
}

impl<T: Clone> Index<T> {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self {
            domains: papaya::HashMap::new(),
        }
    }

    /// Reserves capacity for `more` domains, so that inserting them does not rehash.
    pub fn reserve(&self, more: usize) {
        self.domains.pin().reserve(more);
    }

    /// The number of domains.
    #[must_use]
    pub fn len(&self) -> usize {
        self.domains.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// Inserts or replaces the domain of this name.
    pub fn put(&self, name: &DomainPattern, domain: T) {
        self.domains
            .pin()
            .insert(name.to_string().into_boxed_str(), domain);
    }

    /// Removes a domain. Returns whether it was there.
    pub fn remove(&self, name: &DomainPattern) -> bool {
        self.domains
            .pin()
            .remove(name.to_string().as_str())
            .is_some()
    }

    /// The domain of exactly this name.
    #[must_use]
    pub fn get(&self, name: &DomainPattern) -> Option<T> {
        self.domains.pin().get(name.to_string().as_str()).cloned()
    }

    /// The names of all domains. Weakly consistent: each was there at some moment of the call.
    #[must_use]
    pub fn names(&self) -> Vec<Box<str>> {
        self.domains.pin().keys().cloned().collect()
    }

    /// Visits all domains. Weakly consistent: each was there at some moment of the call.
    pub fn visit(&self, mut each: impl FnMut(&str, &T)) {
        for (name, domain) in &self.domains.pin() {
            each(name, domain);
        }
    }

    /// The domain that `host` belongs to.
    #[must_use]
    pub fn find(&self, host: &Host<'_>) -> Option<(T, Match)> {
        let domains = self.domains.pin();
        if let Some(domain) = domains.get(host.as_str()) {
            return Some((domain.clone(), Match::Exact));
        }
        let domain = domains.get(host.below_first_label()?)?;
        Some((domain.clone(), Match::Wildcard))
    }
}

impl<T: Clone> Default for Index<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Host<'a> {
    /// Parses a host name from a ClientHello or a `Host` header, without a port. `None` if no
    /// domain can have this name: an empty label, more than 253 bytes, or a byte that names do not
    /// have. Names in other scripts arrive as A-labels (RFC 6066 §3, RFC 9110 §7.2), so only ASCII
    /// is considered.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let well_formed = name.len() <= 253
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
        if !well_formed {
            return None;
        }
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return Some(Self(Cow::Owned(name.to_ascii_lowercase())));
        }
        Some(Self(Cow::Borrowed(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling of the wildcard that this host would belong to.
    fn below_first_label(&self) -> Option<&str> {
        let dot = self.0.find('.')?;
        Some(&self.0[dot..])
    }
}

impl MatchedDomain<'_> {
    /// The same domain, with an owned host.
    #[must_use]
    pub fn into_owned(self) -> MatchedDomain<'static> {
        MatchedDomain {
            host: Host(Cow::Owned(self.host.0.into_owned())),
            found: self.found,
            domain_id: self.domain_id,
        }
    }

    /// The name of the domain; `None` only if no domain can match the host.
    #[must_use]
    pub fn name(&self) -> Option<DomainPattern> {
        let spelling = match self.found {
            Match::Exact => self.host.as_str(),
            Match::Wildcard => self.host.below_first_label()?,
        };
        DomainPattern::parse(spelling).ok()
    }

    /// Whether both hosts belong to one domain, and not to two of the same name, of which one was
    /// deleted before the other was added.
    #[must_use]
    pub fn is_same(&self, other: &MatchedDomain<'_>) -> bool {
        let same_name = match (self.found, other.found) {
            (Match::Wildcard, Match::Wildcard) => {
                self.host.below_first_label() == other.host.below_first_label()
            }
            _ => self.host == other.host,
        };
        same_name && self.domain_id == other.domain_id
    }
}

#[cfg(test)]
mod tests;
