//! Floods of handshakes that are never finished.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{BackgroundClients, NAME, Target, eventually, hellos::client_hello};

const CONNECTIONS: usize = 4000;
/// The listen backlog.
const CONCURRENCY: usize = 500;
/// Memory of one unfinished handshake: the ClientHello, the state, the server's flight with a
/// chain, and the buffers of both directions.
const KIB_EACH: u64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_handshakes_time_out() {
    let target = Target::start("client_hello_timeout_ms = 10000\n").await;
    let descriptors = target.descriptors();
    let visitors = BackgroundClients::begin(&target).await;
    let before = target.baseline_kib();
    flood(&target).await;
    target.assert_descriptors_back(descriptors).await;
    target.assert_memory(before, CONNECTIONS as u64 * KIB_EACH);
    // A second flood reuses the memory that the first one has freed.
    let between = target.baseline_kib();
    flood(&target).await;
    target.assert_descriptors_back(descriptors).await;
    target.assert_memory(between, CONNECTIONS as u64 * KIB_EACH / 2);
    visitors.end(100).await;
    target.stop().await;
}

/// A third sends nothing, a third stops within the ClientHello, a third after it. All wait for the
/// edge to close the connection.
async fn flood(target: &Target) {
    let (edge, whole) = (target.edge(), client_hello(Some(NAME)));
    let mut attack = JoinSet::new();
    let before = target.descriptors();
    for number in 0..CONNECTIONS {
        // More than the backlog would wait for the kernel's retransmissions instead of the edge.
        if number % CONCURRENCY == 0 {
            eventually("the acceptance of the flood", async || {
                (target.descriptors() + CONCURRENCY / 2 >= before + number).then_some(())
            })
            .await;
        }
        let part = match number % 3 {
            0 => Vec::new(),
            1 => whole[..whole.len() / 2].to_vec(),
            _ => whole.clone(),
        };
        let mut stream = TcpStream::connect(edge).await.unwrap();
        attack.spawn(async move {
            stream.write_all(&part).await.unwrap();
            let mut answer = Vec::new();
            // The server's flight, or nothing; then a close or a reset.
            let end = stream.read_to_end(&mut answer);
            let ended = tokio::time::timeout(Duration::from_secs(30), end).await;
            ended.expect("the edge ends it").ok();
        });
    }
    while let Some(done) = attack.join_next().await {
        done.unwrap();
    }
}
