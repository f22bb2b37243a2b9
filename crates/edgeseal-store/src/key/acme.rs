//! Keys of what orders of certificates need.

use edgeseal_core::{DomainName, challenge::Token};

use super::{CHALLENGES, Key};

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
}
