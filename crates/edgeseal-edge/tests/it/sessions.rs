//! How long sessions are resumed: not beyond the certificate, the domain, or a day.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use edgeseal_core::{Timestamp, delivery::DeliveryConfig};
use edgeseal_edge::Edge;
use edgeseal_testing::{http::HttpConnection, origin::saying, pki::TestCertificate};
use http::Method;
use rustls::{
    ClientConfig,
    HandshakeKind::{self, Resumed},
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tokio::time::timeout;

use crate::{
    delivery::{handshake, handshake_for, resuming},
    harness::{
        CertificateRecords as _, DomainBuilder as _, Harness, TIMEOUT, certificate_until, domain,
        now, rsa_certificate, served,
    },
    tickets::stored,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const HOUR_MS: i64 = 3_600_000;

async fn kind(edge: &Edge, client: &ClientConfig) -> HandshakeKind {
    handshake(edge.https_addr(), client).await.unwrap().0
}

/// Clients with a session of each version.
async fn sessions(edge: &Edge) -> Vec<ClientConfig> {
    let mut clients = Vec::new();
    for version in VERSIONS {
        let client = resuming(&[version], &[]);
        assert_ne!(kind(edge, &client).await, Resumed);
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn after_a_certificate_was_replaced_the_new_one_is_shown() {
    let world = Harness::new();
    let (old, new) = (
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("a.com"),
    );
    let port = saying("hello").await;
    world.serve("a.com", &old, port).await;
    let edge = world.edge().await;
    let clients = sessions(&edge).await;
    // Any other change ends no session.
    let changed = domain("a.com")
        .bound(&old)
        .with_origin(port)
        .delivered(DeliveryConfig {
            http2: false,
            ..DeliveryConfig::default()
        });
    served(&edge, world.put(&changed).await).await;
    for client in &clients {
        assert_eq!(kind(&edge, client).await, Resumed);
    }
    served(&edge, world.serve("a.com", &new, port).await).await;
    for client in &clients {
        assert_ne!(
            kind(&edge, client).await,
            Resumed,
            "its key may be in other hands"
        );
        assert_eq!(
            kind(&edge, client).await,
            Resumed,
            "a session of the new one"
        );
    }
}

#[tokio::test]
async fn of_two_certificates_each_has_its_sessions() {
    let world = Harness::new();
    let (ecdsa, rsa) = (
        TestCertificate::self_signed("a.com"),
        rsa_certificate("a.com"),
    );
    let both = domain("a.com")
        .bound(&ecdsa)
        .beside(&rsa, edgeseal_core::certificate::KeyAlgorithm::Rsa);
    for certificate in [&ecdsa, &rsa] {
        world.write(certificate.writes(&world.keyring)).await;
    }
    world.put(&both).await;
    let edge = world.edge().await;
    let clients = sessions(&edge).await;
    // The session of the unchanged certificate stays, the other one ends.
    served(&edge, world.put(&domain("a.com").bound(&ecdsa)).await).await;
    for client in &clients {
        assert_eq!(kind(&edge, client).await, Resumed);
    }
    served(&edge, world.put(&domain("a.com").bound(&rsa)).await).await;
    for client in &clients {
        assert_ne!(kind(&edge, client).await, Resumed);
    }
}

#[tokio::test]
async fn another_domain_of_the_same_name_has_nothing_of_the_one_before() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let (first, second) = (saying("first").await, saying("second").await);
    world.serve("a.com", &certificate, first).await;
    let edge = world.edge().await;
    let clients = sessions(&edge).await;
    let mut open = [
        HttpConnection::h1(edge.https_addr(), "a.com").await,
        HttpConnection::h2(edge.https_addr(), "a.com").await,
    ];
    for http in &mut open {
        assert_eq!(http.get("a.com", "/").await, (200, "first".to_owned()));
    }
    world.remove("a.com").await;
    let mut other = domain("a.com").bound(&certificate).with_origin(second);
    other.id = 2;
    served(&edge, world.put(&other).await).await;
    for http in &mut open {
        let status = http.ask(Method::GET, "a.com", "/").await.status();
        assert_eq!(status, 421, "the connection is of the domain before");
    }
    for client in &clients {
        assert_ne!(kind(&edge, client).await, Resumed);
        assert_eq!(kind(&edge, client).await, Resumed);
    }
    let mut http = HttpConnection::h2(edge.https_addr(), "a.com").await;
    assert_eq!(http.get("a.com", "/").await, (200, "second".to_owned()));
}

#[tokio::test]
async fn a_session_ends_after_a_day_and_with_its_certificate() {
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Timestamp {
        Timestamp::from_unix_ms(CLOCK.load(Ordering::Relaxed))
    }
    let at = |hours: i64| {
        let moment = now().plus_ms(hours * HOUR_MS);
        CLOCK.store(moment.unix_ms(), Ordering::Relaxed);
    };
    at(0);
    let world = Harness::new();
    let short = certificate_until("short.com", now().plus_ms(3 * HOUR_MS));
    for (name, certificate) in [
        ("a.com", TestCertificate::self_signed("a.com")),
        ("short.com", short),
    ] {
        world.serve(name, &certificate, 1).await;
    }
    let mut options = world.options();
    options.retry_interval = Duration::from_millis(20);
    let start = Edge::start(
        options,
        Arc::clone(&world.store),
        world.keyring.clone(),
        clock,
    );
    let edge = timeout(TIMEOUT, start).await.unwrap().unwrap();
    let clients = || VERSIONS.map(|version| resuming(&[version], &[]));
    let (long, short) = (clients(), clients());
    // New tickets are issued each time, and their keys rotate in between.
    for (hours, goes_on, short_goes_on) in [
        (0, false, false),
        (2, true, true),
        (3, true, false),
        (3, true, false),
        (8, true, false),
        (16, true, false),
        (23, true, false),
        (24, false, false),
        (25, true, false),
    ] {
        at(hours);
        stored(&world, clock()).await;
        for (name, clients, goes_on) in [
            ("a.com", &long, goes_on),
            ("short.com", &short, short_goes_on),
        ] {
            for client in clients {
                let seen = handshake_for(edge.https_addr(), name, client).await;
                let resumed = seen.unwrap().0 == Resumed;
                assert_eq!(resumed, goes_on, "{name} after {hours} hours");
            }
        }
    }
}
