//! Slow peers: which are waited for, and which time out.

use std::time::Duration;

use edgeseal_testing::{
    origin::{listener, origin},
    raw::exchange,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

async fn swallowing() -> u16 {
    origin(|request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        Response::new(Full::from("taken"))
    })
    .await
}

/// Sends a body byte by byte until a response arrives; returns it.
async fn trickle(edge: std::net::SocketAddr, kind: &str, bytes: usize) -> String {
    let stream = TcpStream::connect(edge).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let head = format!(
        "PUT / HTTP/1.1\r\nHost: a.com\r\nContent-Type: {kind}\r\nConnection: close\r\n\
         Content-Length: {bytes}\r\n\r\n"
    );
    write.write_all(head.as_bytes()).await.unwrap();
    let writing = tokio::spawn(async move {
        let mut every = interval(Duration::from_millis(20));
        for _ in 0..bytes {
            every.tick().await;
            if write.write_all(b"x").await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let _ = timeout(TIMEOUT, read.read_to_end(&mut answer))
        .await
        .unwrap();
    writing.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_trickles_times_out() {
    let world = Harness::new();
    let port = swallowing().await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| {
            options.timeouts.body_rate_min = 1000;
            options.timeouts.body_window = Duration::from_millis(300);
        })
        .await;
    let http = edge.http_addr().unwrap();
    // 50 bytes a second, for two seconds.
    for kind in ["text/plain", "application/grpc"] {
        let answer = trickle(http, kind, 100).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{kind} {answer}");
    }
}

/// A slow origin is not the client's fault.
#[tokio::test]
async fn a_slow_origin_does_not_count_against_the_client() {
    let (slow, address) = listener().await;
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world
        .edge_with(|options| {
            options.timeouts.body_rate_min = 1_000_000;
            options.timeouts.body_window = Duration::from_millis(100);
        })
        .await;
    let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    let body = vec![b'x'; 32];
    let head = "PUT / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 32\r\nConnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
    let (mut server, _) = timeout(TIMEOUT, slow.accept()).await.unwrap().unwrap();
    // Five windows: the whole body has arrived, so nothing waits for the client.
    tokio::time::sleep(Duration::from_millis(500)).await;
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(TIMEOUT, client.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Server-sent events, a long poll, and a WebSocket: none of them counts as slow.
#[tokio::test]
async fn quiet_streams_are_not_closed() {
    let (quiet, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = quiet.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let start = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut every = interval(Duration::from_millis(200));
        for number in 0..5 {
            every.tick().await;
            let event = format!("data: {number}\n\n");
            stream.write_all(event.as_bytes()).await.unwrap();
        }
    });
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world
        .edge_with(|options| {
            // All other time limits are far shorter than the stream.
            options.timeouts.body_rate_min = 1_000_000;
            options.timeouts.body_window = Duration::from_millis(50);
            options.timeouts.client_send = Duration::from_millis(100);
            options.timeouts.tunnel = Duration::from_millis(100);
            options.timeouts.header = Duration::from_millis(500);
            options.header_timeout = Duration::from_millis(100);
        })
        .await;
    let request = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
    let answer = exchange(edge.http_addr().unwrap(), request).await;
    assert!(answer.contains("data: 4\n\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_disconnected_and_a_slow_one_is_not() {
    const TOTAL: usize = 32 * 1024 * 1024;
    let port = origin(|_| async { Response::new(Full::from(vec![7_u8; TOTAL])) }).await;
    let world = Harness::new();
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| options.timeouts.client_send = Duration::from_millis(600))
        .await;
    let ask = b"GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
    let http = edge.http_addr().unwrap();
    let mut idle = TcpStream::connect(http).await.unwrap();
    idle.write_all(ask).await.unwrap();
    let mut slow = TcpStream::connect(http).await.unwrap();
    slow.write_all(ask).await.unwrap();
    let mut part = vec![0; 1024 * 1024];
    let mut read = 0;
    let mut every = interval(Duration::from_millis(60));
    loop {
        every.tick().await;
        // Until a whole part is received: the edge makes progress often enough.
        let mut filled = 0;
        while filled < part.len() {
            match timeout(TIMEOUT, slow.read(&mut part[filled..])).await {
                Ok(Ok(count @ 1..)) => filled += count,
                Ok(Ok(_)) => break,
                other => panic!("cut after {}: {other:?}", read + filled),
            }
        }
        read += filled;
        if filled < part.len() {
            break;
        }
    }
    assert!(read > TOTAL, "{read}");
    // More than two seconds have passed for the other.
    let mut taken = 0;
    while let Ok(count @ 1..) = timeout(TIMEOUT, idle.read(&mut part)).await.unwrap() {
        taken += count;
    }
    assert!(taken > 0 && taken < TOTAL, "{taken}");
}

#[tokio::test]
async fn an_idle_tunnel_ends() {
    let (origin, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = origin.accept().await.unwrap();
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut every = interval(Duration::from_millis(100));
        for _ in 0..12 {
            every.tick().await;
            stream.write_all(b".").await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world
        .edge_with(|options| options.timeouts.tunnel = Duration::from_millis(500))
        .await;
    let ask = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(TIMEOUT, client.read_to_end(&mut all))
        .await
        .expect("it ends");
    assert!(
        all.ends_with(b"\r\n\r\n............"),
        "all of it, then the end"
    );
}
