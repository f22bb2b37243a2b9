//! The planning of replacements of many certificates. The component that orders certificates
//! implements the trait; the actions only call it.

use async_trait::async_trait;
use edgeseal_core::acme::reissue::{Forecast, Reissue};

/// Knows the certificates that are managed, and the limits of their issuers.
#[async_trait]
pub trait ReissuePlanner: Send + Sync {
    /// The names of the issuers, in the order of preference.
    fn issuers(&self) -> &[String];

    /// What would become of a replacement; `None` if this process orders nothing any more.
    async fn outlook(&self, reissue: Reissue) -> Option<Outlook>;
}

/// What would become of a replacement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Certificates that it concerns and that are not replaced yet.
    pub left: u64,
    /// Those of them whose last order failed; they are tried again.
    pub failing: u64,
    /// When the replacements would be issued if it ran from now on.
    pub forecast: Forecast,
}
