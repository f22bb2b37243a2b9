//! Corruption of the replica: detected, not served, and repaired.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use edgeseal_edge::Edge;
use edgeseal_testing::{observed_store::FailingStore, tls::served_leaf};

use crate::harness::{Harness, certificate_with_chain};

const FILE: &str = "replica.sqlite";
const DOMAINS: usize = 24;
/// Each byte at a multiple of this is changed in turn: a prime, so that all offsets of a page
/// occur.
const STRIDE: usize = 1009;

/// A world with some domains and an edge's intact replica; what each domain serves.
async fn served_before() -> (Harness, BTreeMap<String, Vec<u8>>) {
    let world = Harness::new();
    let mut leaves = BTreeMap::new();
    for number in 0..DOMAINS {
        let name = format!("d{number}.com");
        let certificate = certificate_with_chain(&name);
        world.serve(&name, &certificate, 1).await;
        leaves.insert(name, certificate.leaf);
    }
    world.edge().await.drain().await;
    (world, leaves)
}

/// The names that are not served as expected; none of them may serve another certificate.
async fn missing(edge: &Edge, leaves: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, expected) in leaves {
        match served_leaf(edge.https_addr(), name).await {
            Ok(shown) => assert_eq!(shown, *expected, "{name} shows another certificate"),
            Err(_) => missing.push(name.clone()),
        }
    }
    missing
}

fn write(directory: &Path, content: &[u8]) {
    for tail in ["-wal", "-shm"] {
        let _ = fs::remove_file(directory.join(format!("{FILE}{tail}")));
    }
    fs::write(directory.join(FILE), content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_detected_and_repaired_from_the_store() {
    let (world, leaves) = served_before().await;
    let directory = world.directory.path();
    let whole = fs::read(directory.join(FILE)).unwrap();
    for place in (0..whole.len()).step_by(STRIDE) {
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (place % 8);
        write(directory, &flipped);
        let edge = world.edge().await;
        assert_eq!(missing(&edge, &leaves).await, [""; 0], "byte {place}");
        edge.drain().await;
        // The file on disk is intact again.
        let edge = world
            .start(world.options(), FailingStore::new(&world.store))
            .await;
        assert_eq!(missing(&edge, &leaves).await, [""; 0], "byte {place}");
        edge.drain().await;
    }
}

/// A row with a corrupted name is at the wrong place of its table, and misleads searches for
/// others.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_out_of_order_costs_no_other_domain() {
    let (world, leaves) = served_before().await;
    let directory = world.directory.path();
    let whole = fs::read(directory.join(FILE)).unwrap();
    for name in leaves.keys() {
        let mut flipped = whole.clone();
        let (size, record) = (name.len(), b"{\"v\"");
        let keys: Vec<usize> = (0..whole.len() - 64)
            .filter(|at| whole[*at..].starts_with(name.as_bytes()))
            .filter(|at| {
                whole[at + size..at + size + 16]
                    .windows(4)
                    .any(|w| w == record)
            })
            .collect();
        assert!(!keys.is_empty(), "{name} has no row");
        for at in keys {
            flipped[at] ^= 0x20;
        }
        write(directory, &flipped);
        let away = world.start(world.options(), FailingStore::new(&world.store));
        let edge = away.await;
        assert_eq!(missing(&edge, &leaves).await, [name.as_str()]);
        edge.drain().await;
        world.edge().await.drain().await;
        let away = world.start(world.options(), FailingStore::new(&world.store));
        let edge = away.await;
        assert_eq!(missing(&edge, &leaves).await, [""; 0], "{name}");
        edge.drain().await;
    }
}

/// Without the store, what is intact is served, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_of_a_certificate_costs_only_that_domain_while_the_store_is_down() {
    let (world, leaves) = served_before().await;
    let directory = world.directory.path();
    let whole = fs::read(directory.join(FILE)).unwrap();
    for (name, expected) in leaves.iter().step_by(5) {
        // SQLite may have left a copy in free space when it moved the row.
        let starts: Vec<usize> = whole
            .windows(expected.len())
            .enumerate()
            .filter_map(|(at, bytes)| (bytes == expected).then_some(at))
            .collect();
        for place in [0, expected.len() / 2, expected.len() + 100] {
            let mut flipped = whole.clone();
            for at in &starts {
                flipped[at + place] ^= 0x10;
            }
            write(directory, &flipped);
            let store = FailingStore::new(&world.store);
            let edge = world.start(world.options(), Arc::clone(&store) as _).await;
            assert_eq!(
                missing(&edge, &leaves).await,
                [name.as_str()],
                "byte {place}"
            );
            edge.drain().await;
        }
    }
}

/// A killed process leaves the file and its WAL as they are at any moment of a write: the edge then
/// serves an earlier state.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_killed_at_any_moment_serves_without_the_store_again() {
    let (world, leaves) = served_before().await;
    let edge = world.edge().await;
    let directory = world.directory.path();
    let mut before = leaves.clone();
    for (number, name) in leaves.keys().enumerate() {
        let certificate = certificate_with_chain(name);
        let now = certificate.leaf.clone();
        let revision = world.serve(name, &certificate, 1).await;
        let images = tempfile::tempdir().unwrap();
        copy(directory, images.path());
        crate::harness::served(&edge, revision).await;
        let options = {
            let mut options = world.options();
            options.directory = images.path().to_owned();
            options.id = format!("image{number}");
            options
        };
        let image = world.start(options, FailingStore::new(&world.store)).await;
        for (name, old) in &before {
            let shown = served_leaf(image.https_addr(), name).await.unwrap();
            // The writer lags by the last changes, at most.
            let known = shown == *old || shown == now || leaves[name] == shown;
            assert!(
                known,
                "{name} shows what it never had, after change {number}"
            );
        }
        image.drain().await;
        before.insert(name.clone(), now);
    }
    edge.drain().await;
}

/// The WAL before the file: what is checkpointed in between is then in both.
fn copy(from: &Path, to: &Path) {
    for tail in ["-wal", ""] {
        let name = format!("{FILE}{tail}");
        if let Ok(content) = fs::read(from.join(&name)) {
            fs::write(to.join(&name), content).unwrap();
        }
    }
}

/// Any page may be bad, including the first one and the roots of tables: while the store is away,
/// that costs the domains with a row on it, and nothing waits for the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_page_costs_the_domains_on_it_while_the_store_is_away() {
    const PAGE: usize = 8192;
    let (world, leaves) = served_before().await;
    let directory = world.directory.path();
    let whole = fs::read(directory.join(FILE)).unwrap();
    for page in 0..whole.len() / PAGE {
        let at = page * PAGE;
        let rows = u16::from_be_bytes([whole[at + 3], whole[at + 4]]);
        let rows = match whole[at] {
            0x02 | 0x0A => usize::from(rows),
            _ => 0,
        };
        let mut bad = whole.clone();
        bad[at..at + PAGE].fill(0xA5);
        write(directory, &bad);
        let mut options = world.options();
        options.catch_up_timeout = Duration::from_millis(50);
        let edge = world.start(options, FailingStore::new(&world.store)).await;
        let missing = missing(&edge, &leaves).await;
        assert!(
            missing.len() <= rows,
            "page {page} had {rows} rows: {missing:?}"
        );
        edge.drain().await;
    }
    // What was moved aside first is not overwritten.
    let aside = fs::read_dir(directory).unwrap().filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        let name = name.to_string_lossy();
        name.starts_with("replica.sqlite.corrupted")
            && !name.ends_with("-wal")
            && !name.ends_with("-shm")
    });
    assert!((1..=4).contains(&aside.count()));
}
