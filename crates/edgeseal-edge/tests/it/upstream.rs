//! Origins: TLS to them, their order, and their connection limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use edgeseal_edge::{Edge, OriginTrustError, StartError};
use edgeseal_testing::{
    origin::{dead_port, listener, origin, saying, tls_origin},
    pki::{Authority, TestCertificate},
    raw::{exchange, get_text},
    tls::{client_config, connect_with, server_config},
};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain, now};

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

async fn get(edge: &Edge, host: &str) -> (u16, String) {
    let (status, answer) = get_text(edge.http_addr().unwrap(), host, "/").await;
    (status, body_of(&answer).to_owned())
}

#[tokio::test]
async fn a_tls_origin_gets_the_clients_host_and_its_connection_is_pooled() {
    let world = Harness::new();
    let authority = Authority::new();
    let certificate = authority.issue(&["*.a.com"]);
    let table = [
        (&["h2", "http/1.1"][..], "HTTP/2.0"),
        (&["http/1.1"][..], "HTTP/1.1"),
        (&[][..], "HTTP/1.1"),
    ];
    for (alpn, version) in table {
        let port = tls_origin(&certificate, alpn).await;
        world.put(&domain("*.a.com").with_origin(port)).await;
        let edge = world
            .edge_with(|options| {
                options.origin_tls_ports = vec![port];
                options.origin_ca_file = Some(world.ca_file(&authority));
            })
            .await;
        let (status, known) = get(&edge, "X.a.com:8080").await;
        assert_eq!(status, 200, "{known}");
        let known: Vec<&str> = known.split(' ').collect();
        assert_eq!(known[..3], ["x.a.com", version, "X.a.com:8080"]);
        let connection = known[3].to_owned();
        let (_, again) = get(&edge, "x.a.com").await;
        assert!(again.ends_with(&connection), "kept: {again}, {connection}");
        let (_, other) = get(&edge, "y.a.com").await;
        assert!(other.starts_with("y.a.com "), "{other}");
        assert!(!other.ends_with(&connection), "another host, another line");
        edge.drain().await;
    }
}

#[tokio::test]
async fn an_origin_without_a_valid_certificate_gets_no_request() {
    let world = Harness::new();
    let authority = Authority::new();
    let (asked, plain_origin) = counting().await;
    let stranger = tls_origin(&TestCertificate::self_signed("a.com"), &["h2"]).await;
    let other_name = tls_origin(&authority.issue(&["b.com"]), &["h2"]).await;
    let right = tls_origin(&authority.issue(&["a.com"]), &["h2"]).await;
    let edge = world
        .edge_with(|options| {
            options.origin_tls_ports = vec![plain_origin, stranger, other_name, right];
            options.origin_ca_file = Some(world.ca_file(&authority));
        })
        .await;
    for port in [plain_origin, stranger, other_name] {
        let revision = world.put(&domain("a.com").with_origin(port)).await;
        crate::harness::served(&edge, revision).await;
        let (status, page) = get(&edge, "a.com").await;
        assert_eq!(status, 502, "{page}");
        assert!(page.contains("is not valid for this host"), "{page}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "never in the clear");
    // One with a valid certificate is used instead.
    let both = domain("a.com")
        .with_origin_at("127.0.0.1", stranger, 20)
        .with_origin_at("127.0.0.1", right, 30);
    let revision = world.put(&both).await;
    crate::harness::served(&edge, revision).await;
    assert_eq!(get(&edge, "a.com").await.0, 200);
}

#[tokio::test]
async fn an_unreadable_ca_file_prevents_the_start() {
    let world = Harness::new();
    let file = world.directory.path().join("origins.pem");
    for content in [None, Some(""), Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let mut options = world.options();
        options.origin_ca_file = Some(file.clone());
        let start = Edge::start(
            options,
            Arc::clone(&world.store),
            world.keyring.clone(),
            now,
        );
        let error = timeout(TIMEOUT, start).await.unwrap().unwrap_err();
        let expected = match content {
            None => matches!(
                error,
                StartError::OriginTrust(OriginTrustError::File { .. })
            ),
            Some(_) => matches!(
                error,
                StartError::OriginTrust(OriginTrustError::Empty { .. })
            ),
        };
        assert!(expected, "{content:?}: {error}");
    }
}

/// An origin that counts its requests.
async fn counting() -> (Arc<AtomicUsize>, u16) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let port = origin(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Response::new(Full::from("counted")) }
    })
    .await;
    (asked, port)
}

#[tokio::test]
async fn a_failing_origin_is_ejected_and_recovers() {
    let world = Harness::new();
    let (flaky, address) = listener().await;
    let tried = Arc::new(AtomicUsize::new(0));
    let (counter, works) = (Arc::clone(&tried), Arc::new(AtomicUsize::new(0)));
    let working = Arc::clone(&works);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = flaky.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 1024];
            if working.load(Ordering::SeqCst) == 1 && stream.read(&mut head).await.is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst";
                let _ = stream.write_all(answer).await;
            }
        }
    });
    let backup = saying("backup").await;
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", address.port(), 20)
        .with_origin_at("127.0.0.1", backup, 30);
    world.put(&domain).await;
    let edge = world.edge().await;
    for _ in 0..20 {
        assert_eq!(get(&edge, "a.com").await, (200, "backup".to_owned()));
    }
    assert_eq!(tried.load(Ordering::SeqCst), 3, "then it was out");
    works.store(1, Ordering::SeqCst);
    let back = async {
        while get(&edge, "a.com").await.1 != "first" {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIMEOUT, back).await.expect("it comes back");
    assert_eq!(get(&edge, "a.com").await.1, "first");
}

#[tokio::test]
async fn ejected_origins_are_tried_if_all_are_ejected() {
    let world = Harness::new();
    let port = dead_port().await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    for _ in 0..5 {
        assert_eq!(get(&edge, "a.com").await.0, 502);
    }
    // The same port comes to life.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup";
        stream.write_all(answer).await.unwrap();
    });
    assert_eq!(get(&edge, "a.com").await, (200, "up".to_owned()));
}

#[tokio::test]
async fn requests_that_an_origin_may_have_acted_on_are_not_retried() {
    let world = Harness::new();
    let (rude, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = rude.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let (asked, backup) = counting().await;
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", address.port(), 20)
        .with_origin_at("127.0.0.1", backup, 30);
    world.put(&domain).await;
    let edge = world.edge().await;
    let table = [
        ("POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 0", "502"),
        ("DELETE / HTTP/1.1\r\nHost: a.com", "502"),
        ("GET / HTTP/1.1\r\nHost: a.com", "200"),
    ];
    for (head, status) in table {
        let request = format!("{head}\r\nConnection: close\r\n\r\n");
        let answer = exchange(edge.http_addr().unwrap(), &request).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the last one");
}

/// As gRPC does it: trailers in both directions, and a client that announces that it accepts them.
#[tokio::test]
async fn trailers_are_forwarded_in_both_directions_over_http2() {
    let world = Harness::new();
    let authority = Authority::new();
    let port = trailing(&authority.issue(&["a.com"])).await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| {
            options.origin_tls_ports = vec![port];
            options.origin_ca_file = Some(world.ca_file(&authority));
        })
        .await;
    let config = client_config(rustls::DEFAULT_VERSIONS, &["h2"]);
    let stream = connect_with(edge.https_addr(), "a.com", config)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("17"));
    let body =
        Full::<bytes::Bytes>::from("message").with_trailers(std::future::ready(Some(Ok(trailers))));
    let request = http::Request::post("https://a.com/pkg.Service/Method")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap();
    let response = timeout(TIMEOUT, sender.send_request(request))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let collected = timeout(TIMEOUT, response.into_body().collect())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "te=trailers x-sum=17 message");
}

/// An HTTP/2 origin that echoes what it was sent, and `grpc-status` after it.
async fn trailing(certificate: &TestCertificate) -> u16 {
    let (listener, address) = listener().await;
    let config = server_config(certificate, &["h2"]);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let te = request.headers()["te"].to_str().unwrap().to_owned();
            let collected = request.into_body().collect().await.unwrap();
            let sum = collected.trailers().unwrap()["x-sum"].clone();
            let message = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
            let answer = format!("te={te} x-sum={} {message}", sum.to_str().unwrap());
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let body = Full::<bytes::Bytes>::from(answer)
                .with_trailers(std::future::ready(Some(Ok(trailers))));
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
        });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
            .unwrap();
    });
    address.port()
}

#[tokio::test]
async fn a_range_response_is_forwarded_unchanged() {
    let world = Harness::new();
    let port = origin(|request| async move {
        assert_eq!(request.headers()["range"], "bytes=2-4");
        assert_eq!(request.headers()["if-range"], "\"tag\"");
        let response = Response::builder()
            .status(206)
            .header("content-range", "bytes 2-4/10")
            .header("etag", "\"tag\"")
            .header("accept-ranges", "bytes");
        response.body(Full::from("234")).unwrap()
    })
    .await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let request = "GET / HTTP/1.1\r\nHost: a.com\r\nRange: bytes=2-4\r\nIf-Range: \"tag\"\r\n\
                   Connection: close\r\n\r\n";
    let answer = exchange(edge.http_addr().unwrap(), request).await;
    assert!(answer.starts_with("HTTP/1.1 206 "), "{answer}");
    for there in [
        "content-range: bytes 2-4/10\r\n",
        "etag: \"tag\"\r\n",
        "accept-ranges: bytes\r\n",
        "content-length: 3\r\n",
        "\r\n\r\n234",
    ] {
        assert!(answer.contains(there), "{there}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_an_origin_are_bounded() {
    let world = Harness::new();
    let gate = Arc::new(Semaphore::new(0));
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, seen, peak) = (Arc::clone(&gate), Arc::clone(&inside), Arc::clone(&most));
    let port = origin(move |_| {
        let (gate, inside) = (Arc::clone(&opened), Arc::clone(&seen));
        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(now, Ordering::SeqCst);
        async move {
            let _open = gate.acquire().await.unwrap();
            inside.fetch_sub(1, Ordering::SeqCst);
            Response::new(Full::from("through"))
        }
    })
    .await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| {
            options.origin_connections = 2;
            options.timeouts.connect = Duration::from_secs(2);
        })
        .await;
    let http = edge.http_addr().unwrap();
    let ask = || tokio::spawn(async move { get_text(http, "a.com", "/").await.0 });
    let two = [ask(), ask()];
    let full = async {
        while inside.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIMEOUT, full).await.unwrap();
    // No connection becomes free: the third gets an error.
    assert_eq!(ask().await.unwrap(), 503);
    // Waiting requests are served when one becomes free.
    let more: Vec<_> = (0..6).map(|_| ask()).collect();
    gate.add_permits(100);
    for asked in two.into_iter().chain(more) {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}
