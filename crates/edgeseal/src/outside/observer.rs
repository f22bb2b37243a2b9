//! Looks at one domain.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use edgeseal_api::ownership::OwnershipVerifier;
use edgeseal_core::{
    DomainPattern,
    address::check_origin,
    certificate::Digest,
    outside::{Expected, Shown, ShownCertificate, Verdict, judge},
};
use edgeseal_edge::{OfferedKeys, Probe, ProbeError, ProbedChain, SetupError};
use futures_util::future::join_all;
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
    probe: Probe,
    verifier: Arc<WebPkiServerVerifier>,
    cname_suffix: String,
    addresses: Vec<IpNet>,
    port: u16,
}

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideError {
    /// There is no DNS server.
    #[error("outside_check is on, and the system names no DNS server: set dns")]
    NoDnsServer,
    /// There are no roots.
    #[error("the roots of certificates cannot be used")]
    Roots(#[from] VerifierBuilderError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] SetupError),
}

/// The roots that browsers trust, and those of this system.
pub(super) fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The host that is checked: for a wildcard the one that its CNAME begins with.
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
            // Its own address is not used.
            probe: Probe::new(SocketAddr::from(([127, 0, 0, 1], 0)), false)?,
            verifier: verifier.build()?,
            cname_suffix: config.cname_suffix.clone(),
            addresses: addresses.map(|it| it.0).collect(),
            port: config.outside_check_port,
        })
    }

    /// What visitors find; `None` if nothing can be said: the DNS servers do not tell, or this
    /// machine has no route. Takes at most five seconds for each of the two.
    pub(super) async fn observe(
        &self,
        name: &DomainPattern,
        leaves: &[Digest],
    ) -> Option<(Verdict, String)> {
        let host = host(name);
        let resolved = match self.resolver.resolve(&host).await {
            Ok(resolved) => resolved,
            Err(error) => {
                tracing::debug!(%error, "a domain cannot be checked");
                return None;
            }
        };
        let expected = Expected {
            cname_suffix: &self.cname_suffix,
            addresses: &self.addresses,
            leaves,
        };
        // Others' servers are not contacted without need.
        let leads_here = |it: &&IpAddr| resolved.leads_to_edges(**it, &expected) != Some(false);
        let addresses = resolved.addresses.iter().filter(leads_here);
        let checks = addresses.take(ADDRESSES_MAX);
        let checks = checks.map(|&address| self.check(&host, address));
        let shown = join_all(checks).await;
        judge(&host, &resolved, &shown, &expected, clock::now())
    }

    /// Makes a handshake, but not with an address of this network, which an account could choose,
    /// unless the operator says that visitors reach edges there.
    async fn check(&self, host: &str, address: IpAddr) -> (IpAddr, Shown) {
        let server = SocketAddr::new(address, self.port);
        let canonical = address.to_canonical();
        let is_known = self.addresses.iter().any(|net| net.contains(&canonical));
        // An edge's listener in this process is what is looked for.
        let allowed = check_origin(server, is_known, &[], |_| false);
        let shown = match allowed {
            Ok(()) => self.handshake(host, server).await,
            Err(_) => Shown::NotPublic,
        };
        (address, shown)
    }

    async fn handshake(&self, host: &str, server: SocketAddr) -> Shown {
        let probe = self.probe.of_server(server);
        match probe.chain(host, OfferedKeys::Any).await {
            Ok(ProbedChain::Chain(leaf, rest)) => {
                let refusal = self.refusal(host, &leaf, &rest);
                let chain: Vec<&[u8]> = std::iter::once(&leaf)
                    .chain(&rest)
                    .map(|it| &**it)
                    .collect();
                let unreadable = "its certificate cannot be read".to_owned();
                ShownCertificate::of(&chain, refusal)
                    .map_or(Shown::Unreachable(unreadable), Shown::Certificate)
            }
            Ok(ProbedChain::UnrecognizedName) => Shown::None,
            Err(ProbeError::Failed(error)) if !is_of_path(&error) => Shown::NoRoute,
            Err(error) => Shown::Unreachable(error.to_string()),
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
        let now = clock::now().unix_ms().unsigned_abs();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now));
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

/// Whether an error is one that visitors get as well. Others are of this machine: it has no route to
/// such addresses, no descriptor or buffer left, or a firewall for itself.
fn is_of_path(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        InvalidData, Other, TimedOut, UnexpectedEof,
    };
    matches!(
        error.kind(),
        // Firewalls in front of the server answer that a host is unreachable, too.
        ConnectionRefused | ConnectionReset | ConnectionAborted | HostUnreachable | TimedOut
            // The server ends the handshake, or does not speak TLS.
            | BrokenPipe | UnexpectedEof | InvalidData | Other
    )
}

#[cfg(test)]
mod tests {
    use edgeseal_api::ownership::OwnershipOptions;
    use edgeseal_testing::{dns::DnsServer, pki::Authority, tls::serve};
    use futures_util::FutureExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Text;

    const NAME: &str = "*.a.example";

    /// What is found at 127.0.0.1, if visitors reach the edges at `known`.
    async fn observe(
        dns: &DnsServer,
        (port, known): (u16, &str),
        roots: RootCertStore,
        leaf: Digest,
    ) -> Option<(Verdict, String)> {
        let config = Config {
            outside_check_port: port,
            outside_check_addresses: vec![Text(known.parse().unwrap())],
            ..Config::default()
        };
        let resolver = OwnershipVerifier::new(OwnershipOptions {
            dns: Some(dns.address),
            ..OwnershipOptions::default()
        });
        let observer = Observer::new(&config, resolver.unwrap(), roots).unwrap();
        let name = DomainPattern::parse(NAME).unwrap();
        observer.observe(&name, &[leaf]).await
    }

    #[tokio::test]
    async fn browsers_decide_by_their_roots() {
        let authority = Authority::new();
        let bound = authority.issue(&[NAME]);
        let leaf = Digest::of(&bound.leaf);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = (listener.local_addr().unwrap().port(), "127.0.0.0/8");
        let _server = serve(listener, &bound);
        let dns = DnsServer::start().await;
        dns.set("all.a.example", &["127.0.0.1"]).await;
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from(authority.root.der.clone());
        roots.add(root).unwrap();
        let (verdict, text) = observe(&dns, at, roots.clone(), leaf).await.unwrap();
        assert_eq!(verdict, Verdict::Ok, "{text}");
        let (verdict, text) = observe(&dns, at, public_roots(), leaf).await.unwrap();
        assert_eq!(verdict, Verdict::Refused);
        assert!(text.contains("no root that they know"), "{text}");
        let (verdict, _) = observe(&dns, at, roots, Digest([0; 32])).await.unwrap();
        assert_eq!(verdict, Verdict::OtherCertificate);
    }

    #[tokio::test]
    async fn addresses_of_this_network_are_not_contacted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dns = DnsServer::start().await;
        let resolver = OwnershipVerifier::new(OwnershipOptions {
            dns: Some(dns.address),
            // This is about another check.
            private_addresses: true,
            ..OwnershipOptions::default()
        });
        let resolver = resolver.unwrap();
        let mut config = Config {
            outside_check_port: port,
            ..Config::default()
        };
        let name = DomainPattern::parse("www.a.example").unwrap();
        let new =
            |config: &Config| Observer::new(config, resolver.clone(), public_roots()).unwrap();
        let observer = new(&config);
        for address in ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "0.0.0.0"] {
            dns.set("www.a.example", &[address]).await;
            let (verdict, text) = observer.observe(&name, &[]).await.unwrap();
            assert_eq!(verdict, Verdict::Elsewhere, "{address}");
            assert!(text.contains("not a public address"), "{text}");
        }
        // A list that is too wide opens no metadata service.
        config.outside_check_addresses = vec![Text("0.0.0.0/0".parse().unwrap())];
        dns.set("www.a.example", &["169.254.169.254"]).await;
        assert_eq!(new(&config).observe(&name, &[]).await, None);
        assert!(listener.accept().now_or_never().is_none());
    }

    #[test]
    fn what_this_machine_lacks_is_not_of_the_path() {
        use rustix::io::Errno;
        let local = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::PERM,
            Errno::ACCESS,
            Errno::NETUNREACH,
            Errno::ADDRNOTAVAIL,
        ];
        for errno in local {
            assert!(!is_of_path(&errno.into()), "{errno}");
        }
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
        ] {
            assert!(is_of_path(&errno.into()), "{errno}");
        }
        let tls = io::Error::new(io::ErrorKind::InvalidData, Error::DecryptError);
        assert!(is_of_path(&tls));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_holds_up_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let resolver = OwnershipVerifier::new(OwnershipOptions {
            dns: Some(([127, 0, 0, 1], 53).into()),
            ..OwnershipOptions::default()
        });
        let observer = Observer::new(&Config::default(), resolver.unwrap(), public_roots());
        let server = listener.local_addr().unwrap();
        let shown = observer.unwrap().handshake("a.example", server).await;
        let late = "the handshake took too long".to_owned();
        assert_eq!(shown, Shown::Unreachable(late));
    }
}
