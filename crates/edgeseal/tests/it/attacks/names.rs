//! 100,000 made-up server names, as from a scanner or an attacker.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{BackgroundClients, Target, hellos::client_hello};

/// Names of each kind: unknown ones, and ones that a wildcard domain covers.
const NAMES: usize = 50_000;
/// The first names; afterwards memory must not grow.
const WARM_UP: usize = 5000;
/// Concurrent attackers.
const CONCURRENCY: usize = 24;
/// One map entry for each of the 90,000 later names (name, hash, key, pointer and allocator
/// overhead: at least 120 bytes) would be over 10 MiB. Half of it is allowed, because the allocator
/// returns memory late.
const GROWTH_KIB: u64 = 5 * 1024;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const UNRECOGNIZED_NAME: u8 = 112;

#[tokio::test(flavor = "multi_thread")]
async fn random_names_leave_nothing_behind() {
    let target = Target::start("").await;
    let visitors = BackgroundClients::begin(&target).await;
    let edge = target.edge();
    // Unpredictable for a cache: no name is repeated.
    request_names(edge, 0..WARM_UP).await;
    let before = target.memory_kib().0;
    request_names(edge, WARM_UP..NAMES).await;
    let after = target.memory_kib().0;
    assert!(after <= before + GROWTH_KIB, "{before} to {after} KiB");
    let keys = target.server.metric("edgeseal_key_cache_size").await;
    assert!(
        keys.is_some_and(|keys| keys <= 2),
        "a key for each certificate, not for each name: {keys:?}"
    );
    let refused = target
        .server
        .metric(r#"edgeseal_tls_refusals_total{reason="unknown_name"}"#);
    assert!(refused.await >= Some(NAMES as u64));
    visitors.end(100).await;
    target.stop().await;
}

/// Sends each name of both kinds: unknown ones get an alert, known ones the server's flight.
async fn request_names(edge: SocketAddr, numbers: std::ops::Range<usize>) {
    // All have the same length, so that one ClientHello serves as the template.
    let label = |number: usize| {
        format!(
            "{:016x}",
            (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
    };
    let kinds = [
        (".none.example", [ALERT, UNRECOGNIZED_NAME]),
        (".wild.example", [HANDSHAKE, 0]),
    ];
    for (below, expected) in kinds {
        let pattern = client_hello(Some(&format!("{}{below}", label(0))));
        let name = label(0);
        let at = pattern.windows(16).position(|part| part == name.as_bytes());
        let (pattern, at) = (Arc::new(pattern), at.unwrap());
        let next = Arc::new(AtomicUsize::new(numbers.start));
        let mut attack = JoinSet::new();
        for _ in 0..CONCURRENCY {
            let (pattern, next, end) = (Arc::clone(&pattern), Arc::clone(&next), numbers.end);
            attack.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    let mut hello = pattern.to_vec();
                    hello[at..at + 16].copy_from_slice(label(number).as_bytes());
                    let mut stream = TcpStream::connect(edge).await.unwrap();
                    stream.write_all(&hello).await.unwrap();
                    let mut answer = [0; 7];
                    stream.read_exact(&mut answer).await.unwrap();
                    assert_eq!(answer[0], expected[0], "{answer:?}");
                    assert!(expected[1] == 0 || answer[6] == expected[1], "{answer:?}");
                }
            });
        }
        while let Some(done) = attack.join_next().await {
            done.unwrap();
        }
    }
}
