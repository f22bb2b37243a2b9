//! Framing of requests and responses: the edge frames what it forwards, completely.

use std::time::Duration;

use bytes::Bytes;
use edgeseal_testing::{
    http::HttpConnection,
    origin::{listener, origin, recording},
    pki::TestCertificate,
    raw::{exchange, get_text},
    tls::connect,
};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

/// An origin that responds to each connection's first request with these bytes, and then closes, or
/// sends nothing more.
async fn answering(answer: &'static str, silent: bool) -> u16 {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                stream.write_all(answer.as_bytes()).await?;
                if silent {
                    stream.read_u8().await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    address.port()
}

async fn h1(edge: &edgeseal_edge::Edge) -> TcpStream {
    TcpStream::connect(edge.http_addr().unwrap()).await.unwrap()
}

/// Reads until `end` arrives.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(end.as_bytes()) {
            let byte = stream.read_u8().await;
            let so_far = String::from_utf8_lossy(&read).into_owned();
            read.push(byte.unwrap_or_else(|error| panic!("{error} after {so_far:?}")));
        }
    };
    timeout(TIMEOUT, reading).await.unwrap();
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn an_http10_origin_closes_no_client_connection() {
    let world = Harness::new();
    let port = answering("HTTP/1.0 200 OK\r\nServer: old\r\n\r\nhello", false).await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let mut visitor = h1(&edge).await;
    for _ in 0..2 {
        let request = b"GET / HTTP/1.1\r\nHost: a.com\r\n\r\n";
        visitor.write_all(request).await.unwrap();
        let answer = until(&mut visitor, "\r\n0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("via: 1.0 edgeseal\r\n"), "{answer}");
        assert!(answer.contains("\r\n5\r\nhello\r\n"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    // An HTTP/1.0 client still gets a response in its own framing.
    let answer = exchange(
        edge.http_addr().unwrap(),
        "GET / HTTP/1.0\r\nHost: a.com\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn an_aborted_response_without_length_is_visibly_incomplete() {
    let world = Harness::new();
    let port = answering("HTTP/1.0 200 OK\r\n\r\nhel", true).await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| options.timeouts.idle = Duration::from_millis(200))
        .await;
    let mut visitor = h1(&edge).await;
    let request = b"GET / HTTP/1.1\r\nHost: a.com\r\n\r\n";
    visitor.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = visitor.read_to_end(&mut answer);
    // Whether by a reset or by a close: the last chunk is missing.
    let _ = timeout(TIMEOUT, reading).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains("transfer-encoding: chunked\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n3\r\nhel\r\n"), "{answer}");
    for mut http in [
        HttpConnection::h1(edge.https_addr(), "a.com").await,
        HttpConnection::h2(edge.https_addr(), "a.com").await,
    ] {
        let response = http.ask(Method::GET, "a.com", "/").await;
        let body = timeout(TIMEOUT, response.into_body().collect()).await;
        assert!(body.unwrap().is_err());
    }
}

/// For an HTTP/1.0 client the end of the connection is the end of such a response.
#[tokio::test]
async fn an_aborted_response_without_length_resets_an_http10_connection() {
    let world = Harness::new();
    let cut = answering("HTTP/1.0 200 OK\r\n\r\nhel", true).await;
    let whole = answering("HTTP/1.0 200 OK\r\n\r\nhel", false).await;
    world.put(&domain("cut.com").with_origin(cut)).await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), cut)
        .await;
    world.put(&domain("whole.com").with_origin(whole)).await;
    let edge = world
        .edge_with(|options| options.timeouts.idle = Duration::from_millis(200))
        .await;
    for (host, complete) in [("cut.com", false), ("whole.com", true), ("cut.com", false)] {
        let mut visitor = h1(&edge).await;
        let request = format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n");
        visitor.write_all(request.as_bytes()).await.unwrap();
        let answer = until(&mut visitor, "\r\n\r\nhel").await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
        let end = timeout(TIMEOUT, visitor.read(&mut [0])).await.unwrap();
        let end = end.map_err(|error| error.kind());
        let reset = Err(std::io::ErrorKind::ConnectionReset);
        assert_eq!(end, if complete { Ok(0) } else { reset }, "{host}");
    }
    let tls = connect(edge.https_addr(), "a.com", &[]).await;
    let mut visitor = tls.unwrap();
    let request = b"GET / HTTP/1.0\r\nHost: a.com\r\n\r\n";
    visitor.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let end = timeout(TIMEOUT, visitor.read_to_end(&mut answer)).await;
    assert!(end.unwrap().is_err(), "neither in TLS");
    assert!(answer.ends_with(b"\r\n\r\nhel"));
}

#[tokio::test]
async fn chunked_wins_over_content_length() {
    let world = Harness::new();
    let table = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n",
            200,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n",
            200,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            502,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            502,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            502,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello",
            502,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            200,
        ),
    ];
    for (answer, status) in table {
        let port = answering(answer, false).await;
        let certificate = TestCertificate::self_signed("a.com");
        let revision = world.serve("a.com", &certificate, port).await;
        let edge = world.edge().await;
        crate::harness::served(&edge, revision).await;
        let (got, text) = get_text(edge.http_addr().unwrap(), "a.com", "/").await;
        assert_eq!(got, status, "{answer:?} {text}");
        for mut http in [
            HttpConnection::h1(edge.https_addr(), "a.com").await,
            HttpConnection::h2(edge.https_addr(), "a.com").await,
        ] {
            let (got, text) = http.get("a.com", "/").await;
            assert_eq!(got, status, "{answer:?} {text}");
            assert!(status != 200 || text == "hello", "{answer:?} {text}");
        }
        edge.drain().await;
    }
}

/// A body of unknown length.
fn streamed(
    text: &'static str,
) -> impl http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin {
    let frame = http_body::Frame::data(Bytes::from_static(text.as_bytes()));
    StreamBody::new(futures_util::stream::iter([Ok(frame)]))
}

#[tokio::test]
async fn bodies_of_get_and_head_are_delivered() {
    let world = Harness::new();
    let port = origin(|request: Request<Incoming>| async move {
        let method = request.method().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let response = Response::builder().header("x-got", format!("{method} {body}"));
        response.body(Full::<Bytes>::default()).unwrap()
    })
    .await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    let stream = connect(edge.https_addr(), "a.com", &["h2"]).await;
    let io = TokioIo::new(stream.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let request = Request::builder()
            .method(&method)
            .uri("https://a.com/")
            .body(streamed("{\"q\":1}"))
            .unwrap();
        let response = timeout(TIMEOUT, sender.send_request(request)).await;
        let response = response.unwrap().unwrap();
        let expected = format!("{method} {{\"q\":1}}");
        assert_eq!(response.headers()["x-got"], expected.as_str());
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n7\r\n{{\"q\":1}}\r\n0\r\n\r\n"
        );
        let answer = exchange(edge.http_addr().unwrap(), &request).await;
        assert!(
            answer.contains(&format!("x-got: {expected}\r\n")),
            "{answer}"
        );
    }
}

/// RFC 9112 §6.3: a request with two framings ends the connection, so that no rest of it becomes a
/// request.
#[tokio::test]
async fn a_request_with_two_framings_is_the_last_one() {
    let world = Harness::new();
    let (port, record) = recording().await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let requests = "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 5\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
                    GET /smuggled HTTP/1.1\r\nHost: a.com\r\n\r\n";
    let answer = exchange(edge.http_addr().unwrap(), requests).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let sent = String::from_utf8(record.lock().unwrap().clone()).unwrap();
    assert!(!sent.contains("smuggled"), "{sent}");
}

/// Any client can claim `application/grpc`: it does not exempt a body from the minimum rate.
#[tokio::test]
async fn a_content_type_does_not_exempt_a_slow_body() {
    let world = Harness::new();
    let port = origin(|request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        Response::new(Full::<Bytes>::default())
    })
    .await;
    let certificate = TestCertificate::self_signed("a.com");
    world.serve("a.com", &certificate, port).await;
    let edge = world
        .edge_with(|options| {
            options.timeouts.body_rate_min = 1000;
            options.timeouts.body_window = Duration::from_millis(100);
        })
        .await;
    let mut visitor = h1(&edge).await;
    let head = "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Type: application/grpc\r\n\
                Content-Length: 100000\r\n\r\n";
    visitor.write_all(head.as_bytes()).await.unwrap();
    let answer = until(&mut visitor, "\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // Over HTTP/2 it is exempt, if the origin uses HTTP/2 too.
    let (h2c, _) = crate::failover::refusing(0, Vec::new(), false).await;
    world
        .serve("b.com", &TestCertificate::self_signed("b.com"), h2c)
        .await;
    let edge = world
        .edge_with(|options| {
            options.origin_h2c_ports = vec![h2c];
            options.timeouts.body_rate_min = 1000;
            options.timeouts.body_window = Duration::from_millis(100);
        })
        .await;
    for (host, status) in [("a.com", 408), ("b.com", 200)] {
        let stream = connect(edge.https_addr(), host, &["h2"]).await;
        let io = TokioIo::new(stream.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        tokio::spawn(connection);
        let words = futures_util::stream::unfold(0, |number| async move {
            let pause = if number == 0 { 0 } else { 50 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let frame = http_body::Frame::data(Bytes::from_static(b"."));
            (number < 10).then_some((Ok::<_, std::convert::Infallible>(frame), number + 1))
        });
        let request = Request::post(format!("https://{host}/"))
            .header("content-type", "application/grpc")
            .body(StreamBody::new(Box::pin(words)))
            .unwrap();
        let response = timeout(TIMEOUT, sender.send_request(request)).await;
        assert_eq!(response.unwrap().unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn response_trailers_are_forwarded_to_clients_that_accept_them() {
    let world = Harness::new();
    let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-Seen\r\nTrailer: X-Last\r\n\
                  Transfer-Encoding: chunked\r\n\r\n\
                  2\r\nhi\r\n0\r\nX-Sum: 17\r\nContent-Length: 1\r\nX-Last: 3\r\n\r\n";
    let port = answering(answer, false).await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    for (takes, end) in [
        (
            "TE: trailers\r\nConnection: TE, close\r\n",
            "0\r\nx-sum: 17\r\nx-last: 3\r\n\r\n",
        ),
        ("Connection: close\r\n", "0\r\n\r\n"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.com\r\n{takes}\r\n");
        let answer = exchange(edge.http_addr().unwrap(), &request).await;
        assert!(answer.ends_with(end), "{takes:?} {answer}");
        let announced = answer.contains("\r\ntrailer: X-Sum, X-Seen, X-Last\r\n");
        assert_eq!(announced, takes.starts_with("TE"), "{answer}");
    }
}
