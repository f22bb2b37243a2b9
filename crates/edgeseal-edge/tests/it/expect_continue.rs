//! `Expect: 100-continue`: the origin decides whether a body is wanted.

use std::time::{Duration, Instant};

use edgeseal_testing::{http::HttpConnection, origin::listener, pki::TestCertificate};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

const UPLOAD: &[u8] = b"PUT / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 4\r\n\
                        Expect: 100-continue\r\n\r\n";

/// The next headers, as text in lower case.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(TIMEOUT, stream.read_u8()).await.unwrap().unwrap();
        head.push(byte);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// An origin's next connection after the headers of its first request, which contain the
/// expectation.
async fn asked(origin: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(TIMEOUT, origin.accept()).await.unwrap().unwrap();
    let head = head(&mut stream).await;
    assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 4\r\n"), "{head}");
    stream
}

/// Whether nothing arrives for a moment.
async fn is_silent(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(Duration::from_millis(200), stream.read(&mut byte))
        .await
        .is_err()
}

#[tokio::test]
async fn continue_is_sent_when_the_origin_sends_it_and_not_before() {
    let (origin, address) = listener().await;
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world.edge().await;
    let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    client.write_all(UPLOAD).await.unwrap();
    let mut server = asked(&origin).await;
    assert!(is_silent(&mut client).await, "the origin has said nothing");
    // Other interim responses do not count.
    server
        .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        .await
        .unwrap();
    assert!(is_silent(&mut client).await, "the origin has not said 100");
    let said = Instant::now();
    server
        .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 100 "));
    assert!(said.elapsed() < Duration::from_millis(400), "at once");
    client.write_all(b"body").await.unwrap();
    let mut body = [0; 4];
    timeout(TIMEOUT, server.read_exact(&mut body))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&body, b"body");
    server
        .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 201 "));
    // Both connections stay open.
    client.write_all(UPLOAD).await.unwrap();
    let again = head(&mut server).await;
    assert!(again.contains("expect: 100-continue"), "{again}");
}

#[tokio::test]
async fn a_final_response_arrives_without_the_body() {
    let (origin, address) = listener().await;
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world.edge().await;
    let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    client.write_all(UPLOAD).await.unwrap();
    let mut server = asked(&origin).await;
    server
        .write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(TIMEOUT, client.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 417 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno"), "{answer}");
    assert!(!answer.contains(" 100 "), "the body was never asked for");
    // A connection that cannot be used for another request is closed.
    let mut rest = Vec::new();
    let end = timeout(TIMEOUT, server.read_to_end(&mut rest)).await;
    assert!(end.expect("the origin's connection ends").is_ok() && rest.is_empty());
}

#[tokio::test]
async fn an_origin_without_support_for_expect_gets_the_body_after_a_second() {
    let (origin, address) = listener().await;
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world.edge().await;
    let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    let asked_at = Instant::now();
    client.write_all(UPLOAD).await.unwrap();
    let mut server = asked(&origin).await;
    assert!(head(&mut client).await.starts_with("http/1.1 100 "));
    assert!(asked_at.elapsed() >= Duration::from_millis(950));
    client.write_all(b"body").await.unwrap();
    let mut body = [0; 4];
    timeout(TIMEOUT, server.read_exact(&mut body))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&body, b"body");
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 200 "));
}

/// 100 is not sent over HTTP/2 here: the body arrives when the client likes, and is forwarded.
#[tokio::test]
async fn over_http2_the_body_is_not_delayed() {
    let (origin, address) = listener().await;
    let world = Harness::new();
    world
        .serve(
            "a.com",
            &TestCertificate::self_signed("a.com"),
            address.port(),
        )
        .await;
    let edge = world.edge().await;
    let mut http = HttpConnection::h2(edge.https_addr(), "a.com").await;
    let request = http::Request::put("https://a.com/")
        .header("expect", "100-continue")
        .body("body".into())
        .unwrap();
    let began = Instant::now();
    let answering = tokio::spawn(async move { http.send(request).await.unwrap().status() });
    let mut server = asked(&origin).await;
    let mut body = [0; 4];
    timeout(TIMEOUT, server.read_exact(&mut body))
        .await
        .unwrap()
        .unwrap();
    assert!(began.elapsed() < Duration::from_millis(900), "not waited");
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let status = timeout(TIMEOUT, answering).await.unwrap().unwrap();
    assert_eq!(status, 200);
}
