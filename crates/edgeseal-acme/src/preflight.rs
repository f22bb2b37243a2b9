//! What an authority would find if it were asked now. An attempt that must fail is not made: it
//! would count against the limits of the issuer, and its reason would say less.
//!
//! Only what was found stops an order. A question that this machine gets no answer to does not: the
//! authority asks from elsewhere.

mod caa;
mod order;
mod reach;
mod tls;

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use edgeseal_core::{DomainName, DomainPattern, challenge::KeyAuthorization};

use self::caa::CaaRequest;
use crate::dns::{DnsClient, absolute};

/// Where the checks look.
#[derive(Clone, Copy, Debug)]
pub struct PreflightSettings {
    /// The DNS server that resolves names; `None`: as this machine does.
    pub resolver: Option<SocketAddr>,
    /// The port at which authorities read http-01 responses (RFC 8555 §8.3: 80).
    pub http_port: u16,
    /// The port to which they follow redirects to https.
    pub https_port: u16,
    /// Time limit of the requests to one address.
    pub timeout: Duration,
}

impl Default for PreflightSettings {
    fn default() -> Self {
        Self {
            resolver: None,
            http_port: 80,
            https_port: 443,
            timeout: Duration::from_secs(10),
        }
    }
}

/// What is known about the order.
#[derive(Clone, Copy, Debug)]
pub struct PreflightRequest<'a> {
    /// The name to be proved.
    pub domain: &'a DomainPattern,
    /// The names by which CAA records allow the issuer: `caaIdentities` of its directory (RFC 8555
    /// §7.1.1). Without any it checks no CAA records, and may issue for private names.
    pub identities: &'a [String],
    /// The URL of the account, if there is one.
    pub account: Option<&'a str>,
    /// The challenges that may be used, as in `dns-01`.
    pub methods: &'a [&'a str],
}

/// What stops an order, in a sentence for whoever runs the domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// No public authority may issue for it.
    #[error("{name} ends with no public suffix, and the issuer is a public authority")]
    PrivateName {
        /// The name.
        name: String,
    },
    /// A wildcard of all names of a registry.
    #[error("*.{name} is a wildcard below a public suffix, for which no authority issues")]
    PublicSuffix {
        /// The suffix.
        name: String,
    },
    /// DNS has no address.
    #[error("{name} has no address record")]
    NoAddress {
        /// The name.
        name: String,
    },
    /// Nothing accepts connections.
    #[error(
        "{name}:{port} at {address} cannot be reached: {reason} \
         (if it can be from outside, set acme_preflight = \"off\")"
    )]
    Unreachable {
        /// The name.
        name: String,
        /// The port.
        port: u16,
        /// One of its addresses.
        address: IpAddr,
        /// The cause.
        reason: String,
    },
    /// The server has no such page.
    #[error("{name}:{port} at {address} answers {status} for the token: another server")]
    Status {
        /// The name.
        name: String,
        /// The port.
        port: u16,
        /// One of its addresses.
        address: IpAddr,
        /// The status.
        status: u16,
    },
    /// The server has another page.
    #[error("{name}:{port} at {address} answers another page instead of the token: another server")]
    Content {
        /// The name.
        name: String,
        /// The port.
        port: u16,
        /// One of its addresses.
        address: IpAddr,
    },
    /// The redirect is one that authorities do not follow.
    #[error("{name}:{port} at {address} redirects the token to {location:?}: {reason}")]
    Redirect {
        /// The name.
        name: String,
        /// The port.
        port: u16,
        /// One of its addresses.
        address: IpAddr,
        /// Where it redirects to.
        location: String,
        /// Why that does not work.
        reason: String,
    },
    /// CAA records name other authorities only (RFC 8659 §4.2).
    #[error("CAA of {at} allows only {allowed} to issue, not {issuer}")]
    OtherIssuer {
        /// The name with the CAA records.
        at: String,
        /// The authorities.
        allowed: String,
        /// The issuer.
        issuer: String,
    },
    /// CAA records name no authority.
    #[error("CAA of {at} allows nobody to issue")]
    NoIssuer {
        /// The name with the CAA records.
        at: String,
    },
    /// CAA records name another account (RFC 8657 §3).
    #[error("CAA of {at} allows {issuer} to issue for the account {account} only")]
    OtherAccount {
        /// The name with the CAA records.
        at: String,
        /// The issuer.
        issuer: String,
        /// The account.
        account: String,
    },
    /// CAA records name other challenges (RFC 8657 §4).
    #[error("CAA of {at} allows {issuer} to validate by {methods} only")]
    OtherMethod {
        /// The name with the CAA records.
        at: String,
        /// The issuer.
        issuer: String,
        /// The challenges.
        methods: String,
    },
    /// A critical CAA property that authorities do not know (RFC 8659 §4.5).
    #[error("CAA of {at} has the critical property {tag:?}, which forbids to issue")]
    Critical {
        /// The name with the CAA records.
        at: String,
        /// The property.
        tag: String,
    },
}

/// Checks names before certificates are ordered for them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Preflight {
    dns: DnsClient,
    settings: PreflightSettings,
}

impl Preflight {
    /// Contacts nobody yet.
    #[must_use]
    pub fn new(settings: PreflightSettings) -> Self {
        Self {
            dns: DnsClient::resolver(settings.resolver),
            settings,
        }
    }

    /// Checks the name and its CAA records.
    ///
    /// # Errors
    /// [`Obstacle`].
    pub async fn check_name(&self, request: &PreflightRequest<'_>) -> Result<(), Obstacle> {
        if request.identities.is_empty() {
            return Ok(());
        }
        check_public(request.domain)?;
        let base = request.domain.base();
        match caa::find(&self.dns, base).await {
            Ok(Some((at, records))) => caa::check(
                &at,
                &records,
                &CaaRequest {
                    identities: request.identities,
                    is_wildcard: request.domain.is_wildcard(),
                    account: request.account,
                    methods: request.methods,
                },
            ),
            Ok(None) => Ok(()),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(name = %base, error, "CAA records were not checked");
                Ok(())
            }
        }
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// [`Obstacle::NoAddress`]. Without an answer it is no error, but there are none.
    pub async fn addresses(&self, host: &DomainName) -> Result<Vec<IpAddr>, Obstacle> {
        if self.settings.resolver.is_none()
            && let Ok(found) = tokio::net::lookup_host((host.as_str(), 0)).await
        {
            let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let found = match absolute(host.as_str()) {
            Ok(name) => self.dns.addresses(&name).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) if found.is_empty() => Err(Obstacle::NoAddress {
                name: host.to_string(),
            }),
            Ok(found) => Ok(found),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(name = %host, error, "a name was not resolved before its order");
                Ok(Vec::new())
            }
        }
    }

    /// Checks that an http-01 response, which the edges answer with now, is what a client gets at
    /// each address of the host.
    ///
    /// # Errors
    /// [`Obstacle`].
    pub async fn check_token(
        &self,
        host: &DomainName,
        response: &KeyAuthorization,
    ) -> Result<(), Obstacle> {
        let addresses = self.addresses(host).await?;
        reach::check(self, host, &addresses, response).await
    }
}

/// Whether a public authority may issue for a name (Baseline Requirements §3.2.2.4, §3.2.2.6).
fn check_public(domain: &DomainPattern) -> Result<(), Obstacle> {
    let base = domain.base();
    let name = base.to_string();
    match psl::suffix(name.as_bytes()).filter(psl::Suffix::is_known) {
        None => Err(Obstacle::PrivateName { name }),
        Some(suffix) if domain.is_wildcard() && suffix.as_bytes() == name.as_bytes() => {
            Err(Obstacle::PublicSuffix { name })
        }
        Some(_) => Ok(()),
    }
}
