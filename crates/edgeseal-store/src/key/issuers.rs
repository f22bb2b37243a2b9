//! Keys of issuers, and of what their orders leave to be cleaned up.

use edgeseal_core::{
    DomainPattern, acme::Counter, certificate::CertificateId, domain::Environment,
};

use super::{
    ISSUER_ACCOUNTS, ISSUER_HEALTH, ISSUER_USAGE, Key, MANAGED_CERTIFICATES,
    PROVISIONED_CHALLENGES, REISSUE, REVOCATIONS, shard,
};

impl Key {
    /// The account at an issuer, by the issuer's name in the configuration and its directory:
    /// letters, digits, `.`, `-` and `_`.
    #[must_use]
    pub fn issuer_account(issuer: &str) -> Self {
        Self(format!("{ISSUER_ACCOUNTS}{issuer}").into())
    }

    /// Whether an issuer takes orders.
    #[must_use]
    pub fn issuer_health(issuer: &str) -> Self {
        Self(format!("{ISSUER_HEALTH}{issuer}").into())
    }

    /// What was used up of a limit of an issuer.
    #[must_use]
    pub fn issuer_usage(issuer: &str, counter: &Counter) -> Self {
        Self(format!("{}{counter}", issuer_usage(issuer)).into())
    }

    /// The replacement of many certificates that was asked for last.
    #[must_use]
    pub fn reissue() -> Self {
        Self(format!("{REISSUE}last").into())
    }

    /// The revocation of a certificate that was ordered for a domain.
    #[must_use]
    pub fn revocation(name: &DomainPattern, certificate: CertificateId) -> Self {
        Self(format!("{}{certificate}", revocations_of(name)).into())
    }

    /// The challenges that were provisioned for an order.
    #[must_use]
    pub fn provisioned_challenges(name: &DomainPattern, environment: Environment) -> Self {
        let (name, environment) = (name.to_string(), environment.as_str());
        let shard = shard(name.as_bytes());
        Self(format!("{PROVISIONED_CHALLENGES}{shard}/{name}/{environment}").into())
    }

    /// The domain and environment of [`Key::managed_certificate`] and
    /// [`Key::provisioned_challenges`]; `None` for any other key.
    #[must_use]
    pub fn managed_domain(&self) -> Option<(DomainPattern, Environment)> {
        let prefixes = [MANAGED_CERTIFICATES, PROVISIONED_CHALLENGES];
        let mut rest = prefixes
            .iter()
            .filter_map(|prefix| self.0.strip_prefix(prefix));
        let mut segments = rest.next()?.split('/').skip(1);
        let domain = DomainPattern::parse(segments.next()?).ok()?;
        let environment = segments.next()?;
        [Environment::Production, Environment::Staging]
            .into_iter()
            .find(|it| it.as_str() == environment)
            .map(|environment| (domain, environment))
    }
}

/// Prefix of [`Key::revocation`] of the certificates that were ordered for a domain.
#[must_use]
pub fn revocations_of(name: &DomainPattern) -> String {
    let name = name.to_string();
    format!("{REVOCATIONS}{}/{name}/", shard(name.as_bytes()))
}

/// Prefix of [`Key::issuer_usage`].
#[must_use]
pub fn issuer_usage(issuer: &str) -> String {
    format!("{ISSUER_USAGE}{issuer}/")
}
