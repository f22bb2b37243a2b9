//! Issuers: the authorities that certificates are ordered from, in the order of preference.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use edgeseal_core::{Secret, Timestamp, acme::IssuerLimits, managed_certificate::KeyType};

use edgeseal_store::record::ChallengeMethod;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{accounts::Session, http_client::AuthorityClient};

/// Longest name of an issuer.
const NAME_MAX: usize = 64;

/// The configuration of an issuer.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Its name in the configuration, in the store and in messages: letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// URL of its directory (RFC 8555 §7.1.1), `https`.
    pub directory: String,
    /// Where the authority writes to, as in `mailto:ops@example.com`.
    pub contact: Vec<String>,
    /// Whether the operator agrees to its terms of service. Nothing is ordered otherwise.
    pub accept_terms: bool,
    /// Authorities that vouch for the directory's server; none: those of the system.
    pub roots: Vec<CertificateDer<'static>>,
    /// The profile of its certificates, if it offers several.
    pub profile: Option<String>,
    /// The account at the authority that orders are billed to (RFC 8555 §7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// The keys of its certificates.
    pub key: IssuedKeys,
    /// The kinds of challenges that are answered, in the order of preference; none: all.
    pub challenges: Vec<ChallengeMethod>,
    /// Whether a renewal keeps the key. By default each certificate has a new one.
    pub keep_key: bool,
    /// How much it lets the account order.
    pub limits: IssuerLimits,
}

/// An account that the operator has at an authority by other means.
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    /// Its identifier.
    pub key_id: String,
    /// The key that proves it, decoded.
    pub hmac_key: Secret,
}

/// The keys for which certificates are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuedKeys {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// RSA of 2048 bits.
    Rsa2048,
    /// Both: the certificate with the RSA key is bound as the companion.
    Both,
}

/// Why an issuer cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIssuer {
    /// A name that cannot be part of a key of the store.
    #[error("the name of an issuer is 1 to {NAME_MAX} letters, digits, \".\", \"-\" or \"_\"")]
    Name,
    /// Two issuers have this name.
    #[error("two issuers have the name {0}")]
    Duplicate(String),
    /// Not an https URL.
    #[error("{directory:?} is not the URL of a directory: https://... is expected")]
    Directory {
        /// The URL given.
        directory: String,
    },
    /// The authorities for the directory's server cannot be read.
    #[error("there is no certificate of an authority in the root file")]
    Roots,
    /// The system knows no authorities.
    #[error("no certificate authority is known to this system: set root_file")]
    NoSystemRoots,
    /// The crypto provider refuses.
    #[error("TLS to the issuer cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl IssuedKeys {
    /// The types of the keys, that of the primary certificate first.
    #[must_use]
    pub const fn types(self) -> &'static [KeyType] {
        match self {
            Self::P256 => &[KeyType::P256],
            Self::Rsa2048 => &[KeyType::Rsa2048],
            Self::Both => &[KeyType::P256, KeyType::Rsa2048],
        }
    }
}

/// An issuer with its HTTP client.
pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    pub(crate) http: AuthorityClient,
    /// Held while the account is opened or created, so that none is created twice. One that does
    /// not answer holds up no other issuer.
    pub(crate) session: Mutex<Session>,
}

impl Issuer {
    fn new(config: IssuerConfig, clock: fn() -> Timestamp) -> Result<Self, InvalidIssuer> {
        let in_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let name = &config.name;
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(in_name) {
            return Err(InvalidIssuer::Name);
        }
        let url = config.directory.parse::<http::Uri>().ok();
        let url = url.filter(|url| url.scheme_str() == Some("https"));
        let Some(host) = url.as_ref().and_then(http::Uri::host) else {
            return Err(InvalidIssuer::Directory {
                directory: config.directory,
            });
        };
        let http = AuthorityClient::new(host, config.roots.clone(), clock)?;
        Ok(Self {
            config,
            http,
            session: Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// The name that its account is stored under: each directory has its own, so that none is lost
    /// when another directory takes the name for a while.
    pub(crate) fn account_name(&self) -> String {
        let digest = digest(&SHA256, self.config.directory.as_bytes());
        format!(
            "{}-{}",
            self.config.name,
            URL_SAFE_NO_PAD.encode(&digest.as_ref()[..9])
        )
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// Whether a directory looks like that of a test environment: by its host name.
fn is_test_directory(url: &str) -> bool {
    let url = url.parse::<http::Uri>().ok();
    let host = url.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let mut words = host.split(['.', '-']);
    words.any(|word| matches!(word, "staging" | "test" | "testing" | "sandbox" | "pebble"))
}

/// Checks the configured issuers.
///
/// # Errors
/// [`InvalidIssuer`] of the first that has one.
pub(crate) fn issuers(
    configs: Vec<IssuerConfig>,
    clock: fn() -> Timestamp,
) -> Result<Vec<Issuer>, InvalidIssuer> {
    let mut issuers: Vec<Issuer> = Vec::with_capacity(configs.len());
    for config in configs {
        if issuers.iter().any(|issuer| issuer.name() == config.name) {
            return Err(InvalidIssuer::Duplicate(config.name));
        }
        issuers.push(Issuer::new(config, clock)?);
    }
    let is_test = |issuer: &&Issuer| is_test_directory(&issuer.config.directory);
    let tests = issuers.iter().filter(is_test).count();
    if tests > 0 && tests < issuers.len() {
        tracing::warn!(
            "some issuers are test environments, whose certificates no browser trusts: they are \
             asked when the others are down or have reached a limit"
        );
    }
    Ok(issuers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_environments() {
        for (url, expected) in [
            (
                "https://acme-staging-v02.api.letsencrypt.org/directory",
                true,
            ),
            ("https://dv.acme-v02.test-api.pki.goog/directory", true),
            ("https://pebble:14000/dir", true),
            ("https://acme-v02.api.letsencrypt.org/directory", false),
            ("https://ca.latest.example/acme/dir", false),
        ] {
            assert_eq!(is_test_directory(url), expected, "{url}");
        }
    }
}
