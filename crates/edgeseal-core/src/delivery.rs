//! How a domain is delivered: the owner's settings besides the certificate.
//!
//! A [`Setting`] is what the owner wrote: it is stored and read back unchanged. A
//! [`DeliveryConfig`] is derived from the settings, and is what the edge applies. Code that writes
//! settings derives the configuration too: see [`crate::domain::Domain::configure`].

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

impl Default for DeliveryConfig {
    /// HTTP/2 offered, TLS 1.2 and 1.3 accepted, everything else off.
    fn default() -> Self {
        Self {
            http2: true,
            tls: TlsVersions::Both,
            redirect: None,
            hsts: None,
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
