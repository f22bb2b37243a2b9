//! Keys of what visitors find.

use edgeseal_core::DomainPattern;

use super::{DOMAINS, Key, OBSERVATIONS};

impl Key {
    /// What visitors of a domain find.
    #[must_use]
    pub fn observation(domain: &DomainPattern) -> Self {
        Self(format!("{OBSERVATIONS}{domain}").into())
    }
}

/// One of 256 parts of all domains, of about the same size.
#[must_use]
pub fn domains_part(part: u8) -> String {
    format!("{DOMAINS}{part:02x}/")
}
