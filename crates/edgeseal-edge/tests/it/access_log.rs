//! The access log: what is in it, and what must not be.

use std::{path::Path, time::Duration};

use edgeseal_edge::{AccessLog, StartError};
use edgeseal_testing::{
    http::{HttpConnection, text},
    origin::{dead_port, listener, saying},
    pki::TestCertificate,
    raw::exchange,
};
use http::Request;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

/// The lines, as soon as there are `count`.
async fn lines(path: &Path, count: usize) -> Vec<Value> {
    let reading = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= count && text.ends_with('\n') {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let text = timeout(TIMEOUT, reading).await.expect("the lines");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), count, "{text}");
    lines
}

#[tokio::test]
async fn a_line_has_request_and_response_and_no_secret() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let path = world.directory.path().join("access.log");
    let edge = world
        .edge_with(|options| options.access_log = Some(AccessLog::File(path.clone())))
        .await;
    let mut http = HttpConnection::h2(edge.https_addr(), "a.com").await;
    let request = Request::post("https://a.com/path?token=sesame")
        .header("authorization", "Bearer sesame")
        .header("cookie", "session=sesame")
        .body("four".into())
        .unwrap();
    assert_eq!(text(http.send(request).await.unwrap()).await, "hello");
    let line = &lines(&path, 1).await[0];
    let raw = std::fs::read_to_string(&path).unwrap();
    assert!(!raw.contains("sesame"), "{raw}");
    for (name, value) in [
        ("time", Value::from("2027-01-15T08:00:00.000Z")),
        ("protocol", "HTTP/2".into()),
        ("tls", "1.3".into()),
        ("resumed", false.into()),
        ("method", "POST".into()),
        ("host", "a.com".into()),
        ("path", "/path".into()),
        ("status", 200.into()),
        ("end", "complete".into()),
        ("bytes_received", 4.into()),
        ("bytes_sent", 5.into()),
        ("origin", format!("127.0.0.1:{port}").into()),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(line["request_id"].as_str().unwrap().len(), 36);
    for name in ["duration_ms", "connect_ms", "first_byte_ms"] {
        assert!(line[name].as_f64().unwrap() > 0.0, "{name} in {line}");
    }
    assert!(line.get("reason").is_none());
}

#[tokio::test]
async fn refusals_have_a_reason_and_the_id_of_their_page() {
    let world = Harness::new();
    let dead = dead_port().await;
    world.put(&domain("dead.com").with_origin(dead)).await;
    let path = world.directory.path().join("access.log");
    let edge = world
        .edge_with(|options| options.access_log = Some(AccessLog::File(path.clone())))
        .await;
    for (number, (host, status, reason)) in [
        ("dead.com", 502, "bad_gateway"),
        ("unknown.com", 404, "unknown_host"),
        ("a\"b\\c", 400, "bad_request"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = exchange(edge.http_addr().unwrap(), &request).await;
        let line = &lines(&path, number + 1).await[number];
        assert_eq!(line["host"], host);
        assert_eq!(line["status"], status);
        assert_eq!(line["reason"], reason);
        assert_eq!(line["protocol"], "HTTP/1.1");
        assert!(line.get("tls").is_none());
        assert!(answer.contains(line["request_id"].as_str().unwrap()));
        assert_eq!(line.get("origin").is_some(), host == "dead.com");
    }
}

/// Client-controlled text is truncated, and cannot control the reader's terminal.
#[tokio::test]
async fn long_and_odd_requests_are_truncated_and_escaped() {
    let world = Harness::new();
    let path = world.directory.path().join("access.log");
    let edge = world
        .edge_with(|options| options.access_log = Some(AccessLog::File(path.clone())))
        .await;
    let (long, host, odd) = ("p".repeat(20_000), "h".repeat(3_000), "\u{9b}31m\u{202e}");
    let table = [
        ("GET", &*format!("/{long}?q=1"), "a.com", 3, 5, 2_048),
        ("GET", "/", &*host, 3, 256, 1),
        (&*"M".repeat(100), "/", "a.com", 32, 5, 1),
        ("GET", &*format!("/{odd}"), "a.com", 3, 5, 1 + odd.len()),
    ];
    for (number, (method, target, host, of_method, of_host, of_path)) in
        table.into_iter().enumerate()
    {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        let request = format!("{head}Connection: close\r\n\r\n");
        exchange(edge.http_addr().unwrap(), &request).await;
        let line = &lines(&path, number + 1).await[number];
        let length = |name: &str| line[name].as_str().unwrap().len();
        let lengths = (length("method"), length("host"), length("path"));
        assert_eq!(lengths, (of_method, of_host, of_path), "{line}");
        let whole = target.contains(odd);
        let truncated = line.get("truncated");
        assert_eq!(truncated, (!whole).then_some(&Value::from(true)), "{line}");
    }
    let raw = std::fs::read_to_string(&path).unwrap();
    assert!(raw.contains("\"/\\u009b31m\\u202e\""), "{raw}");
    assert!(raw.is_ascii());
}

#[tokio::test]
async fn aborted_responses_name_the_side_and_a_tunnel_has_one_line() {
    let (rude, address) = listener().await;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = rude.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            if head.contains("websocket") {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                              Upgrade: websocket\r\n\r\nhello";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut said = [0; 3];
                stream.read_exact(&mut said).await.unwrap();
                continue;
            }
            let start = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart";
            stream.write_all(start.as_bytes()).await.unwrap();
            if head.contains("/stay") {
                kept.push(stream);
            }
        }
    });
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let path = world.directory.path().join("access.log");
    let edge = world
        .edge_with(|options| options.access_log = Some(AccessLog::File(path.clone())))
        .await;
    let table = [
        ("/break", "", 200, "origin_aborted", 0),
        ("/stay", "", 200, "client_aborted", 0),
        (
            "/chat",
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            101,
            "complete",
            3,
        ),
    ];
    for (number, (target, fields, status, end, received)) in table.into_iter().enumerate() {
        let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.com\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"start") && !answer.ends_with(b"hello") {
            answer.push(timeout(TIMEOUT, client.read_u8()).await.unwrap().unwrap());
        }
        if status == 101 {
            client.write_all(b"bye").await.unwrap();
        }
        if target != "/break" {
            drop(client);
        }
        let line = &lines(&path, number + 1).await[number];
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["end"], end, "{line}");
        assert_eq!(line["bytes_received"], received, "{line}");
        assert_eq!(line["bytes_sent"], 5, "{line}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_stops_the_start_and_the_end_writes_the_rest() {
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(saying("hello").await))
        .await;
    let mut options = world.options();
    options.access_log = Some(AccessLog::File(
        world.directory.path().join("no/access.log"),
    ));
    let start = edgeseal_edge::Edge::start(
        options,
        std::sync::Arc::clone(&world.store),
        world.keyring.clone(),
        crate::harness::now,
    );
    let error = timeout(TIMEOUT, start).await.unwrap().unwrap_err();
    assert!(matches!(error, StartError::AccessLog { .. }), "{error}");

    let path = world.directory.path().join("access.log");
    let edge = world
        .edge_with(|options| {
            options.access_log = Some(AccessLog::File(path.clone()));
            options.drain_timeout = Duration::from_secs(2);
        })
        .await;
    let request = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
    for _ in 0..20 {
        exchange(edge.http_addr().unwrap(), request).await;
    }
    edge.drain().await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 20);
}
