//! HTTP/1.1 in bulk: endless requests on one connection, endless headers.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{BackgroundClients, NAME, Target};

const PATIENCE: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_answered_up_to_its_limit() {
    const LIMIT: usize = 2000;
    let target = Target::start(&format!("keepalive_requests = {LIMIT}\n")).await;
    let visitors = BackgroundClients::begin(&target).await;
    let before = target.baseline_kib();
    let (mut reader, mut writer) = tokio::io::split(target.connect("http/1.1").await);
    let requests = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n").repeat(LIMIT * 5);
    let send = tokio::spawn(async move {
        let _ = writer.write_all(requests.as_bytes()).await;
        let _ = writer.flush().await;
        writer
    });
    let mut answers = Vec::new();
    let end = timeout(PATIENCE, reader.read_to_end(&mut answers)).await;
    let _ = end.expect("the edge ends the connection");
    send.abort();
    let text = String::from_utf8(answers).unwrap();
    let count = text.matches("HTTP/1.1 200 OK").count();
    assert_eq!(count, LIMIT, "every request up to the limit, and no more");
    // 10,000 buffered requests would take 2,000 times the memory of one.
    target.assert_memory(before, 16 * 1024);
    visitors.end(10).await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_read() {
    let target = Target::start("").await;
    let before = target.baseline_kib();
    let mut stream = target.connect("http/1.1").await;
    // The origin repeats the path, so responses are as long as their requests.
    let path = "a".repeat(8000);
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
    let mut sent = 0;
    let send = async {
        while stream.write_all(request.as_bytes()).await.is_ok() {
            sent += request.len();
        }
    };
    // Until the socket buffers of both sides, twice, and those of the edge are full: a few MiB
    // each. Below the limit of requests of one connection, which is 80 MB of these.
    let stuck = timeout(Duration::from_secs(10), send).await;
    assert!(stuck.is_err(), "ended after {sent} bytes");
    assert!(sent < 48 * 1024 * 1024, "it takes {sent} bytes");
    target.assert_memory(before, 16 * 1024);
    drop(stream);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_headers_are_cut_off() {
    let target = Target::start("").await;
    let start = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n");
    let table = [
        ("one field", format!("{start}x: "), "y".repeat(1 << 16)),
        ("many fields", start.clone(), "x: y\r\n".repeat(10_000)),
        ("continued lines", start, " folded\r\n".repeat(10_000)),
        ("a target", "GET /".to_owned(), "a".repeat(1 << 16)),
        ("a method", String::new(), "G".repeat(1 << 16)),
        ("empty lines", String::new(), "\r\n".repeat(1 << 15)),
        ("a version", "GET / HTTP/".to_owned(), "1".repeat(1 << 16)),
    ];
    let before = target.baseline_kib();
    for (what, begin, more) in table {
        let (mut reader, mut writer) = tokio::io::split(target.connect("http/1.1").await);
        let send = async {
            writer.write_all(begin.as_bytes()).await?;
            // 64 MiB; the edge reads slightly over 64 KiB, the kernels buffer some more.
            for _ in 0..1024 {
                writer.write_all(more.as_bytes()).await?;
            }
            std::io::Result::Ok(())
        };
        let mut answer = Vec::new();
        let read = async {
            let _ = reader.read_to_end(&mut answer).await;
        };
        let ended = timeout(Duration::from_secs(20), async { tokio::join!(send, read) }).await;
        let (sent, ()) = ended.unwrap_or_else(|_| panic!("{what}: it goes on"));
        assert!(sent.is_err(), "{what}: it took everything");
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or("none");
        assert!(
            ["none", "400", "414", "431"].contains(&status),
            "{what}: {answer}"
        );
        target.assert_serves().await;
    }
    target.assert_memory(before, 16 * 1024);
    target.stop().await;
}
