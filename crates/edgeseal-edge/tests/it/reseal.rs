//! A new key-encryption key: the edge's keys are resealed under it, in memory and on disk.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use edgeseal_core::certificate::Digest;
use edgeseal_edge::{Edge, ResealStats};
use edgeseal_store::{Keyring, record::decode_material, seal::KeyId};
use edgeseal_testing::{observed_store::FailingStore, pki::TestCertificate, tls::served_leaf};
use rusqlite::Connection;

use crate::harness::{
    CertificateRecords as _, DomainBuilder as _, Harness, certificate_with_chain, domain, served,
};

/// The keys that the material on disk is sealed under, as many times as there is material.
fn on_disk(world: &Harness) -> Vec<KeyId> {
    let file = world.directory.path().join("replica.sqlite");
    let connection = Connection::open(file).unwrap();
    let mut statement = connection.prepare("SELECT value FROM material").unwrap();
    let rows = statement
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap();
    rows.map(|value| {
        let material = decode_material(&value.unwrap()).unwrap();
        KeyId::of_sealed(&material.sealed_key).unwrap()
    })
    .collect()
}

/// A world whose keyring is about to change, with three domains that have two certificates.
async fn serving() -> (Harness, Edge, TestCertificate, TestCertificate) {
    let old = Keyring::generate();
    let mut world = Harness::new();
    world.keyring = Keyring::parse(&old).unwrap();
    let (a, b) = (
        certificate_with_chain("a.com"),
        TestCertificate::self_signed("*.b.com"),
    );
    world.serve("a.com", &a, 1).await;
    world.serve("*.b.com", &b, 1).await;
    let shared = domain("x.b.com").bound(&b);
    let last = world.put(&shared).await;
    // Everything is on disk once the first edge has ended.
    world.edge().await.drain().await;
    let edge = world.edge_with(|options| options.key_cache_size = 1).await;
    served(&edge, last).await;
    let new = Keyring::parse(&format!("{}\n{}", *Keyring::generate(), *old)).unwrap();
    world.keyring.replace(&new).unwrap();
    (world, edge, a, b)
}

#[tokio::test]
async fn after_the_old_key_is_gone_the_edge_serves_with_and_without_the_store() {
    let (world, edge, a, b) = serving().await;
    let [active, old] = world.keyring.ids()[..] else {
        panic!("there are two keys");
    };
    assert_eq!(on_disk(&world), [old, old]);
    let done = edge.handle().reseal().await;
    let expected = |resealed| {
        Ok(ResealStats {
            resealed,
            failed: 0,
        })
    };
    assert_eq!(done, expected(2));
    assert_eq!(on_disk(&world), [active, active], "once it says so");
    assert_eq!(edge.handle().reseal().await, expected(0));

    world.keyring.remove_key(old).unwrap();
    // One parsed key is cached, so these read the sealed ones.
    let hosts = [
        ("a.com", &a),
        ("x.b.com", &b),
        ("y.b.com", &b),
        ("a.com", &a),
    ];
    for (host, certificate) in hosts {
        let shown = served_leaf(edge.https_addr(), host).await;
        assert_eq!(shown.as_ref(), Ok(&certificate.leaf), "{host}");
    }
    // A change of a domain includes its material, as it is in memory.
    let changed = world.put(&domain("y.b.com").bound(&b)).await;
    served(&edge, changed).await;
    edge.drain().await;
    assert_eq!(on_disk(&world), [active, active]);

    let edge = world
        .start(world.options(), FailingStore::new(&world.store))
        .await;
    for (host, certificate) in hosts {
        let shown = served_leaf(edge.https_addr(), host).await;
        assert_eq!(
            shown.as_ref(),
            Ok(&certificate.leaf),
            "{host} in a cold start"
        );
    }
}

#[tokio::test]
async fn resealing_needs_no_store() {
    let (world, edge, a, _) = serving().await;
    edge.drain().await;
    let store = FailingStore::new(&world.store);
    let edge = world
        .start(world.options(), Arc::<FailingStore>::clone(&store))
        .await;
    let done = edge.handle().reseal().await.unwrap();
    assert_eq!((done.resealed, done.failed), (2, 0));
    let active = world.keyring.active();
    assert_eq!(on_disk(&world), [active, active]);
    assert_eq!(served_leaf(edge.https_addr(), "a.com").await, Ok(a.leaf));
}

#[tokio::test]
async fn undecryptable_keys_are_counted_and_the_rest_is_resealed() {
    let (world, edge, _, bad) = serving().await;
    edge.drain().await;
    spoil_key(&world, &bad.digest());
    let edge = world
        .start(world.options(), FailingStore::new(&world.store))
        .await;
    let done = edge.handle().reseal().await.unwrap();
    assert_eq!(
        (done.resealed, done.failed),
        (1, 2),
        "two domains have the bad one"
    );
    let [active, old] = world.keyring.ids()[..] else {
        panic!("there are two keys");
    };
    let mut found = on_disk(&world);
    found.sort_by_key(|id| *id == old);
    assert_eq!(found, [active, old]);
}

/// Changes the last byte of a sealed key in the replica, and the row's checksum with it, as if the
/// key had been invalid when it was written.
fn spoil_key(world: &Harness, digest: &Digest) {
    let connection = Connection::open(world.directory.path().join("replica.sqlite")).unwrap();
    let stored = "SELECT value FROM material WHERE digest = ?1";
    let value = connection.query_row(stored, [digest.0], |row| row.get::<_, Vec<u8>>(0));
    let mut value = value.unwrap();
    *value.last_mut().unwrap() ^= 1;
    let mut marked = Vec::new();
    for part in [&digest.0[..], &value] {
        marked.extend_from_slice(&(part.len() as u64).to_be_bytes());
        marked.extend_from_slice(part);
    }
    let mark = i64::from_be_bytes(Digest::of(&marked).0[..8].try_into().unwrap());
    let spoil = "UPDATE material SET value = ?2, mark = ?3 WHERE digest = ?1";
    connection.execute(spoil, (digest.0, value, mark)).unwrap();
}

#[tokio::test]
async fn the_replica_is_readable_by_its_owner_only() {
    let world = Harness::new();
    let file = world.directory.path().join("replica.sqlite");
    // As an earlier release left it.
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    let edge = world.edge().await;
    for name in ["replica.sqlite", "replica.sqlite-wal", "replica.sqlite-shm"] {
        let mode = fs::metadata(world.directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    edge.drain().await;
}
