//! Requests that one server reads differently from the next: refused, or forwarded in one
//! unambiguous form.

use std::time::Duration;

use edgeseal_testing::{origin::recording, pki::TestCertificate, raw::exchange, tls::connect};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

/// What an origin received for one request.
enum Expected {
    /// Nothing: the edge responds with this status.
    Refused(u16),
    /// One request that contains all of these, in lower case, and none of those.
    Passed(&'static [&'static str], &'static [&'static str]),
}

use Expected::{Passed, Refused};

const NASTY: &[(&str, Expected)] = &[
    // Two framings: chunked takes precedence, and the other is removed (RFC 9112 §6.3).
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\n\r\n",
        Passed(
            &["transfer-encoding: chunked", "3\r\nabc\r\n0\r\n"],
            &["content-length"],
        ),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n\
         0\r\n\r\n",
        Passed(&["transfer-encoding: chunked"], &["content-length"]),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 3, 4\r\n\r\nabcd",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: +3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 0x3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        Passed(&["content-length: 3\r\n", "\r\n\r\nabc"], &[]),
    ),
    // Spellings of the coding that only some servers accept.
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\
         \r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused(501),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.0\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Passed(&["transfer-encoding: chunked\r\n", "2\r\nhi\r\n0\r\n"], &[]),
    ),
    // A header line with obsolete folding (RFC 9112 §5.2).
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nX-Long: one\r\n two\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    // Misplaced line ends and bytes.
    (
        "GET / HTTP/1.1\nHost: a.com\nX-Bare: 1\n\n",
        Passed(&["\r\nx-bare: 1\r\n"], &[]),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nX: 1\rY: 2\r\n\r\n",
        Refused(400),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nX: 1\0\r\n\r\n",
        Refused(400),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\n: nameless\r\n\r\n",
        Refused(400),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nX Y: 1\r\n\r\n",
        Refused(400),
    ),
    ("GET /a b HTTP/1.1\r\nHost: a.com\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.2\r\nHost: a.com\r\n\r\n", Refused(400)),
    ("GET * HTTP/1.1\r\nHost: a.com\r\n\r\n", Refused(400)),
    ("GET /\r\n\r\n", Refused(400)),
    // Only one host, consistently.
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nHost: a.com\r\n\r\n",
        Refused(400),
    ),
    ("GET / HTTP/1.1\r\nHost: a.com, b.com\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: x@a.com\r\n\r\n", Refused(400)),
    (
        "GET http://a.com/p HTTP/1.1\r\nHost: evil.com\r\n\r\n",
        Passed(&["get /p http/1.1\r\n", "\r\nhost: a.com\r\n"], &["evil"]),
    ),
    (
        "GET //evil.com/ HTTP/1.1\r\nHost: a.com\r\n\r\n",
        Passed(
            &["get //evil.com/ http/1.1\r\n", "\r\nhost: a.com\r\n"],
            &[],
        ),
    ),
    // Invalid chunks.
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n\r\n\
         2;x=\"1\"\r\nhi\r\n0\r\n\r\n",
        Passed(&["\r\n2\r\nhi\r\n0\r\n"], &["x="]),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\nHost: evil.com\r\nContent-Length: 5\r\n\r\n",
        Passed(&["\r\nhost: a.com\r\n"], &["evil", "content-length"]),
    ),
    // Hop-by-hop headers (RFC 9110 §7.6.1), and others that a client names in `Connection`.
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: x-one, close, x-forwarded-for\r\nX-One: 1\r\n\
         X-Two: 2\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic eA==\r\n\
         TE: trailers\r\n\r\n",
        Passed(
            &["x-two: 2", "x-forwarded-for: 127.0.0.1\r\n"],
            &["x-one", "connection:", "keep-alive", "proxy-", "\r\nte:"],
        ),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.com\r\nConnection: host, content-length, authorization\r\n\
         Authorization: Basic eA==\r\nContent-Length: 2\r\n\r\nhi",
        Passed(
            &[
                "\r\nhost: a.com\r\n",
                "content-length: 2\r\n",
                "authorization: basic ea==\r\n",
            ],
            &["connection:"],
        ),
    ),
    // Bodies of methods that seldom have one.
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Passed(&["transfer-encoding: chunked\r\n", "2\r\nhi\r\n0\r\n"], &[]),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 2\r\n\r\nhi",
        Passed(&["content-length: 2\r\n", "\r\n\r\nhi"], &[]),
    ),
    // Names that CGI, WSGI and PHP confuse with the edge's own headers (RFC 3875 §4.1.18).
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nX_Real_IP: 9.9.9.9\r\nX_Forwarded_For: 9.9.9.9\r\n\
         X-Forwarded_Proto: gopher\r\nx.forwarded.host: 9.9.9.9\r\nContent_Length: 99\r\n\
         Transfer_Encoding: 9.9.9.9\r\nX_Other: 1\r\n\r\n",
        Passed(
            &["x_other: 1\r\n", "x-forwarded-for: 127.0.0.1\r\n"],
            &["9.9.9.9", "gopher", "content_length"],
        ),
    ),
    // Headers of CDNs and proxies, sent by a client.
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nAli-Cdn-Real-Ip: 9.9.9.9\r\nX-Client-Scheme: https\r\n\
         X-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\nX-Url-Scheme: https\r\n\
         Front-End-Https: on\r\nTrue-Client-IP: 9.9.9.9\r\nX_Client_IP: 9.9.9.9\r\n\
         X-Forwarded-Server: evil.com\r\nX-Original-URL: /evil\r\nX-Rewrite-Url: /evil\r\n\
         X_Original_URL: /evil\r\nX-HTTP-Method-Override: PUT\r\n\r\n",
        Passed(
            &[
                "ali-cdn-real-ip: 127.0.0.1\r\n",
                "x-client-scheme: http\r\n",
                "x-forwarded-proto: http\r\n",
                "x-http-method-override: put\r\n",
            ],
            &["9.9.9.9", "https", "evil", ": on\r\n"],
        ),
    ),
    // Other protocols would bypass all of this.
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        Passed(&[], &["upgrade", "h2c", "http2-settings"]),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        Passed(&[], &["upgrade", "h2c", "websocket"]),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nUpgrade: websocket\r\n\r\n",
        Passed(&[], &["upgrade"]),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Content-Length: 2\r\n\r\nhi",
        Passed(&["content-length: 2"], &["upgrade"]),
    ),
];

#[tokio::test]
async fn ambiguous_requests_are_refused_or_normalized() {
    let world = Harness::new();
    let (port, record) = recording().await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| options.header_timeout = Duration::from_millis(300))
        .await;
    let http = edge.http_addr().unwrap();
    for (request, expected) in NASTY {
        record.lock().unwrap().clear();
        let answer = exchange(http, request).await;
        let sent = String::from_utf8(record.lock().unwrap().clone()).unwrap();
        let sent = sent.to_lowercase();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let context = format!("{request:?}\nsent: {sent:?}\nanswer: {answer:?}");
        match expected {
            Refused(code) => {
                assert_eq!(status, Some(*code), "{context}");
                assert_eq!(sent, "", "{context}");
            }
            Passed(all, none) => {
                assert_eq!(status, Some(200), "{context}");
                assert_eq!(sent.matches(" http/1.1\r\n").count(), 1, "{context}");
                for there in *all {
                    assert!(sent.contains(there), "{there:?} is missing\n{context}");
                }
                for absent in *none {
                    assert!(!sent.contains(absent), "{absent:?} is there\n{context}");
                }
            }
        }
    }
}

/// A request refused before its body was read must not turn the body into the next request.
#[tokio::test]
async fn a_refused_body_is_no_request() {
    let world = Harness::new();
    let (port, record) = recording().await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| options.header_timeout = Duration::from_millis(300))
        .await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a.com\r\n\r\n";
    for (host, framing) in [
        ("unknown.com", format!("Content-Length: {}", inner.len())),
        ("a.com", "Transfer-Encoding: xchunked".to_owned()),
        ("a.com", "Transfer-Encoding: gzip, chunked".to_owned()),
        ("a.com", "Content-Length: 1\r\nContent-Length: 2".to_owned()),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n{inner}");
        exchange(edge.http_addr().unwrap(), &request).await;
        let sent = String::from_utf8(record.lock().unwrap().clone()).unwrap();
        assert!(!sent.contains("smuggled"), "{request}\n{sent}");
    }
}

/// An HTTP/2 HEADERS frame on stream 1 with these headers, literal and never indexed.
fn headers_frame(fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(1, if end { 0x5 } else { 0x4 }, 1, &block)
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
    frame.extend_from_slice(payload);
    frame
}

/// How stream 1 ends: the type of the first frame on it, or of a GOAWAY.
async fn first_frame(edge: std::net::SocketAddr, frames: &[u8]) -> u8 {
    let mut stream = connect(edge, "a.com", &["h2"]).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream.write_all(frames).await.unwrap();
    loop {
        let mut head = [0; 9];
        timeout(TIMEOUT, stream.read_exact(&mut head))
            .await
            .unwrap()
            .unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if (head[8] == 1 && head[3] != WINDOW_UPDATE) || head[3] == GOAWAY {
            return head[3];
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

#[tokio::test]
async fn http2_rejects_connection_headers() {
    let world = Harness::new();
    let (port, record) = recording().await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    let start = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", "a.com"),
    ];
    let refused: &[&[(&str, &str)]] = &[
        &[("connection", "close")],
        &[("transfer-encoding", "chunked")],
        &[("keep-alive", "5")],
        &[("proxy-connection", "x")],
        &[("upgrade", "websocket")],
        &[("te", "gzip")],
        &[("X-Upper", "1")],
        &[("x", "1\r\nsmuggled: 1")],
        &[("x", "1\0")],
        &[("x\r\nsmuggled", "1")],
        &[("x y", "1")],
        &[(":path", "/again")],
        &[(":unknown", "1")],
        &[("x", "1"), (":late", "1")],
        &[("content-length", "5")],
        &[("content-length", "x")],
    ];
    for extra in refused {
        let fields = [&start[..], extra].concat();
        let kind = first_frame(edge.https_addr(), &headers_frame(&fields, true)).await;
        assert!(matches!(kind, RST_STREAM | GOAWAY), "{extra:?}: {kind}");
    }
    // A longer or shorter body than declared.
    let fields = [&start[1..], &[(":method", "POST"), ("content-length", "2")]].concat();
    let fields = [&fields[3..4], &fields[..3], &fields[4..]].concat();
    for body in [&b"x"[..], b"xyz"] {
        let mut frames = headers_frame(&fields, false);
        frames.extend(frame(0, 1, 1, body));
        let kind = first_frame(edge.https_addr(), &frames).await;
        assert!(matches!(kind, RST_STREAM | GOAWAY | HEADERS), "{kind}");
    }
    let sent = String::from_utf8_lossy(&record.lock().unwrap()).to_lowercase();
    assert!(
        !sent.contains("get /") && !sent.contains("smuggled"),
        "{sent}"
    );
    // The same with correct lengths.
    let fields = [&start[..], &[("te", "trailers"), ("x", "1")]].concat();
    let kind = first_frame(edge.https_addr(), &headers_frame(&fields, true)).await;
    assert_eq!(kind, HEADERS);
    let sent = String::from_utf8_lossy(&record.lock().unwrap()).to_lowercase();
    assert!(
        sent.contains("get / http/1.1\r\n") && sent.contains("\r\nx: 1\r\n"),
        "{sent}"
    );
}
