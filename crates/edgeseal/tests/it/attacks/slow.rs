//! Slowloris: many connections, each with an endless request.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    BackgroundClients, NAME, Target,
    tls::{self, HandshakeFailure},
};

const HEADER_TIMEOUT: Duration = Duration::from_secs(8);
/// Connections over TLS, and as many in plaintext.
const CONNECTIONS: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_slowloris_is_cut_off_and_others_are_served() {
    let config = format!("header_timeout_ms = {}\n", HEADER_TIMEOUT.as_millis());
    let target = Target::start(&config).await;
    let (before, descriptors) = (target.baseline_kib(), target.descriptors());
    let visitors = BackgroundClients::begin(&target).await;
    let (edge, plain) = (target.edge(), target.plain());
    let mut attack = JoinSet::new();
    for _ in 0..CONNECTIONS {
        attack.spawn(async move {
            // Handshakes may be shed while there are too many; the attacker retries.
            let stream = loop {
                match tls::connect(edge, NAME, &["http/1.1"]).await {
                    Ok(stream) => break stream,
                    Err(why) => assert_ne!(why, HandshakeFailure::UNRECOGNIZED_NAME),
                }
            };
            trickle(stream).await
        });
        attack.spawn(async move { trickle(TcpStream::connect(plain).await.unwrap()).await });
    }
    while let Some(lasted) = attack.join_next().await {
        let lasted = lasted.unwrap();
        // Not sooner either: a client on a slow line gets the full timeout.
        assert!(lasted > HEADER_TIMEOUT / 2, "{lasted:?}");
        assert!(
            lasted < HEADER_TIMEOUT + Duration::from_secs(10),
            "{lasted:?}"
        );
    }
    visitors.end(50).await;
    target.assert_descriptors_back(descriptors).await;
    // Buffers of 2,000 connections: some 60 KiB each while they are open.
    target.assert_memory(before, 2000 * 64);
    target.stop().await;
}

/// Sends endless headers, one every half second, and returns how long the edge let it.
async fn trickle<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Duration {
    let begun = Instant::now();
    let start = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n");
    let mut sent = stream.write_all(start.as_bytes()).await;
    let mut answer = [0; 1024];
    while sent.is_ok() && stream.flush().await.is_ok() {
        let end = stream.read(&mut answer);
        // A read notices the close at once, a write only later.
        match tokio::time::timeout(Duration::from_millis(500), end).await {
            Err(_) => sent = stream.write_all(b"x: y\r\n").await,
            Ok(Ok(some)) if some > 0 => assert!(answer.starts_with(b"HTTP/1.1 408")),
            Ok(_) => break,
        }
    }
    begun.elapsed()
}
