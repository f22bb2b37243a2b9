//! Records of orders of certificates.

use edgeseal_core::{DomainName, Timestamp, certificate::Digest, challenge::KeyAuthorization};
use serde::{Deserialize, Serialize};

use crate::Key;

/// A challenge that edges answer while an authority validates a name. Not sealed: everything in it
/// is served to anyone who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeRecord {
    /// The name that is validated.
    pub host: DomainName,
    /// The response.
    #[serde(flatten)]
    pub response: ChallengeResponse,
    /// It is not answered after this time. The store may remove it then too, but followers are not
    /// told of that.
    pub expires: Timestamp,
}

/// What an edge responds to an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ChallengeResponse {
    /// A page (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01 {
        /// Its content. Its token names the page.
        key_authorization: KeyAuthorization,
    },
    /// A certificate (RFC 8737 §3).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01 {
        /// SHA-256 of the key authorization.
        digest: Digest,
    },
}

impl ChallengeRecord {
    /// An http-01 challenge.
    #[must_use]
    pub const fn http_01(
        host: DomainName,
        key_authorization: KeyAuthorization,
        expires: Timestamp,
    ) -> Self {
        Self {
            host,
            response: ChallengeResponse::Http01 { key_authorization },
            expires,
        }
    }

    /// A tls-alpn-01 challenge.
    #[must_use]
    pub fn tls_alpn_01(
        host: DomainName,
        key_authorization: &KeyAuthorization,
        expires: Timestamp,
    ) -> Self {
        let digest = key_authorization.digest();
        Self {
            host,
            response: ChallengeResponse::TlsAlpn01 { digest },
            expires,
        }
    }

    /// The key that it is stored under.
    #[must_use]
    pub fn key(&self) -> Key {
        match &self.response {
            ChallengeResponse::Http01 { key_authorization } => {
                Key::http_challenge(&key_authorization.token())
            }
            ChallengeResponse::TlsAlpn01 { .. } => Key::tls_challenge(&self.host),
        }
    }

    /// Whether it is still to be answered.
    #[must_use]
    pub fn is_pending(&self, now: Timestamp) -> bool {
        now <= self.expires
    }
}

/// A TXT record of a dns-01 challenge (RFC 8555 §8.4). Written before it is published, deleted once
/// it is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsChallengeRecord {
    /// The name that is proved; of a wildcard the name below which it is.
    pub name: String,
    /// The value of the TXT record.
    pub value: String,
    /// The fully qualified name that it is published at: `_acme-challenge.NAME`, or where its CNAME
    /// records lead.
    pub target: String,
    /// What the command that published it wrote; empty unless its clean-up needs that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// How often it was not removed.
    #[serde(default)]
    pub failed_clean_ups: u32,
}
