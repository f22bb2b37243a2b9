//! Responses that arrive before the request body is sent, from origins that never read it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use edgeseal_testing::{
    http::{HttpConnection, text},
    origin::{listener, origin},
    pki::{Authority, TestCertificate},
    tls::{client_config, connect_with, server_config},
};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

const ANSWER: &[u8] =
    b"HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo much";
const LENGTHS: [usize; 2] = [200_000, 1_000_000];
const REQUESTS: usize = 50;

/// Reads the request headers, responds, and closes with the rest unread: the kernel then resets.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let _ = stream.write_all(ANSWER).await;
    let _ = stream.flush().await;
}

/// An origin that does so, with TLS if it has a certificate; its port.
async fn early_responding_origin(certificate: Option<&TestCertificate>) -> u16 {
    let (listener, address) = listener().await;
    let acceptor = certificate
        .map(|certificate| TlsAcceptor::from(Arc::new(server_config(certificate, &["http/1.1"]))));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Data that Nagle's algorithm delays behind the session tickets is lost with the reset.
            stream.set_nodelay(true).unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    None => answer(stream).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            answer(stream).await;
                        }
                    }
                }
            });
        }
    });
    address.port()
}

fn post(client: &HttpConnection, length: usize) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST);
    let request = match client {
        HttpConnection::H1(_) => request.uri("/").header("host", "a.com"),
        HttpConnection::H2(_) => request.uri("https://a.com/"),
    };
    request.body(Full::from(vec![b'x'; length])).unwrap()
}

async fn clients_get_the_response(in_tls: bool) {
    let (world, authority) = (Harness::new(), Authority::new());
    let certificate = authority.issue(&["a.com"]);
    let port = early_responding_origin(in_tls.then_some(&certificate)).await;
    world.serve("a.com", &certificate, port).await;
    let edge = world
        .edge_with(|options| {
            if in_tls {
                options.origin_tls_ports = vec![port];
            }
            options.origin_ca_file = Some(world.ca_file(&authority));
        })
        .await;
    for length in LENGTHS {
        for over_http2 in [false, true] {
            for nth in 0..REQUESTS {
                let mut client = if over_http2 {
                    HttpConnection::h2(edge.https_addr(), "a.com").await
                } else {
                    HttpConnection::h1(edge.https_addr(), "a.com").await
                };
                let request = post(&client, length);
                let answer = timeout(TIMEOUT, client.send(request)).await.unwrap();
                let what = format!("{length} bytes, h2 {over_http2}, the {nth}th");
                let answer = answer.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let got = (answer.status().as_u16(), text(answer).await);
                assert_eq!(got, (413, "too much".to_owned()), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_of_an_origin_that_reads_no_body_is_delivered() {
    clients_get_the_response(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_one_of_a_tls_origin() {
    clients_get_the_response(true).await;
}

/// Like many simple clients, and unlike hyper's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_all_before_reading_gets_the_response() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let port = early_responding_origin(None).await;
    world.serve("a.com", &certificate, port).await;
    let edge = world.edge().await;
    let length = 8_000_000;
    let body = vec![b'x'; length];
    let head = format!("POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: {length}\r\n\r\n");
    for _ in 0..5 {
        let config = client_config(rustls::DEFAULT_VERSIONS, &["http/1.1"]);
        let mut client = connect_with(edge.https_addr(), "a.com", config)
            .await
            .unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        let sending = client.write_all(&body);
        timeout(TIMEOUT, sending).await.unwrap().unwrap();
        client.flush().await.unwrap();
        let mut answer = Vec::new();
        let reading = client.read_to_end(&mut answer);
        timeout(TIMEOUT, reading).await.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.ends_with("too much"), "{answer}");
    }
}

/// An incomplete response is not forwarded, however the write ended; and the request is not
/// retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_closes_during_the_body_is_a_bad_gateway_without_retry() {
    let (origin, address) = listener().await;
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world.edge().await;
    let asked = tokio::spawn(async move {
        for nth in 0.. {
            let (mut stream, _) = origin.accept().await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'P');
            // Once gracefully, once with data unread.
            if nth % 2 == 0 {
                let mut part = vec![0; 100_000];
                let _ = stream.read_exact(&mut part).await;
            }
            drop(stream);
            if nth == 3 {
                let again = timeout(Duration::from_millis(300), origin.accept()).await;
                assert!(again.is_err(), "it is not asked again");
                return;
            }
        }
    });
    for _ in 0..4 {
        let mut client = HttpConnection::plain(edge.http_addr().unwrap()).await;
        let request = post(&client, 1_000_000);
        let answer = timeout(TIMEOUT, client.send(request)).await.unwrap();
        assert_eq!(answer.unwrap().status(), 502);
    }
    timeout(TIMEOUT, asked).await.unwrap().unwrap();
}

/// The end of the response releases the origin's connection, whether or not the client sends the
/// rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_withholds_its_body_holds_no_origin_connection() {
    let (origin, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = origin.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else {
                        return;
                    };
                    head.push(byte);
                }
                let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
                let _ = stream.write_all(answer).await;
                // It would read on for as long as data arrives.
                let _ = stream.read_to_end(&mut head).await;
            });
        }
    });
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world
        .edge_with(|options| options.origin_connections = 1)
        .await;
    let mut silent = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 1000\r\n\r\n";
    silent.write_all(head).await.unwrap();
    let mut answer = [0; 12];
    let reading = silent.read_exact(&mut answer);
    timeout(TIMEOUT, reading).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    let mut other = HttpConnection::plain(edge.http_addr().unwrap()).await;
    assert_eq!(other.get("a.com", "/").await, (404, "no".to_owned()));
}

/// RFC 9113 §8.1: a response may be sent first, but some clients drop it at the reset of a stream
/// that they still send on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_body_after_its_response_is_read_and_discarded() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let port = early_responding_origin(None).await;
    world.serve("a.com", &certificate, port).await;
    let edge = world.edge().await;
    let config = client_config(rustls::DEFAULT_VERSIONS, &["h2"]);
    let stream = connect_with(edge.https_addr(), "a.com", config)
        .await
        .unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = Request::post("https://a.com/").body(()).unwrap();
    let (answer, mut body) = sender.send_request(request, false).unwrap();
    let answer = timeout(TIMEOUT, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 413);
    let mut content = answer.into_body();
    while let Some(part) = timeout(TIMEOUT, content.data()).await.unwrap() {
        part.unwrap();
    }
    // More than the window: it is extended, and no reset arrives before the end.
    for part in 0..20 {
        body.reserve_capacity(10_000);
        let room = std::future::poll_fn(|cx| body.poll_capacity(cx));
        let room = timeout(TIMEOUT, room).await.unwrap();
        let room = room.expect("a stream").expect("no reset");
        let is_last = part == 19;
        body.send_data(vec![b'x'; room.min(10_000)].into(), is_last)
            .unwrap();
    }
}

/// No unread rest of the request could reset the connection: it is closed at once, and not kept for
/// a client that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_body_read_to_its_end_the_connection_is_closed() {
    let port = origin(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(body))
    })
    .await;
    let world = Harness::new();
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n{body}");
        let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = client.read_to_string(&mut answer);
        timeout(TIMEOUT, reading).await.unwrap().unwrap();
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        let refused = async {
            let mut every = interval(Duration::from_millis(10));
            while client.write_all(b"x").await.is_ok() {
                every.tick().await;
            }
        };
        let refused = timeout(TIMEOUT, refused).await;
        assert!(refused.is_ok(), "{body:?}: what comes is still read");
    }
}
