//! Delivery settings for handshakes, also after a restart.

use std::net::SocketAddr;

use edgeseal_core::delivery::{DeliveryConfig, Hsts, Redirect, ResponseHeaders, TlsVersions};
use edgeseal_edge::Edge;
use edgeseal_testing::{
    http::HttpConnection,
    observed_store::FailingStore,
    origin::saying,
    pki::TestCertificate,
    raw::get_text,
    tls::{HandshakeFailure, client_config, connect, connect_with},
};
use http::Method;
use rustls::{
    AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion, SupportedProtocolVersion,
    client::Resumption,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::harness::{
    CertificateRecords as _, DomainBuilder as _, Harness, TIMEOUT, domain, pattern, served,
};

const H1: DeliveryConfig = DeliveryConfig {
    http2: false,
    ..DEFAULT
};
const ONLY12: DeliveryConfig = DeliveryConfig {
    tls: TlsVersions::Only12,
    ..DEFAULT
};
const ONLY13: DeliveryConfig = DeliveryConfig {
    tls: TlsVersions::Only13,
    ..DEFAULT
};
const DEFAULT: DeliveryConfig = DeliveryConfig {
    http2: true,
    tls: TlsVersions::Both,
    redirect: None,
    hsts: None,
    response_headers: ResponseHeaders::NONE,
};

const OF12: &[&SupportedProtocolVersion] = &[&TLS12];
const OF13: &[&SupportedProtocolVersion] = &[&TLS13];

/// A world with a domain `a.com`, and an edge that serves it.
struct Stage {
    world: Harness,
    certificate: TestCertificate,
    port: u16,
    edge: Edge,
}

impl Stage {
    async fn new() -> Self {
        let world = Harness::new();
        let certificate = TestCertificate::self_signed("a.com");
        let port = saying("hello").await;
        world.serve("a.com", &certificate, port).await;
        let edge = world.edge().await;
        Self {
            world,
            certificate,
            port,
            edge,
        }
    }

    /// Sets the delivery settings of `a.com`.
    async fn deliver(&self, delivery: DeliveryConfig) {
        let domain = domain("a.com")
            .bound(&self.certificate)
            .with_origin(self.port)
            .delivered(delivery);
        served(&self.edge, self.world.put(&domain).await).await;
    }

    fn https(&self) -> SocketAddr {
        self.edge.https_addr()
    }
}

/// The version negotiated by a client that supports these.
async fn version(
    edge: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ProtocolVersion, HandshakeFailure> {
    let stream = connect_with(edge, name, client_config(versions, &[])).await?;
    Ok(stream.get_ref().1.protocol_version().unwrap())
}

/// The protocol negotiated by a client that supports these.
async fn protocol(
    edge: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> Result<Option<String>, HandshakeFailure> {
    let stream = connect(edge, name, alpn).await?;
    let protocol = stream.get_ref().1.alpn_protocol();
    Ok(protocol.map(|name| String::from_utf8(name.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_handshake_negotiates_the_versions_that_the_domain_allows() {
    let (v12, v13) = (ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3);
    let refused = || Err(HandshakeFailure::Alert(AlertDescription::ProtocolVersion));
    let stage = Stage::new().await;
    let other = TestCertificate::self_signed("b.com");
    stage.world.serve("b.com", &other, stage.port).await;
    for http2 in [true, false] {
        for (tls, of12, of13, of_both) in [
            (TlsVersions::Both, Ok(v12), Ok(v13), v13),
            // A client of both finds no downgrade marker in an intended 1.2.
            (TlsVersions::Only12, Ok(v12), refused(), v12),
            (TlsVersions::Only13, refused(), Ok(v13), v13),
            (TlsVersions::Both, Ok(v12), Ok(v13), v13),
        ] {
            let delivery = DeliveryConfig {
                http2,
                tls,
                ..DEFAULT
            };
            stage.deliver(delivery.clone()).await;
            let a = async |versions| version(stage.https(), "a.com", versions).await;
            assert_eq!(a(OF12).await, of12, "{delivery:?}");
            assert_eq!(a(OF13).await, of13, "{delivery:?}");
            assert_eq!(
                a(rustls::DEFAULT_VERSIONS).await,
                Ok(of_both),
                "{delivery:?}"
            );
            // Another domain of the same listener is not affected.
            for (versions, expected) in [(OF12, v12), (OF13, v13)] {
                let got = version(stage.https(), "b.com", versions).await;
                assert_eq!(got, Ok(expected), "{delivery:?}");
            }
        }
    }
}

#[tokio::test]
async fn http2_is_offered_where_the_domain_allows_it() {
    let stage = Stage::new().await;
    let both = &["h2", "http/1.1"][..];
    let a = async |alpn| protocol(stage.https(), "a.com", alpn).await;
    let named = |name: &str| Ok(Some(name.to_owned()));
    let refused = Err(HandshakeFailure::Alert(
        AlertDescription::NoApplicationProtocol,
    ));
    let mut open = HttpConnection::h2(stage.https(), "a.com").await;
    for delivery in [DEFAULT, H1, DEFAULT, H1] {
        stage.deliver(delivery.clone()).await;
        let (preferred, h2_only) = match delivery.http2 {
            true => (named("h2"), named("h2")),
            false => (named("http/1.1"), refused.clone()),
        };
        assert_eq!(a(both).await, preferred, "{delivery:?}");
        assert_eq!(a(&["h2"]).await, h2_only, "{delivery:?}");
        assert_eq!(a(&["http/1.1"]).await, named("http/1.1"), "{delivery:?}");
        assert_eq!(a(&[]).await, Ok(None), "{delivery:?}");
        // Established connections go on.
        assert_eq!(open.get("a.com", "/").await, (200, "hello".to_owned()));
    }
}

/// Kind, version and protocol of one more handshake of this client, which receives tickets.
pub(crate) async fn handshake(
    edge: SocketAddr,
    config: &ClientConfig,
) -> Result<(HandshakeKind, ProtocolVersion, Option<Vec<u8>>), HandshakeFailure> {
    handshake_for(edge, "a.com", config).await
}

/// The same for a name.
pub(crate) async fn handshake_for(
    edge: SocketAddr,
    name: &str,
    config: &ClientConfig,
) -> Result<(HandshakeKind, ProtocolVersion, Option<Vec<u8>>), HandshakeFailure> {
    let mut stream = connect_with(edge, name, config.clone()).await?;
    let connection = stream.get_ref().1;
    let seen = (
        connection.handshake_kind().unwrap(),
        connection.protocol_version().unwrap(),
        connection.alpn_protocol().map(<[u8]>::to_vec),
    );
    // Tickets of 1.3 arrive with the first data. An HTTP/2 server sends first.
    if seen.2.as_deref() != Some(b"h2") {
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    timeout(TIMEOUT, stream.read_u8()).await.unwrap().unwrap();
    Ok(seen)
}

pub(crate) fn resuming(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConfig {
    let mut config = client_config(versions, alpn);
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

#[tokio::test]
async fn no_ticket_brings_back_a_version_that_is_not_allowed_any_more() {
    use HandshakeKind::{Full, Resumed};
    let (v12, v13) = (ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3);
    let stage = Stage::new().await;
    for (before, old, old_version, after, new) in [
        (ONLY12, v12, &TLS12, ONLY13, v13),
        (ONLY13, v13, &TLS13, ONLY12, v12),
        (DEFAULT, v13, &TLS13, ONLY12, v12),
        (DEFAULT, v13, &TLS13, ONLY13, v13),
    ] {
        stage.deliver(before.clone()).await;
        let (flexible, strict) = (
            resuming(rustls::DEFAULT_VERSIONS, &[]),
            resuming(&[old_version], &[]),
        );
        for client in [&flexible, &strict] {
            for kind in [Full, Resumed] {
                let got = handshake(stage.https(), client).await;
                assert_eq!(got, Ok((kind, old, None)), "{before:?}");
            }
        }
        stage.deliver(after.clone()).await;
        let first = handshake(stage.https(), &flexible).await.unwrap();
        let strict = handshake(stage.https(), &strict).await;
        if old == new {
            // What is still allowed is still resumed.
            assert_eq!(first, (Resumed, new, None));
            assert_eq!(strict, Ok((Resumed, new, None)));
        } else {
            assert!(first.0 != Resumed && first.1 == new, "{after:?}: {first:?}");
            assert_eq!(
                strict,
                Err(HandshakeFailure::Alert(AlertDescription::ProtocolVersion))
            );
        }
    }
}

#[tokio::test]
async fn no_ticket_brings_back_http2() {
    use HandshakeKind::{Full, Resumed};
    let stage = Stage::new().await;
    for (versions, version) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = resuming(&[versions], &["h2", "http/1.1"]);
        for (delivery, kind, alpn) in [
            (DEFAULT, Full, "h2"),
            (DEFAULT, Resumed, "h2"),
            (H1, Resumed, "http/1.1"),
            (DEFAULT, Resumed, "h2"),
        ] {
            stage.deliver(delivery).await;
            let got = handshake(stage.https(), &client).await;
            let alpn = Some(alpn.as_bytes().to_vec());
            assert_eq!(got, Ok((kind, version, alpn)));
        }
    }
}

#[tokio::test]
async fn every_combination_of_settings_can_be_proven() {
    let world = Harness::new();
    let _edge = world.edge().await;
    let only12_h1 = DeliveryConfig {
        http2: false,
        ..ONLY12
    };
    let choices = [
        ("one.com", ONLY12),
        ("two.com", ONLY13),
        ("three.com", H1),
        ("four.com", only12_h1),
        ("*.five.com", ONLY12),
    ];
    let mut wanted = Vec::new();
    for (name, delivery) in choices {
        let certificate = TestCertificate::self_signed(name);
        let domain = domain(name).bound(&certificate).delivered(delivery);
        let revision = world.put_all(&domain, &certificate).await;
        wanted.push((pattern(name), Some(certificate.sha256()), revision));
    }
    let last = wanted.last().unwrap().2;
    let report = world
        .report("default", |report| report.revision >= last.0)
        .await;
    for (name, sha256, _) in wanted {
        let proof = report.proofs.iter().find(|proof| proof.domain == name);
        assert_eq!(proof.map(|proof| &proof.sha256), Some(&sha256), "{name}");
    }
}

/// Every setting for handshakes and redirects differs from the default.
const STRICT: DeliveryConfig = DeliveryConfig {
    http2: false,
    tls: TlsVersions::Only12,
    redirect: Some(Redirect::ToHttps),
    hsts: Some(Hsts {
        max_age_s: 60,
        include_subdomains: true,
    }),
    response_headers: ResponseHeaders::NONE,
};

/// Whether `a.com` is delivered with [`STRICT`]; otherwise it is with [`DEFAULT`].
async fn is_strict(edge: &Edge) -> bool {
    let https = edge.https_addr();
    let mut http = HttpConnection::h1(https, "a.com").await;
    let answer = http.ask(Method::GET, "a.com", "/").await;
    let hsts = answer.headers().get("strict-transport-security");
    let over_plain = get_text(edge.http_addr().unwrap(), "a.com", "/").await.0;
    let seen = (
        protocol(https, "a.com", &["h2", "http/1.1"]).await.unwrap(),
        version(https, "a.com", rustls::DEFAULT_VERSIONS)
            .await
            .unwrap(),
        hsts.map(|value| value.to_str().unwrap()),
        over_plain,
    );
    let expected = |alpn: &str, version, hsts, plain| (Some(alpn.to_owned()), version, hsts, plain);
    let hsts = "max-age=60; includeSubDomains";
    if seen == expected("http/1.1", ProtocolVersion::TLSv1_2, Some(hsts), 301) {
        return true;
    }
    assert_eq!(seen, expected("h2", ProtocolVersion::TLSv1_3, None, 200));
    false
}

#[tokio::test]
async fn settings_survive_a_restart_without_the_store() {
    let stage = Stage::new().await;
    stage.deliver(STRICT).await;
    assert!(is_strict(&stage.edge).await);
    let Stage { world, edge, .. } = stage;
    edge.drain().await;
    let failing = FailingStore::new(&world.store);
    let edge = world.start(world.options(), failing).await;
    assert!(is_strict(&edge).await);
}

#[tokio::test]
async fn staging_edges_apply_staged_settings() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let mut domain = domain("a.com")
        .bound(&certificate)
        .with_origin(saying("hello").await);
    domain.staged_delivery = Some(STRICT);
    world.put_all(&domain, &certificate).await;
    let production = world.edge().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let staging = world
        .edge_with(|options| {
            options.group = edgeseal_edge::STAGING.to_owned();
            options.directory = elsewhere.path().to_owned();
        })
        .await;
    assert!(!is_strict(&production).await && is_strict(&staging).await);
    domain.publish_staging(crate::harness::now()).unwrap();
    let published = world.put(&domain).await;
    for edge in [&production, &staging] {
        served(edge, published).await;
        assert!(is_strict(edge).await);
    }
}
