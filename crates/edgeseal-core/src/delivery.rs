//! How a domain is delivered: the owner's settings besides the certificate.
//!
//! A [`Setting`] is what the owner wrote: it is stored and read back unchanged. A
//! [`DeliveryConfig`] is derived from the settings, and is what the edge applies. Code that writes
//! settings derives the configuration too: see [`crate::domain::Domain::configure`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One named setting of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its ID, unique over all domains.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its arguments, in the order in which they were written.
    pub arguments: Vec<(String, String)>,
    /// Whether a domain may have several settings of this name; if not, a new one replaces the old.
    #[serde(
        rename = "several",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub repeatable: bool,
    /// The setting that it depends on, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<i64>,
}

/// What the edge applies; cheap to clone. Unknown members of a stored configuration are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryConfig {
    /// Whether HTTP/2 is offered in ALPN (RFC 7301).
    pub http2: bool,
    /// TLS versions that are accepted.
    pub tls: TlsVersions,
    /// The redirect between HTTP and HTTPS, if any.
    pub redirect: Option<Redirect>,
    /// HTTP Strict Transport Security, if enabled.
    pub hsts: Option<Hsts>,
    /// Changes to the headers of the origin's responses.
    #[serde(skip_serializing_if = "ResponseHeaders::is_empty")]
    pub response_headers: ResponseHeaders,
}

/// TLS versions that are accepted, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2 only.
    Only12,
    /// TLS 1.3 only.
    Only13,
}

/// Which scheme is redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// HTTP requests are redirected to HTTPS while HTTPS is on.
    ToHttps,
    /// HTTPS requests are redirected to HTTP.
    ToHttp,
}

/// HTTP Strict Transport Security (RFC 6797 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hsts {
    /// How long browsers remember it, in seconds.
    pub max_age_s: u32,
    /// Whether it also applies to all subdomains.
    pub include_subdomains: bool,
}

/// Changes to response headers, applied in this order. Few domains have any, so a domain without
/// them costs the edge one pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<ResponseHeader>", into = "Vec<ResponseHeader>")]
pub struct ResponseHeaders(Option<Arc<Vec<ResponseHeader>>>);

/// A change to one response header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResponseHeader {
    /// Its name, a token (RFC 9110 §5.1).
    pub name: String,
    /// What happens to it.
    pub change: HeaderChange,
}

/// What happens to a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderChange {
    /// It has this value only.
    Set(String),
    /// It has this value besides those that it has.
    Append(String),
    /// It is removed.
    Remove,
}

impl ResponseHeaders {
    /// No change.
    pub const NONE: Self = Self(None);

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().len() == 0
    }

    /// The changes, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ResponseHeader> {
        self.0.as_ref().map_or(&[][..], |list| list).iter()
    }

    /// Adds a change after the others.
    pub fn push(&mut self, header: ResponseHeader) {
        Arc::make_mut(self.0.get_or_insert_default()).push(header);
    }
}

impl From<Vec<ResponseHeader>> for ResponseHeaders {
    fn from(list: Vec<ResponseHeader>) -> Self {
        Self((!list.is_empty()).then(|| Arc::new(list)))
    }
}

impl From<ResponseHeaders> for Vec<ResponseHeader> {
    fn from(headers: ResponseHeaders) -> Self {
        headers.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

impl Default for DeliveryConfig {
    /// HTTP/2 offered, TLS 1.2 and 1.3 accepted, everything else off.
    fn default() -> Self {
        Self {
            http2: true,
            tls: TlsVersions::Both,
            redirect: None,
            hsts: None,
            response_headers: ResponseHeaders::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_earlier_releases_are_ignored() {
        let stored = r#"{"http2":false,"ocsp_stapling":true,"tls":"only13"}"#;
        let expected = DeliveryConfig {
            http2: false,
            tls: TlsVersions::Only13,
            ..DeliveryConfig::default()
        };
        assert_eq!(
            serde_json::from_str::<DeliveryConfig>(stored).unwrap(),
            expected
        );
    }
}
