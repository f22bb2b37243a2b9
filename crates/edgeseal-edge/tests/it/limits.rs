//! Limits: what clients may send, for how long, and how often.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use edgeseal_testing::{
    http::HttpConnection,
    origin::{origin, saying},
    pki::TestCertificate,
    raw::exchange,
    tls::{client_config, connect_with},
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

fn status(answer: &str) -> Option<&str> {
    answer.split(' ').nth(1)
}

#[tokio::test]
async fn headers_are_limited_in_size_and_number() {
    let world = Harness::new();
    let port = saying("hello").await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let fields = |count: usize, length: usize| -> String {
        (0..count)
            .map(|number| format!("X-{number}: {}\r\n", "v".repeat(length)))
            .collect()
    };
    let table = [
        (fields(90, 10), "200"),
        (fields(101, 10), "431"),
        (fields(1, 60_000), "200"),
        (fields(3, 60_000), "431"),
    ];
    for (fields, expected) in table {
        let head = format!("GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n{fields}\r\n");
        let mut stream = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
        // What was sent beyond the limit is read and discarded, so that no reset drops the
        // response.
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        timeout(TIMEOUT, reading).await.unwrap().unwrap();
        assert_eq!(status(&answer), Some(expected), "{answer}");
    }
}

/// A client that sends everything before it reads gets 431, whether the budget is exhausted or the
/// headers exceed the maximum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_too_large_headers_gets_the_response() {
    // More than the buffers between the two can hold.
    let filling = "x".repeat(8_000_000);
    let head = format!("GET / HTTP/1.1\r\nHost: a.com\r\nX: {filling}\r\n\r\n");
    for large_headers in [0, 10] {
        let world = Harness::new();
        let port = saying("hello").await;
        world
            .serve("a.com", &TestCertificate::self_signed("a.com"), port)
            .await;
        let edge = world
            .edge_with(|options| options.limits.large_headers = large_headers)
            .await;
        for _ in 0..5 {
            let answer = exchange(edge.http_addr().unwrap(), &head).await;
            assert_eq!(status(&answer), Some("431"), "{answer}");
            let config = client_config(rustls::DEFAULT_VERSIONS, &["http/1.1"]);
            let mut client = connect_with(edge.https_addr(), "a.com", config)
                .await
                .unwrap();
            let sending = client.write_all(head.as_bytes());
            timeout(TIMEOUT, sending).await.unwrap().unwrap();
            client.flush().await.unwrap();
            let mut answer = String::new();
            let reading = client.read_to_string(&mut answer);
            timeout(TIMEOUT, reading).await.unwrap().unwrap();
            assert_eq!(status(&answer), Some("431"), "{answer}");
        }
    }
}

/// Headers of 20 KB wait for others of that size, of which one source may have half.
#[tokio::test]
async fn a_large_header_is_refused_under_memory_pressure() {
    let world = Harness::new();
    let port = saying("hello").await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| options.limits.large_headers = 1)
        .await;
    let address = edge.http_addr().unwrap();
    let request = |length: usize| {
        let filling = "x".repeat(length);
        format!("GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\nX: {filling}\r\n\r\n")
    };
    let long = request(20_000);
    let (begin, end) = long.split_at(19_000);
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(begin.as_bytes()).await.unwrap();
    // Until the edge has read this much of it.
    let refused = async {
        loop {
            let answer = exchange(address, &long).await;
            if status(&answer) != Some("200") {
                break answer;
            }
        }
    };
    let refused = timeout(TIMEOUT, refused).await.unwrap();
    assert_eq!(status(&refused), Some("431"), "{refused}");
    let short = exchange(address, &request(10_000)).await;
    assert_eq!(status(&short), Some("200"), "{short}");
    first.write_all(end.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(TIMEOUT, first.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status(&answer), Some("200"), "{answer}");
    // Its budget is released for the next one as soon as its exchange is over.
    let next = async { while status(&exchange(address, &long).await) != Some("200") {} };
    timeout(TIMEOUT, next).await.unwrap();
}

/// Headers that arrive byte by byte time out, however active the connection looks.
#[tokio::test]
async fn slow_headers_time_out() {
    let world = Harness::new();
    let port = saying("hello").await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| options.header_timeout = Duration::from_millis(300))
        .await;
    let mut stream = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.com\r\nX: ")
        .await
        .unwrap();
    let (mut read, mut write) = stream.split();
    let trickle = async {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        loop {
            every.tick().await;
            if write.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = trickle => {}
        end = timeout(Duration::from_secs(5), read.read_to_end(&mut answer)) => {
            assert!(end.is_ok(), "it is still open");
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn bodies_are_limited_in_size() {
    let world = Harness::new();
    let whole = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&whole);
    let port = origin(move |request: Request<Incoming>| {
        let counter = Arc::clone(&counter);
        async move {
            if request.into_body().collect().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            Response::new(Full::from("taken"))
        }
    })
    .await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| options.request_body_max = Some(10))
        .await;
    let chunks = |count: usize| format!("{}0\r\n\r\n", "5\r\nabcde\r\n".repeat(count));
    let table = [
        ("Content-Length: 10", "0123456789".to_owned(), "200"),
        ("Content-Length: 11", "0123456789x".to_owned(), "413"),
        ("Transfer-Encoding: chunked", chunks(2), "200"),
        ("Transfer-Encoding: chunked", chunks(3), "413"),
    ];
    for _ in 0..4 {
        for (framing, body, expected) in &table {
            let request = format!(
                "POST / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n{framing}\r\n\r\n{body}"
            );
            let answer = exchange(edge.http_addr().unwrap(), &request).await;
            assert_eq!(status(&answer), Some(*expected), "{request}\n{answer}");
        }
    }
    assert_eq!(
        whole.load(Ordering::SeqCst),
        8,
        "no part of a body is taken for it"
    );
}

#[tokio::test]
async fn requests_per_connection_are_limited() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| options.keepalive_requests = 3)
        .await;
    for mut http in [
        HttpConnection::h1(edge.https_addr(), "a.com").await,
        HttpConnection::h2(edge.https_addr(), "a.com").await,
    ] {
        for _ in 0..3 {
            assert_eq!(http.get("a.com", "/").await.0, 200);
        }
        let closed = async {
            while !http.is_closed() {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, closed).await.expect("closed after three");
    }
}
