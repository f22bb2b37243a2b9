//! WebSocket over HTTP/2 (RFC 8441) to HTTP/1.1 origins.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use edgeseal_edge::{AccessLog, Edge};
use edgeseal_testing::{http::text, origin::listener, pki::TestCertificate, tls::connect};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2::SendRequest, ext::Protocol, upgrade::Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::harness::{Harness, TIMEOUT};

/// An origin's response to a WebSocket request.
#[derive(Clone, Copy, Debug)]
enum OriginResponse {
    /// A correct one; echoes what it gets.
    Echo,
    WrongAccept,
    NoAccept,
    /// Without a protocol switch.
    Says(&'static str),
}

/// The accept value for a client's key (RFC 6455 §4.2.2).
fn accept_for(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        text.as_bytes(),
    ))
}

/// An origin; its port, and the request headers that it gets.
async fn chat(answers: OriginResponse) -> (u16, Arc<Mutex<Vec<String>>>) {
    let (listener, address) = listener().await;
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let head = String::from_utf8(head).unwrap();
                let key = head
                    .lines()
                    .find_map(|line| line.strip_prefix("sec-websocket-key: "));
                let accept = match answers {
                    OriginResponse::Echo => Some(accept_for(key.unwrap_or_default())),
                    OriginResponse::WrongAccept => Some(accept_for("another key")),
                    OriginResponse::NoAccept | OriginResponse::Says(_) => None,
                };
                let accept = accept.map(|it| format!("Sec-WebSocket-Accept: {it}\r\n"));
                let switching = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n{}\r\n",
                    accept.unwrap_or_default()
                );
                seen.lock().unwrap().push(head);
                let answer = match answers {
                    OriginResponse::Says(answer) => answer,
                    _ => &switching,
                };
                stream.write_all(answer.as_bytes()).await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    (address.port(), heads)
}

/// An HTTP/2 client that has received the edge's RFC 8441 setting.
async fn client(edge: &Edge) -> SendRequest<Full<Bytes>> {
    let stream = connect(edge.https_addr(), "a.com", &["h2"]);
    let stream = TokioIo::new(stream.await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    // A response arrives after the settings.
    let request = Request::options("https://unknown.com/").body(Full::default());
    let answer = sender.send_request(request.unwrap());
    assert_eq!(
        timeout(TIMEOUT, answer).await.unwrap().unwrap().status(),
        421
    );
    sender
}

async fn ask(
    visitor: &mut SendRequest<Full<Bytes>>,
    protocol: Option<&'static str>,
) -> hyper::Result<Response<Incoming>> {
    let request = match protocol {
        Some(protocol) => Request::connect("https://a.com/chat?room=1")
            .extension(Protocol::from_static(protocol))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat")
            .header("sec-websocket-key", "the client's")
            .header("origin", "https://a.com"),
        None => Request::connect("a.com:443"),
    };
    let answer = visitor.send_request(request.body(Full::default()).unwrap());
    timeout(TIMEOUT, answer).await.unwrap()
}

async fn opened(visitor: &mut SendRequest<Full<Bytes>>) -> TokioIo<Upgraded> {
    let answer = ask(visitor, Some("websocket")).await.unwrap();
    assert_eq!(answer.status(), 200);
    TokioIo::new(hyper::upgrade::on(answer).await.unwrap())
}

/// The tunnel echoes.
async fn echoes(tunnel: &mut TokioIo<Upgraded>, message: &[u8]) -> bool {
    let (mut read, mut write) = tokio::io::split(tunnel);
    let mut back = vec![0; message.len()];
    let both = async { tokio::join!(write.write_all(message), read.read_exact(&mut back)) };
    let (sent, got) = timeout(TIMEOUT, both).await.unwrap();
    sent.is_ok() && got.is_ok() && back == message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_http2_is_translated_to_http1() {
    let world = Harness::new();
    let (port, heads) = chat(OriginResponse::Echo).await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let path = world.directory.path().join("access.log");
    let edge = world
        .edge_with(|options| options.access_log = Some(AccessLog::File(path.clone())))
        .await;
    let mut visitor = client(&edge).await;
    let answer = ask(&mut visitor, Some("websocket")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    for absent in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!answer.headers().contains_key(absent), "{absent}");
    }
    let mut tunnel = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    assert!(echoes(&mut tunnel, b"hello").await);
    // More than any window or buffer, in both directions at once.
    let long: Vec<u8> = (0..4_000_000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    assert!(echoes(&mut tunnel, &long).await);
    // Other streams of the connection go on, also another WebSocket.
    let mut other = opened(&mut visitor).await;
    assert!(echoes(&mut other, b"other").await && echoes(&mut tunnel, b"first").await);
    let head = heads.lock().unwrap()[0].clone();
    for line in [
        "GET /chat?room=1 HTTP/1.1\r\n",
        "\r\nhost: a.com\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nupgrade: websocket\r\n",
        "\r\nsec-websocket-version: 13\r\n",
        "\r\nsec-websocket-protocol: chat\r\n",
        "\r\norigin: https://a.com\r\n",
        "\r\nvia: 2 edgeseal\r\n",
        "\r\nx-forwarded-proto: https\r\n",
    ] {
        assert!(head.contains(line), "{line:?} is missing: {head}");
    }
    assert!(!head.contains("the client's"), "{head}");
    // A close by the client is forwarded, and the origin's is returned.
    drop(other);
    tunnel.shutdown().await.unwrap();
    let rest = timeout(TIMEOUT, tunnel.read_to_end(&mut Vec::new())).await;
    assert_eq!(rest.unwrap().unwrap(), 0);
    let line = async {
        loop {
            let log = std::fs::read_to_string(&path).unwrap();
            let lines = log.lines().map(serde_json::from_str::<serde_json::Value>);
            let mut lines = lines.filter_map(Result::ok);
            if let Some(line) = lines.find(|line| line["bytes_received"] == 4_000_010) {
                break line;
            }
            tokio::task::yield_now().await;
        }
    };
    let line = timeout(TIMEOUT, line).await.expect("its line in the log");
    for (name, value) in [
        ("method", "CONNECT"),
        ("protocol", "HTTP/2"),
        ("path", "/chat"),
        ("end", "complete"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!(
        (&line["status"], &line["bytes_sent"]),
        (&200.into(), &4_000_010.into())
    );
}

#[tokio::test]
async fn a_failed_websocket_handshake_opens_no_tunnel() {
    let table = [
        (OriginResponse::WrongAccept, 502, "closed the connection"),
        (OriginResponse::NoAccept, 502, "closed the connection"),
        (
            OriginResponse::Says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
            502,
            "closed the connection",
        ),
        (
            OriginResponse::Says("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnever"),
            403,
            "never",
        ),
        (
            OriginResponse::Says("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
            302,
            "",
        ),
    ];
    for (answers, status, says) in table {
        let world = Harness::new();
        let (port, heads) = chat(answers).await;
        world
            .serve("a.com", &TestCertificate::self_signed("a.com"), port)
            .await;
        let edge = world.edge().await;
        let mut visitor = client(&edge).await;
        let answer = ask(&mut visitor, Some("websocket")).await.unwrap();
        assert_eq!(answer.status(), status, "{answers:?}");
        let page = text(answer).await;
        assert!(page.contains(says), "{answers:?}: {page}");
        assert_eq!(heads.lock().unwrap().len(), 1);
        for other in [None, Some("connect-udp"), Some("h2c")] {
            let answer = ask(&mut visitor, other).await.unwrap();
            assert_eq!(answer.status(), 405, "{other:?}");
        }
        assert_eq!(heads.lock().unwrap().len(), 1, "they go nowhere");
        edge.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_http2_counts_until_it_ends() {
    let world = Harness::new();
    let (port, _) = chat(OriginResponse::Echo).await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| {
            // Beside the first of a connection.
            options.limits.streams_per_source = 2;
            options.limits.streams = 10;
            options.timeouts.tunnel = Duration::from_millis(500);
        })
        .await;
    let mut visitor = client(&edge).await;
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        tunnels.push(opened(&mut visitor).await);
    }
    for tunnel in &mut tunnels {
        assert!(echoes(tunnel, b"x").await);
    }
    assert!(
        ask(&mut visitor, Some("websocket")).await.is_err(),
        "it has three"
    );
    // Idle tunnels: both the client's streams and the origin's connections end.
    for mut tunnel in tunnels {
        let end = timeout(TIMEOUT, tunnel.read(&mut [0])).await.unwrap();
        assert!(!matches!(end, Ok(1..)), "{end:?}");
    }
    let again = async { while ask(&mut visitor, Some("websocket")).await.is_err() {} };
    timeout(TIMEOUT, again).await.expect("there is room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_a_websocket_is_disconnected() {
    let (listener, address) = listener().await;
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let key = lines.find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let accept = accept_for(key.unwrap());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Until no stream needs it any more.
        while stream.write_all(&[0; 65_536]).await.is_ok() {}
    });
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    world.serve("a.com", &certificate, address.port()).await;
    let edge = world
        .edge_with(|options| options.timeouts.client_send = Duration::from_millis(300))
        .await;
    let mut visitor = client(&edge).await;
    let _takes_nothing = opened(&mut visitor).await;
    timeout(TIMEOUT, origin).await.unwrap().unwrap();
    // The connection stays open, and its other streams go on.
    assert_eq!(ask(&mut visitor, None).await.unwrap().status(), 405);
}
