//! Domains of several accounts with one origin, and malicious clients: failures of one do not
//! affect the others.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edgeseal_core::{AccountId, domain::Domain};
use edgeseal_edge::Edge;
use edgeseal_testing::{
    origin::{listener, origin, saying, tls_origin},
    pki::{Authority, TestCertificate},
    raw::get_text,
    tls::server_config,
};
use futures_util::future::select_all;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

/// A domain of another account than that of [`domain`].
fn of_another(name: &str) -> Domain {
    Domain {
        id: 2,
        account: AccountId::from_random(2),
        ..domain(name)
    }
}

async fn get(edge: &Edge, host: &str, path: &str) -> (u16, String) {
    let (status, answer) = get_text(edge.http_addr().unwrap(), host, path).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, body.to_owned())
}

#[tokio::test]
async fn a_name_without_a_certificate_at_the_origin_does_not_affect_other_names() {
    let world = Harness::new();
    let authority = Authority::new();
    let primary = tls_origin(&authority.issue(&["alice.com"]), &["h2"]).await;
    let secondary = saying("secondary").await;
    let alice = domain("alice.com")
        .with_origin_at("127.0.0.1", primary, 20)
        .with_origin_at("127.0.0.1", secondary, 30);
    world.put(&alice).await;
    let bobs = of_another("bob.com")
        .with_origin_at("127.0.0.1", primary, 20)
        .with_origin_at("127.0.0.1", secondary, 30);
    world.put(&bobs).await;
    let edge = world
        .edge_with(|options| {
            options.origin_tls_ports = vec![primary];
            options.origin_ca_file = Some(world.ca_file(&authority));
        })
        .await;
    for _ in 0..2 {
        for _ in 0..5 {
            let got = get(&edge, "bob.com", "/").await;
            assert_eq!(got, (200, "secondary".to_owned()));
        }
        let got = get(&edge, "alice.com", "/").await;
        assert!(got.1.starts_with("alice.com HTTP/2.0"), "{got:?}");
    }
}

/// An origin that closes on requests with this in their headers, and responds to others.
async fn closing_on(what: &'static str) -> u16 {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                if !String::from_utf8_lossy(&head).contains(what) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nprimary";
                    stream.write_all(answer).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    address.port()
}

#[tokio::test]
async fn a_rejected_host_does_not_affect_other_hosts() {
    let world = Harness::new();
    let primary = closing_on("host: evil").await;
    let secondary = saying("secondary").await;
    let with_both = |domain: Domain| {
        domain
            .with_origin_at("127.0.0.1", primary, 20)
            .with_origin_at("127.0.0.1", secondary, 30)
    };
    world.put(&with_both(domain("*.alice.com"))).await;
    world.put(&with_both(of_another("evil.com"))).await;
    let edge = world.edge().await;
    let answers = async |host: &'static str| get(&edge, host, "/").await.1;
    // Another account, which gets no response there.
    for _ in 0..5 {
        assert_eq!(answers("evil.com").await, "secondary");
    }
    assert_eq!(answers("good.alice.com").await, "primary");
    // The same account, which got a response just now.
    for _ in 0..5 {
        assert_eq!(answers("evil.alice.com").await, "secondary");
    }
    assert_eq!(answers("good.alice.com").await, "primary");
}

#[tokio::test]
async fn the_edge_probes_whether_an_origin_has_recovered() {
    let (slow, trials) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counter, tried) = (Arc::clone(&slow), Arc::clone(&trials));
    let first = origin(move |request: Request<Incoming>| {
        if request.method() == Method::HEAD {
            assert_eq!(request.headers()["host"], "good.a.com");
            tried.add_permits(1);
        }
        let is_slow = request.uri().path() == "/slow";
        counter.fetch_add(usize::from(is_slow), Ordering::SeqCst);
        async move {
            if is_slow {
                std::future::pending::<()>().await;
            }
            Response::new(Full::from("first"))
        }
    })
    .await;
    let second = saying("second").await;
    let world = Harness::new();
    let domain = domain("*.a.com")
        .with_origin_at("127.0.0.1", first, 20)
        .with_origin_at("127.0.0.1", second, 30);
    world.put(&domain).await;
    let edge = world
        .edge_with(|options| options.timeouts.header = Duration::from_millis(300))
        .await;
    assert_eq!(get(&edge, "good.a.com", "/").await.1, "first");
    assert_eq!(get(&edge, "evil.a.com", "/slow").await.1, "second");
    // Only this client sends requests, and is no probe.
    let visits = async {
        loop {
            assert_eq!(get(&edge, "evil.a.com", "/slow").await.1, "second");
            if trials.available_permits() > 0 {
                break;
            }
        }
    };
    timeout(TIMEOUT, visits).await.expect("the edge tries");
    let back = async { while get(&edge, "good.a.com", "/").await.1 != "first" {} };
    timeout(TIMEOUT, back).await.expect("it is back");
    assert_eq!(trials.available_permits(), 1);
    assert!(slow.load(Ordering::SeqCst) <= 2, "one before, one after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_holds_all_connections_to_an_origin_is_evicted_for_another() {
    let (gate, inside) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (opened, entered) = (Arc::clone(&gate), Arc::clone(&inside));
    let port = origin(move |request: Request<Incoming>| {
        let (gate, inside) = (Arc::clone(&opened), Arc::clone(&entered));
        async move {
            if request.uri().path() == "/slow" {
                inside.add_permits(1);
                let _open = gate.acquire().await.unwrap();
            }
            Response::new(Full::from("through"))
        }
    })
    .await;
    let world = Harness::new();
    world.put(&domain("alice.com").with_origin(port)).await;
    world.put(&of_another("bob.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| {
            options.origin_connections = 4;
            options.timeouts.connect = Duration::from_millis(500);
        })
        .await;
    // All come from one address.
    let http = edge.http_addr().unwrap();
    let bob = || tokio::spawn(async move { get_text(http, "bob.com", "/slow").await.0 });
    let slow: Vec<_> = (0..4).map(|_| bob()).collect();
    let all = timeout(TIMEOUT, inside.acquire_many(4)).await;
    all.unwrap().unwrap().forget();
    assert_eq!(get(&edge, "bob.com", "/").await.0, 503, "they are all his");
    for _ in 0..3 {
        assert_eq!(get(&edge, "alice.com", "/").await.0, 200);
    }
    gate.add_permits(100);
    let mut statuses = Vec::new();
    for one in slow {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 503], "one gave way");
}

/// A TLS HTTP/2 origin that receives requests for `/slow`, and never responds to them.
async fn slow_over_h2(certificate: &TestCertificate) -> (u16, Arc<Semaphore>) {
    let (listener, address) = listener().await;
    let inside = Arc::new(Semaphore::new(0));
    let entered = Arc::clone(&inside);
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, &["h2"])));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, inside) = (acceptor.clone(), Arc::clone(&entered));
            let service = service_fn(move |request: Request<Incoming>| {
                let is_slow = request.uri().path() == "/slow";
                inside.add_permits(usize::from(is_slow));
                async move {
                    if is_slow {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("through")))
                }
            });
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let server = http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address.port(), inside)
}

/// Each name has its own connection there.
#[tokio::test(flavor = "multi_thread")]
async fn http2_connections_are_evicted_as_well() {
    const BOBS: [&str; 3] = ["b1.site.com", "b2.site.com", "b3.site.com"];
    let world = Harness::new();
    let authority = Authority::new();
    let (port, inside) = slow_over_h2(&authority.issue(&["*.site.com"])).await;
    for name in BOBS {
        world.put(&of_another(name).with_origin(port)).await;
    }
    for name in ["a1.site.com", "a2.site.com"] {
        world.put(&domain(name).with_origin(port)).await;
    }
    let edge = world
        .edge_with(|options| {
            options.origin_tls_ports = vec![port];
            options.origin_ca_file = Some(world.ca_file(&authority));
            options.origin_connections = 3;
            options.timeouts.connect = Duration::from_secs(2);
        })
        .await;
    // Idle ones at once, of any account.
    for name in BOBS.into_iter().chain(["a1.site.com", "b1.site.com"]) {
        assert_eq!(get(&edge, name, "/").await.0, 200, "{name}");
    }
    let http = edge.http_addr().unwrap();
    let slow = BOBS.map(|name| tokio::spawn(async move { get_text(http, name, "/slow").await.0 }));
    let all = timeout(TIMEOUT, inside.acquire_many(3)).await;
    all.unwrap().unwrap().forget();
    // Then one of the account that has most.
    for name in ["a1.site.com", "a1.site.com", "a2.site.com"] {
        assert_eq!(get(&edge, name, "/").await.0, 200, "{name}");
    }
    let (status, _, others) = timeout(TIMEOUT, select_all(slow)).await.unwrap();
    assert_eq!(status.unwrap(), 503, "it gave way");
    assert!(
        others.iter().all(|one| !one.is_finished()),
        "a2 has the place of a1"
    );
}
