//! How a domain is delivered: what its owner chose beyond its certificate.
//!
//! A [`Setting`] is what the owner wrote, under whatever name: it is stored and read back as it is.
//! A [`DeliveryConfig`] is what follows from the settings and is obeyed by the edge. Whoever writes
//! settings derives the delivery from them; see [`crate::domain::Domain::configure`].

use serde::{Deserialize, Serialize};

/// One named setting of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its number, unique over all domains.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its arguments, in the order in which they were written.
    pub arguments: Vec<(String, String)>,
    /// Whether others of its name may stand beside it; if not, it stands in their place.
    #[serde(
        rename = "several",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub repeatable: bool,
    /// The setting that it depends on, if it depends on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<i64>,
}

/// What the edge obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryConfig {
    /// Whether HTTP/2 is offered in ALPN (RFC 7301).
    pub http2: bool,
    /// Whether an OCSP response is stapled where the certificate's authority has one (RFC 6066 §8).
    pub ocsp_stapling: bool,
    /// Versions of TLS that are spoken.
    pub tls: TlsVersions,
    /// Whether one scheme is redirected to the other.
    pub redirect: Option<Redirect>,
    /// Strict transport security, if it is announced.
    pub hsts: Option<Hsts>,
}

/// Versions of TLS that are spoken, from the older to the newer.
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
    /// Requests over HTTP are sent to HTTPS, while HTTPS is on.
    ToHttps,
    /// Requests over HTTPS are sent to HTTP.
    ToHttp,
}

/// Strict transport security (RFC 6797 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hsts {
    /// How long browsers remember it, in seconds.
    pub max_age_s: u32,
    /// Whether it holds for all names below the domain too.
    pub include_subdomains: bool,
}

impl Default for DeliveryConfig {
    /// HTTP/2 is offered, TLS 1.2 and 1.3 are spoken, nothing else is done.
    fn default() -> Self {
        Self {
            http2: true,
            ocsp_stapling: false,
            tls: TlsVersions::Both,
            redirect: None,
            hsts: None,
        }
    }
}
