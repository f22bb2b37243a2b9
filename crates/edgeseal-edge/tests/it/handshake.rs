//! Which certificate a handshake gets, and what it gets instead.

use std::{sync::Arc, time::Duration};

use edgeseal_core::domain::DomainState;
use edgeseal_testing::{
    http::HttpConnection,
    origin::saying,
    pki::TestCertificate,
    raw::{exchange, get_text},
    tls::{
        HandshakeFailure, chain_of, client_config, connect, connect_with, served_chain, served_leaf,
    },
};
use rustls::{HandshakeKind, client::Resumption};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{
    DomainBuilder as _, Harness, TIMEOUT, certificate_with_chain, domain, served,
};

#[tokio::test]
async fn exact_then_wildcard_then_refusal() {
    let world = Harness::new();
    let (exact, wildcard, stopped) = (
        certificate_with_chain("a.com"),
        TestCertificate::self_signed("*.a.com"),
        TestCertificate::self_signed("stopped.a.com"),
    );
    world.serve("a.com", &exact, 1).await;
    world.serve("*.a.com", &wildcard, 1).await;
    world.put(&domain("off.a.com").bound(&wildcard).off()).await;
    world.put(&domain("never.a.com")).await;
    let stopped_domain = domain("stopped.a.com")
        .bound(&stopped)
        .in_state(DomainState::Offline);
    world.put_all(&stopped_domain, &stopped).await;
    let edge = world.edge().await;
    let table = [
        ("a.com", Ok(&exact.leaf)),
        ("x.a.com", Ok(&wildcard.leaf)),
        ("y.x.a.com", Err(HandshakeFailure::UNRECOGNIZED_NAME)),
        ("off.a.com", Err(HandshakeFailure::UNRECOGNIZED_NAME)),
        ("never.a.com", Err(HandshakeFailure::UNRECOGNIZED_NAME)),
        ("stopped.a.com", Err(HandshakeFailure::UNRECOGNIZED_NAME)),
        ("b.com", Err(HandshakeFailure::UNRECOGNIZED_NAME)),
    ];
    for (name, expected) in table {
        let got = served_leaf(edge.https_addr(), name).await;
        assert_eq!(got, expected.cloned(), "{name}");
    }
    // The chain comes with the leaf, in order.
    let served = served_chain(edge.https_addr(), "a.com").await.unwrap();
    assert_eq!(
        served,
        [exact.leaf.clone(), exact.intermediates()[0].clone()]
    );
}

#[tokio::test]
async fn a_client_without_a_name() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    world.serve("a.com", &certificate, 1).await;
    let nameless = || {
        let mut config = client_config(rustls::DEFAULT_VERSIONS, &[]);
        config.enable_sni = false;
        config
    };
    let edge = world.edge().await;
    let refused = connect_with(edge.https_addr(), "a.com", nameless()).await;
    assert_eq!(refused.unwrap_err(), HandshakeFailure::UNRECOGNIZED_NAME);
    edge.drain().await;

    let default = edgeseal_core::DomainName::parse("a.com").unwrap();
    let edge = world.edge_with(|o| o.default_domain = Some(default)).await;
    let stream = connect_with(edge.https_addr(), "a.com", nameless())
        .await
        .unwrap();
    assert_eq!(chain_of(&stream), [certificate.leaf]);
}

#[tokio::test]
async fn both_versions_and_both_protocols() {
    let world = Harness::new();
    world
        .serve(
            "a.com",
            &TestCertificate::self_signed("a.com"),
            saying("hello").await,
        )
        .await;
    let edge = world.edge().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = connect_with(edge.https_addr(), "a.com", client_config(&[version], &[]))
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
    let hello = (200, "hello".to_owned());
    assert_eq!(
        HttpConnection::h1(edge.https_addr(), "a.com")
            .await
            .get("a.com", "/")
            .await,
        hello
    );
    assert_eq!(
        HttpConnection::h2(edge.https_addr(), "a.com")
            .await
            .get("a.com", "/")
            .await,
        hello
    );
    let over_plain = get_text(edge.http_addr().unwrap(), "a.com", "/").await;
    assert!(
        over_plain.0 == 200 && over_plain.1.ends_with("hello"),
        "{over_plain:?}"
    );
    // No common protocol: an alert, not another protocol.
    let other = connect(edge.https_addr(), "a.com", &["h3"]).await;
    let alert = other.unwrap_err();
    let expected = HandshakeFailure::Alert(rustls::AlertDescription::NoApplicationProtocol);
    assert_eq!(alert, expected);
}

#[tokio::test]
async fn a_ticket_resumes_and_does_not_revive() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let world = Harness::new();
        let certificate = TestCertificate::self_signed("a.com");
        world
            .serve("a.com", &certificate, saying("hello").await)
            .await;
        let edge = world.edge().await;
        let mut config = client_config(&[version], &["http/1.1"]);
        config.resumption = Resumption::in_memory_sessions(8);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = connect_with(edge.https_addr(), "a.com", config.clone())
                .await
                .unwrap();
            kinds.push(stream.get_ref().1.handshake_kind());
            // Tickets of 1.3 arrive with the first data.
            let request = b"GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.ends_with(b"hello"));
        }
        assert_eq!(
            kinds,
            [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]
        );
        let off = world.put(&domain("a.com").bound(&certificate).off()).await;
        served(&edge, off).await;
        let refused = connect_with(edge.https_addr(), "a.com", config).await;
        assert_eq!(
            refused.unwrap_err(),
            HandshakeFailure::UNRECOGNIZED_NAME,
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn a_slow_client_hello_times_out() {
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    let edge = world
        .edge_with(|o| o.client_hello_timeout = Duration::from_millis(200))
        .await;
    // Nothing at all; the start of a record; a complete ClientHello, and then nothing.
    for start in [&b""[..], &[22, 3, 1, 1, 0, 1, 0]] {
        let mut stream = TcpStream::connect(edge.https_addr()).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        let reading = timeout(TIMEOUT, stream.read_to_end(&mut rest))
            .await
            .unwrap();
        assert!(matches!(reading, Ok(0) | Err(_)), "{reading:?}");
    }
}

#[tokio::test]
async fn a_client_without_tls_gets_only_an_alert() {
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    let edge = world.edge().await;
    let answer = exchange(edge.https_addr(), "GET / HTTP/1.1\r\nHost: a.com\r\n\r\n");
    assert!(!answer.await.contains("HTTP/1.1 200"));
    assert!(served_leaf(edge.https_addr(), "a.com").await.is_ok());
}

#[tokio::test]
async fn keys_beyond_the_cache_are_decrypted_again() {
    let world = Harness::new();
    let certificates: Vec<TestCertificate> = (0..20)
        .map(|n| TestCertificate::self_signed(&format!("d{n}.com")))
        .collect();
    for (n, certificate) in certificates.iter().enumerate() {
        world.serve(&format!("d{n}.com"), certificate, 1).await;
    }
    let edge = Arc::new(world.edge_with(|o| o.key_cache_size = 2).await);
    for _ in 0..2 {
        for (n, certificate) in certificates.iter().enumerate() {
            let got = served_leaf(edge.https_addr(), &format!("d{n}.com")).await;
            assert_eq!(got.as_ref(), Ok(&certificate.leaf));
        }
    }
}
