//! Records of issuers, and of what their orders leave to be cleaned up.

use std::fmt;

use edgeseal_core::{
    DomainPattern, Timestamp, acme::IssuerHealth, domain::Environment, rate::GcraState,
};
use serde::{Deserialize, Serialize};

/// The account at an issuer (RFC 8555 §7.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerAccountRecord {
    /// URL of the directory that it is an account of.
    pub directory: String,
    /// Where the issuer writes to.
    pub contact: Vec<String>,
    /// The account's URL and private key, sealed for [`crate::Key::issuer_account`]; base64.
    pub sealed_credentials: String,
    /// When it was created.
    pub created: Timestamp,
}

/// Whether an issuer takes orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerHealthRecord {
    /// Its pause, if it has one.
    #[serde(flatten)]
    pub health: IssuerHealth,
    /// What it answered instead; empty if it takes orders.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What was used up of a limit of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerUsageRecord {
    /// The state of the limit.
    pub used: GcraState,
}

/// Challenges of one order. Written before they are provisioned, deleted once they are cleaned up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionedChallengesRecord {
    /// The domain that is ordered for.
    pub domain: DomainPattern,
    /// The environment that it is ordered for.
    pub environment: Environment,
    /// The challenges.
    pub challenges: Vec<Challenge>,
}

/// A challenge that an authority offers (RFC 8555 §8), with what proves it. Not secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Its kind.
    pub method: ChallengeMethod,
    /// The name to be proved, of a wildcard its parent.
    pub name: String,
    /// Whether the wildcard below that name is to be proved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wildcard: bool,
    /// The challenge's token.
    pub token: String,
    /// Token and thumbprint of the account key (RFC 8555 §8.1).
    pub key_authorization: String,
    /// The value of the TXT record of dns-01: the digest of the key authorization.
    pub dns_value: String,
}

/// A kind of challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChallengeMethod {
    /// A page below `/.well-known/acme-challenge/` (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate in a handshake with the protocol `acme-tls/1` (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A TXT record (RFC 8555 §8.4): the only one that proves a wildcard.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeMethod {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Http01, Self::TlsAlpn01, Self::Dns01];

    /// The name in RFC 8555 and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl fmt::Display for ChallengeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
