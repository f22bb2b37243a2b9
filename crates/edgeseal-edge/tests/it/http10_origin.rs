//! HTTP/1.0 origins, which know no chunked coding.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use edgeseal_testing::{
    origin::{listener, recording},
    raw::exchange,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

/// An origin that responds with HTTP/1.0 and only reads bodies with a length; its port, and the
/// requests.
async fn http10_origin() -> (u16, Arc<Mutex<Vec<String>>>) {
    let (listener, address) = listener().await;
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(request.clone()).unwrap().to_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            timeout(TIMEOUT, stream.read_exact(&mut body))
                .await
                .unwrap()
                .unwrap();
            noted
                .lock()
                .unwrap()
                .push(head + &String::from_utf8_lossy(&body));
            let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold";
            let _ = stream.write_all(answer).await;
        }
    });
    (address.port(), requests)
}

fn chunked(body: &str) -> String {
    let chunk = match body.len() {
        0 => String::new(),
        size => format!("{size:x}\r\n{body}\r\n"),
    };
    format!(
        "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         {chunk}0\r\n\r\n"
    )
}

async fn knows(edge: SocketAddr) {
    let get = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
    let answer = exchange(edge, get).await;
    assert!(answer.ends_with("old"), "{answer}");
}

#[tokio::test]
async fn a_body_without_a_length_is_buffered_for_an_http10_origin() {
    let (port, requests) = http10_origin().await;
    let world = Harness::new();
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let address = edge.http_addr().unwrap();
    knows(address).await;
    for body in ["", "a body", &"x".repeat(50_000)] {
        let answer = exchange(address, &chunked(body)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let got = requests.lock().unwrap().pop().unwrap();
        assert!(!got.contains("transfer-encoding"), "{got}");
        assert!(got.ends_with(&format!("\r\n\r\n{body}")), "{got}");
        let length = format!("content-length: {}\r\n", body.len());
        assert!(body.is_empty() || got.contains(&length), "{got}");
    }
}

#[tokio::test]
async fn one_that_is_too_long_to_be_buffered_is_refused() {
    let (port, requests) = http10_origin().await;
    let world = Harness::new();
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let address = edge.http_addr().unwrap();
    knows(address).await;
    requests.lock().unwrap().clear();
    let answer = exchange(address, &chunked(&"x".repeat(200_000))).await;
    assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");
    assert!(requests.lock().unwrap().is_empty(), "it is not asked");
}

#[tokio::test]
async fn a_client_that_expects_continue_is_told_to_send() {
    let (port, requests) = http10_origin().await;
    let world = Harness::new();
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let address = edge.http_addr().unwrap();
    knows(address).await;
    let expecting = chunked("a body").replace("Host:", "Expect: 100-continue\r\nHost:");
    let answer = exchange(address, &expecting).await;
    assert!(answer.starts_with("HTTP/1.1 100 "), "{answer}");
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
    let got = requests.lock().unwrap().pop().unwrap();
    assert!(got.ends_with("a body") && !got.contains("expect:"), "{got}");
}

#[tokio::test]
async fn the_next_origin_gets_it_in_chunks_if_it_speaks_http_1_1() {
    let ((port, requests), (recording, record)) = (http10_origin().await, recording().await);
    let world = Harness::new();
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", port, 20)
        .with_origin_at("127.0.0.1", recording, 30);
    world.put(&domain).await;
    let edge = world.edge().await;
    let address = edge.http_addr().unwrap();
    knows(address).await;
    requests.lock().unwrap().clear();
    let body = "x".repeat(200_000);
    let answer = exchange(address, &chunked(&body)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let record = String::from_utf8(record.lock().unwrap().clone()).unwrap();
    let (head, sent) = record.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("transfer-encoding: chunked"));
    assert_eq!(sent.matches('x').count(), body.len());
    assert!(requests.lock().unwrap().is_empty());
}
