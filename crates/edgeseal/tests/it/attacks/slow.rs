//! Slowloris: many connections, each with a request that never ends.

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
/// Over TLS and in the clear, each.
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
            // New handshakes may be shed while there are too many; whoever attacks comes again.
            let stream = loop {
                match tls::connect(edge, NAME, &["http/1.1"]).await {
                    Ok(stream) => break stream,
                    Err(why) => assert!(matches!(why, HandshakeFailure::Other(_)), "{why:?}"),
                }
            };
            trickle(stream).await
        });
        attack.spawn(async move { trickle(TcpStream::connect(plain).await.unwrap()).await });
    }
    while let Some(lasted) = attack.join_next().await {
        let lasted = lasted.unwrap();
        // Not sooner either: a visitor on a bad line has all of the time.
        assert!(lasted > HEADER_TIMEOUT / 2, "{lasted:?}");
        assert!(
            lasted < HEADER_TIMEOUT + Duration::from_secs(10),
            "{lasted:?}"
        );
    }
    visitors.end(50).await;
    target.assert_descriptors_back(descriptors).await;
    // Buffers of 2,000 connections: some 60 KiB each while they live.
    target.assert_memory(before, 2000 * 64);
    target.stop().await;
}

/// Sends a head that never ends, a field every half second, and tells how long it was let.
async fn trickle<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Duration {
    let begun = Instant::now();
    let start = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n");
    let mut sent = stream.write_all(start.as_bytes()).await;
    let mut answer = [0; 1024];
    while sent.is_ok() && stream.flush().await.is_ok() {
        let end = stream.read(&mut answer);
        // The end shows in a read at once, in a write only some time later.
        match tokio::time::timeout(Duration::from_millis(500), end).await {
            Err(_) => sent = stream.write_all(b"x: y\r\n").await,
            Ok(Ok(some)) if some > 0 => assert!(answer.starts_with(b"HTTP/1.1 408")),
            Ok(_) => break,
        }
    }
    begun.elapsed()
}
