//! Requests: routing, headers, failures of origins, upgrades.

use std::time::Duration;

use edgeseal_testing::{
    http::{HttpConnection, text},
    origin::{dead_port, echo_head, listener, saying},
    pki::TestCertificate,
    raw::{exchange, get_text},
    tls::{client_config, connect_with},
};
use http::{Request, Version};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain, served};

#[tokio::test]
async fn the_origin_sees_client_headers_and_no_hop_by_hop_headers() {
    let world = Harness::new();
    world
        .serve(
            "*.a.com",
            &TestCertificate::self_signed("*.a.com"),
            echo_head().await,
        )
        .await;
    let edge = world.edge().await;
    let request = |version| {
        let uri = match version {
            Version::HTTP_2 => "https://x.a.com:8443/path?q=1",
            _ => "/path?q=1",
        };
        let mut request = Request::get(uri)
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-forwarded-proto", "gopher")
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        if version == Version::HTTP_11 {
            request = request
                .header("host", "x.a.com:8443")
                .header("connection", "x-hop")
                .header("x-hop", "1")
                .header("te", "trailers");
        }
        request.body(Full::default()).unwrap()
    };
    let mut h1 = HttpConnection::h1(edge.https_addr(), "x.a.com").await;
    let over_h1 = without_port(&text(h1.send(request(Version::HTTP_11)).await.unwrap()).await);
    let mut h2 = HttpConnection::h2(edge.https_addr(), "x.a.com").await;
    let over_h2 = without_port(&text(h2.send(request(Version::HTTP_2)).await.unwrap()).await);
    let expected = |cookies: &str, via: &str| {
        format!(
            "GET /path?q=1\nali-cdn-real-ip: 127.0.0.1\n{cookies}\nhost: x.a.com:8443\nvia: {via} edgeseal\nx-client-scheme: https\n\
             x-forwarded-for: 203.0.113.9, 127.0.0.1\nx-forwarded-host: x.a.com:8443\n\
             x-forwarded-proto: https"
        )
    };
    assert_eq!(over_h1, expected("cookie: a=1\ncookie: b=2", "1.1"));
    assert_eq!(over_h2, expected("cookie: a=1; b=2", "2"));
}

/// Without the line with the client's port, which must be there.
fn without_port(head: &str) -> String {
    let (ports, others): (Vec<&str>, Vec<&str>) = head
        .lines()
        .partition(|line| line.starts_with("ali-cdn-real-port: "));
    assert_eq!(ports.len(), 1, "{head}");
    others.join("\n")
}

#[tokio::test]
async fn hosts_that_are_not_served_here() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    world
        .serve("b.com", &TestCertificate::self_signed("b.com"), port)
        .await;
    let stopped = domain("stopped.com").with_origin(port);
    world
        .put(&stopped.in_state(edgeseal_core::domain::DomainState::Offline))
        .await;
    let edge = world.edge().await;
    let http = edge.http_addr().unwrap();
    for (host, status) in [
        ("a.com", 200),
        ("A.COM:80", 200),
        ("unknown.com", 404),
        ("127.0.0.1", 404),
        ("stopped.com", 403),
        ("a b", 400),
    ] {
        let (got, answer) = get_text(http, host, "/").await;
        assert_eq!(got, status, "{host}: {answer}");
    }
    for mut http in [
        HttpConnection::h1(edge.https_addr(), "a.com").await,
        HttpConnection::h2(edge.https_addr(), "a.com").await,
    ] {
        assert_eq!(http.get("b.com", "/").await.0, 421);
        assert_eq!(http.get("unknown.com", "/").await.0, 421);
        assert_eq!(http.get("a.com", "/").await.0, 200);
    }
}

#[tokio::test]
async fn an_established_connection_outlives_its_certificate() {
    let world = Harness::new();
    let port = saying("hello").await;
    let certificate = TestCertificate::self_signed("*.a.com");
    world.serve("*.a.com", &certificate, port).await;
    let edge = world.edge().await;
    let mut http = HttpConnection::h1(edge.https_addr(), "x.a.com").await;
    assert_eq!(http.get("x.a.com", "/").await.0, 200);
    // HTTPS is switched off; then exact domains are added beside the wildcard.
    let off = domain("*.a.com")
        .bound(&certificate)
        .off()
        .with_origin(port);
    world.put(&off).await;
    world
        .serve("x.a.com", &TestCertificate::self_signed("x.a.com"), port)
        .await;
    let exact = world
        .serve("z.a.com", &TestCertificate::self_signed("z.a.com"), port)
        .await;
    served(&edge, exact).await;
    assert_eq!(
        http.get("x.a.com", "/").await.0,
        200,
        "the name of the handshake"
    );
    assert_eq!(
        http.get("y.a.com", "/").await.0,
        200,
        "the domain of the handshake"
    );
    assert_eq!(
        http.get("z.a.com", "/").await.0,
        421,
        "a domain of its own by now"
    );
}

#[tokio::test]
async fn failures_of_origins() {
    let world = Harness::new();
    let (silent, silent_address) = listener().await;
    let (rude, rude_address) = listener().await;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = silent.accept() => kept.push(stream),
                Ok((mut stream, _)) = rude.accept() => {
                    let _ = stream.write_all(b"220 this is mail\r\n").await;
                }
            }
        }
    });
    // The backlog of a socket that never accepts is soon full: connecting hangs.
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let full_address = full.local_addr().unwrap();
    let mut fill = Vec::new();
    while let Ok(Ok(stream)) =
        timeout(Duration::from_millis(200), TcpStream::connect(full_address)).await
    {
        fill.push(stream);
    }

    let dead = dead_port().await;
    world.put(&domain("dead.com").with_origin(dead)).await;
    world
        .put(&domain("silent.com").with_origin(silent_address.port()))
        .await;
    world
        .put(&domain("rude.com").with_origin(rude_address.port()))
        .await;
    world
        .put(&domain("full.com").with_origin(full_address.port()))
        .await;
    world.put(&domain("none.com")).await;
    world
        .put(&domain("nowhere.com").with_origin_at("no-such-host.invalid", 80, 20))
        .await;
    let edge = world
        .edge_with(|options| {
            options.timeouts.connect = Duration::from_millis(300);
            options.timeouts.header = Duration::from_millis(300);
        })
        .await;
    let http = edge.http_addr().unwrap();
    let table = [
        ("dead.com", 502),
        ("rude.com", 502),
        ("none.com", 502),
        ("silent.com", 504),
        ("full.com", 504),
    ];
    for (host, status) in table {
        let (got, page) = get_text(http, host, "/").await;
        assert_eq!(got, status, "{host}: {page}");
        assert!(
            page.contains("x-request-id: ") && !page.contains("127.0.0.1"),
            "{page}"
        );
    }
    // Whether resolution fails or hangs depends on the machine.
    let (got, page) = get_text(http, "nowhere.com", "/").await;
    assert!(matches!(got, 502 | 504), "{page}");
}

#[tokio::test]
async fn the_next_origin_responds_when_one_cannot_be_connected_to() {
    let world = Harness::new();
    let dead = dead_port().await;
    let backup = saying("backup").await;
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", backup, 30)
        .with_origin_at("127.0.0.1", dead, 20);
    world.put(&domain).await;
    let edge = world.edge().await;
    let http = edge.http_addr().unwrap();
    let (status, answer) = get_text(http, "a.com", "/").await;
    assert!(status == 200 && answer.ends_with("backup"), "{answer}");
    // With a body as well: nothing of it was read yet.
    let post =
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    let answer = exchange(http, post).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("backup"),
        "{answer}"
    );
}

/// The origin closes a pooled connection just when the next request is sent.
#[tokio::test]
async fn a_pooled_connection_that_the_origin_closes_is_no_failure() {
    let world = Harness::new();
    let (origin, address) = listener().await;
    let connections = tokio::spawn(async move {
        let mut head = [0; 4096];
        for number in 1..=3 {
            let (mut stream, _) = origin.accept().await.unwrap();
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            // The next request is sent on this connection, and gets no response.
            if number < 3 {
                assert!(stream.read(&mut head).await.unwrap() > 0);
            }
        }
    });
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world.edge().await;
    for _ in 0..3 {
        let (status, answer) = get_text(edge.http_addr().unwrap(), "a.com", "/").await;
        assert_eq!(status, 200, "{answer}");
    }
    timeout(TIMEOUT, connections).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    let world = Harness::new();
    let (origin, address) = listener().await;
    let seen = tokio::spawn(async move {
        let (mut stream, _) = origin.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        String::from_utf8(head).unwrap().to_lowercase()
    });
    world
        .serve(
            "a.com",
            &TestCertificate::self_signed("a.com"),
            address.port(),
        )
        .await;
    let edge = world.edge().await;
    let config = client_config(rustls::DEFAULT_VERSIONS, &["http/1.1"]);
    let mut stream = connect_with(edge.https_addr(), "a.com", config)
        .await
        .unwrap();
    let ask = "GET /chat HTTP/1.1\r\nHost: a.com\r\nConnection: keep-alive, Upgrade\r\n\
               Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"first") {
        answer.push(timeout(TIMEOUT, stream.read_u8()).await.unwrap().unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    for field in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-accept: x",
    ] {
        assert!(answer.contains(field), "{answer}");
    }
    for message in ["ping", "pong"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut echo = [0; 4];
        timeout(TIMEOUT, stream.read_exact(&mut echo))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(echo, message.as_bytes());
    }
    stream.shutdown().await.unwrap();
    let head = timeout(TIMEOUT, seen).await.unwrap().unwrap();
    for field in [
        "get /chat http/1.1",
        "upgrade: websocket",
        "connection: upgrade",
    ] {
        assert!(head.contains(field), "{head}");
    }
}

#[tokio::test]
async fn a_tunnel_does_not_delay_the_drain() {
    let world = Harness::new();
    let (origin, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = origin.accept().await.unwrap();
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world
        .edge_with(|options| options.drain_timeout = Duration::from_millis(100))
        .await;
    let mut stream = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    let ask = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(TIMEOUT, stream.read_u8()).await.unwrap().unwrap());
    }
    timeout(Duration::from_secs(5), edge.drain())
        .await
        .expect("a drain ends");
    let mut rest = Vec::new();
    let end = timeout(TIMEOUT, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn requests_that_are_not_forwarded() {
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(saying("hello").await))
        .await;
    let edge = world.edge().await;
    let http = edge.http_addr().unwrap();
    let table = [
        (
            "CONNECT a.com:443 HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n",
            "405",
        ),
        (
            "TRACE / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n",
            "405",
        ),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a.com\r\nHost: b.com\r\nConnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET http://a.com/ HTTP/1.1\r\nHost: b.com\r\nConnection: close\r\n\r\n",
            "200",
        ),
        ("GET / HTTP/1.0\r\nHost: a.com\r\n\r\n", "200"),
        (
            "HEAD / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n",
            "200",
        ),
    ];
    for (request, status) in table {
        let answer = exchange(http, request).await;
        assert_eq!(
            answer.split(' ').nth(1),
            Some(status),
            "{request}\n{answer}"
        );
    }
}

/// An origin that points back to the edge must not loop for ever.
#[tokio::test]
async fn a_loop_is_stopped() {
    let world = Harness::new();
    let edge = world.edge().await;
    let http = edge.http_addr().unwrap();
    // The edge does not connect to itself, but there may be another machine in between.
    let (between, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = between.accept().await.unwrap();
            tokio::spawn(async move {
                let mut back = TcpStream::connect(http).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut back).await;
            });
        }
    });
    let domain = domain("a.com").with_origin(address.port());
    served(&edge, world.put(&domain).await).await;
    let (status, page) = get_text(http, "a.com", "/").await;
    assert_eq!(status, 508, "{page}");
}
