//! Host names, and the patterns that match one or many of them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A host name: lower-case A-labels (RFC 5890 §2.3.2.1) joined by dots, at least two labels, no
/// trailing dot, at most 253 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Box<str>);

/// A pattern of host names: an accelerated domain or a subject alternative name.
///
/// A wildcard matches exactly one label before its base (RFC 9525 §6.3): `*.example.com` matches
/// `a.example.com`, never `a.b.example.com` and never `example.com`.
///
/// Printed and stored as `example.com` and, for a wildcard, `.example.com`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DomainPattern {
    /// One host name.
    Exact(DomainName),
    /// Every name one label below this one.
    Wildcard(DomainName),
}

/// Why a string is not a domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomainName {
    /// Nothing remains after trimming.
    #[error("the name is empty")]
    Empty,
    /// Longer than 253 bytes in A-label form, the limit of RFC 1035 §2.3.4 without the root dot.
    #[error("the name has {length} characters; a domain name has at most 253")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A single label, such as `localhost`.
    #[error("{name:?} is a single label; a domain name has at least two")]
    SingleLabel {
        /// The label.
        name: String,
    },
    /// An IP address.
    #[error("{name:?} is an IP address, not a domain name")]
    IpAddress {
        /// The address as given.
        name: String,
    },
    /// A `*` that is not the whole first label.
    #[error("a wildcard is allowed only as the whole first label, as in *.example.com")]
    MisplacedWildcard,
    /// IDNA processing (UTS #46, STD3 rules) refused a label.
    #[error(
        "{name:?} is not a domain name: a label is empty, too long, or has characters that names do not have"
    )]
    Label {
        /// The name as given, cut to 80 characters.
        name: String,
    },
}

impl DomainName {
    /// Parses a host name: trims white space and one trailing dot, and maps to lower-case A-labels.
    ///
    /// # Errors
    /// [`InvalidDomainName`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, InvalidDomainName> {
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(InvalidDomainName::Empty);
        }
        if text.contains('*') {
            return Err(InvalidDomainName::MisplacedWildcard);
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(InvalidDomainName::IpAddress {
                name: text.to_owned(),
            });
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| InvalidDomainName::Label {
            name: text.chars().take(80).collect(),
        })?;
        if ascii.len() > 253 {
            return Err(InvalidDomainName::TooLong {
                length: ascii.len(),
            });
        }
        if !ascii.contains('.') {
            return Err(InvalidDomainName::SingleLabel { name: ascii });
        }
        // An all-numeric last label is an IPv4 address (URL Standard, "ends in a number").
        let last = ascii.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidDomainName::IpAddress { name: ascii });
        }
        Ok(Self(ascii.into_boxed_str()))
    }

    /// The name in lower-case A-labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its first label, if at least two labels remain.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        let (_, parent) = self.0.split_once('.')?;
        parent.contains('.').then_some(parent)
    }
}

impl DomainPattern {
    /// Parses `example.com`, `*.example.com` or `.example.com`.
    ///
    /// # Errors
    /// [`InvalidDomainName`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, InvalidDomainName> {
        let text = text.trim();
        match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
            Some(base) => DomainName::parse(base).map(Self::Wildcard),
            None => DomainName::parse(text).map(Self::Exact),
        }
    }

    /// Whether this is a wildcard.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }

    /// The name itself, or the part after `*.`.
    #[must_use]
    pub const fn base(&self) -> &DomainName {
        match self {
            Self::Exact(name) | Self::Wildcard(name) => name,
        }
    }

    /// The registrable domain: the public suffix (<https://publicsuffix.org>, private section
    /// included) and one label.
    ///
    /// An unknown top-level domain is a suffix of one label. A name that is itself a public suffix
    /// is its own root.
    #[must_use]
    pub fn registrable_domain(&self) -> DomainName {
        let base = self.base();
        psl::domain_str(base.as_str()).map_or_else(|| base.clone(), |root| DomainName(root.into()))
    }

    /// Whether the pattern matches `host`.
    #[must_use]
    pub fn matches(&self, host: &DomainName) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(base) => host
                .0
                .split_once('.')
                .is_some_and(|(_, rest)| rest == base.as_str()),
        }
    }

    /// Whether this pattern matches every name that `other` matches: does a certificate with this
    /// subject alternative name cover the domain `other`?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exact(name) => self.matches(name),
            Self::Wildcard(_) => self == other,
        }
    }

    /// The form used in certificates: `*.example.com` for a wildcard.
    #[must_use]
    pub fn to_san(&self) -> String {
        match self {
            Self::Exact(name) => name.as_str().to_owned(),
            Self::Wildcard(base) => format!("*.{}", base.as_str()),
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(base) => write!(f, ".{base}"),
        }
    }
}

impl fmt::Debug for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for DomainName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DomainName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl Serialize for DomainPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DomainPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
