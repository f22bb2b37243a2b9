//! Keys of what orders of certificates need.

use edgeseal_core::{DomainName, challenge::Token};

use super::{CHALLENGES, DNS_CHALLENGES, Key};

impl Key {
    /// The http-01 challenge with this token.
    #[must_use]
    pub fn http_challenge(token: &Token) -> Self {
        Self(format!("{CHALLENGES}http-01/{token}").into())
    }

    /// The tls-alpn-01 challenge of this host.
    #[must_use]
    pub fn tls_challenge(host: &DomainName) -> Self {
        Self(format!("{CHALLENGES}tls-alpn-01/{host}").into())
    }
    /// The TXT record with this value of the dns-01 challenge of a name. A name can have several.
    #[must_use]
    pub fn dns_challenge(name: &str, value: &str) -> Self {
        Self(format!("{DNS_CHALLENGES}{name}/{value}").into())
    }
}
