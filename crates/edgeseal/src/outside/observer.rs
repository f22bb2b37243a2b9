//! Looks at one domain.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use edgeseal_api::ownership::OwnershipVerifier;
use edgeseal_core::{
    DomainPattern, address,
    certificate::Digest,
    outside::{Expected, Shown, ShownCertificate, Verdict, judge},
};
use edgeseal_edge::{OfferedKeys, Probe, ProbeError, ProbedChain};
use ipnet::IpNet;
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{VerifierBuilderError, WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{clock, config::Config};

/// Most addresses of a name that are contacted.
const ADDRESSES_MAX: usize = 4;

/// Resolves names and makes handshakes.
pub(super) struct Observer {
    resolver: OwnershipVerifier,
    verifier: Arc<WebPkiServerVerifier>,
    cname_suffix: String,
    addresses: Vec<IpNet>,
    port: u16,
}

/// Why nothing can be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideError {
    /// There is no DNS server.
    #[error("outside_check is on, and the system names no DNS server: set dns")]
    NoDnsServer,
    /// There are no roots.
    #[error("the roots of certificates cannot be used")]
    Roots(#[from] VerifierBuilderError),
}

/// The roots that browsers trust, and those of this system.
pub(super) fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The host that is looked at: for a wildcard the one that its CNAME begins with.
pub(super) fn host(name: &DomainPattern) -> String {
    match name {
        DomainPattern::Exact(name) => name.to_string(),
        DomainPattern::Wildcard(base) => format!("all.{base}"),
    }
}

impl Observer {
    pub(super) fn new(
        config: &Config,
        resolver: OwnershipVerifier,
        roots: RootCertStore,
    ) -> Result<Self, OutsideError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let addresses = config.outside_check_addresses.iter();
        Ok(Self {
            resolver,
            verifier: verifier.build()?,
            cname_suffix: config.cname_suffix.clone(),
            addresses: addresses.map(|it| it.0).collect(),
            port: config.outside_check_port,
        })
    }

    /// What visitors find; `None` if the DNS servers do not tell.
    pub(super) async fn observe(
        &self,
        name: &DomainPattern,
        leaves: &[Digest],
    ) -> Option<(Verdict, String)> {
        let host = host(name);
        let resolved = match self.resolver.resolve(&host).await {
            Ok(resolved) => resolved,
            Err(error) => {
                tracing::debug!(%error, "a domain cannot be looked at");
                return None;
            }
        };
        let expected = Expected {
            cname_suffix: &self.cname_suffix,
            addresses: &self.addresses,
            leaves,
        };
        let mut shown = Vec::new();
        for &address in resolved.addresses.iter().take(ADDRESSES_MAX) {
            // Others' servers are not contacted without need, nor addresses of this network, which
            // an account could choose.
            let leads_here = resolved.leads_to_edges(address, &expected);
            let is_allowed = address::is_public(address)
                || self.resolver.may_contact_private_addresses()
                || self.addresses.iter().any(|net| net.contains(&address));
            if leads_here != Some(false) && is_allowed {
                shown.extend(self.handshake(&host, address).await.map(|it| (address, it)));
            }
        }
        Some(judge(&host, &resolved, &shown, &expected, clock::now()))
    }

    /// `None` if this machine has no route to such an address.
    async fn handshake(&self, host: &str, address: IpAddr) -> Option<Shown> {
        let failed = |why: String| Some(Shown::Unreachable(why));
        let probe = match Probe::new(SocketAddr::new(address, self.port), false) {
            Ok(probe) => probe,
            Err(error) => return failed(error.to_string()),
        };
        match probe.chain(host, OfferedKeys::Any).await {
            Ok(ProbedChain::Chain(leaf, rest)) => {
                let refusal = self.refusal(host, &leaf, &rest);
                let chain: Vec<&[u8]> = std::iter::once(&leaf)
                    .chain(&rest)
                    .map(|it| &**it)
                    .collect();
                let shown = ShownCertificate::of(&chain, refusal);
                shown.map_or_else(
                    || failed("its certificate cannot be read".to_owned()),
                    |shown| Some(Shown::Certificate(shown)),
                )
            }
            Ok(ProbedChain::UnrecognizedName) => Some(Shown::None),
            Err(ProbeError::Failed(error)) if is_no_route(&error) => None,
            Err(error) => failed(error.to_string()),
        }
    }

    /// Why the roots refuse a chain for this host.
    fn refusal(
        &self,
        host: &str,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
    ) -> Option<String> {
        let name = ServerName::try_from(host).ok()?;
        let now = UnixTime::now();
        let verified = self
            .verifier
            .verify_server_cert(leaf, rest, &name, &[], now);
        Some(match verified.err()? {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                "no root that they know has issued it, or an intermediate is missing".to_owned()
            }
            Error::InvalidCertificate(why) => why.to_string(),
            other => other.to_string(),
        })
    }
}

/// Whether this machine cannot reach such addresses at all, such as IPv6.
fn is_no_route(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, NetworkUnreachable};
    matches!(error.kind(), NetworkUnreachable | AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use edgeseal_api::ownership::OwnershipOptions;
    use edgeseal_testing::{dns::DnsServer, pki::Authority, tls::serve};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn browsers_decide_by_their_roots() {
        let name = DomainPattern::parse("*.a.example").unwrap();
        let authority = Authority::new();
        let bound = authority.issue(&["*.a.example"]);
        let leaves = [Digest::of(&bound.leaf)];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config {
            outside_check_port: listener.local_addr().unwrap().port(),
            ..Config::default()
        };
        let _server = serve(listener, &bound);
        let dns = DnsServer::start().await;
        dns.set("all.a.example", &["127.0.0.1"]).await;
        let observe = async |roots, private_addresses, leaves: &[Digest]| {
            let resolver = OwnershipVerifier::new(OwnershipOptions {
                dns: Some(dns.address),
                private_addresses,
                ..OwnershipOptions::default()
            });
            let observer = Observer::new(&config, resolver.unwrap(), roots).unwrap();
            observer.observe(&name, leaves).await.unwrap()
        };
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from(authority.root.der.clone());
        roots.add(root).unwrap();
        let (verdict, text) = observe(roots.clone(), true, &leaves).await;
        assert_eq!(verdict, Verdict::Ok, "{text}");
        let (verdict, text) = observe(public_roots(), true, &leaves).await;
        assert_eq!(verdict, Verdict::Refused);
        assert!(text.contains("no root that they know"), "{text}");
        let (verdict, _) = observe(roots.clone(), true, &[Digest([0; 32])]).await;
        assert_eq!(verdict, Verdict::Elsewhere);
        // Nothing is contacted in this network unless the operator allows it.
        let (verdict, text) = observe(roots, false, &leaves).await;
        assert_eq!(verdict, Verdict::Unreachable);
        assert!(text.starts_with("no address of"), "{text}");
    }
}
