//! The replica: cold starts, with and without the store.

use std::{sync::Arc, time::Duration};

use edgeseal_edge::Edge;
use edgeseal_store::{Keyring, SharedStore};
use edgeseal_testing::{
    http::HttpConnection,
    observed_store::FailingStore,
    origin::saying,
    pki::TestCertificate,
    tls::{HandshakeFailure, served_leaf},
};
use tokio::time::timeout;

use crate::harness::{
    CertificateRecords as _, DomainBuilder as _, Harness, certificate_with_chain, corrupt, domain,
    now, served,
};

#[tokio::test]
async fn a_cold_start_needs_no_store_and_catches_up_later() {
    let world = Harness::new();
    let port = saying("hello").await;
    let (chained, wildcard) = (
        certificate_with_chain("a.com"),
        TestCertificate::self_signed("*.a.com"),
    );
    world.serve("a.com", &chained, port).await;
    world.serve("*.a.com", &wildcard, port).await;
    world.put(&domain("off.a.com").bound(&wildcard).off()).await;
    world.edge().await.drain().await;

    let store = FailingStore::new(&world.store);
    let edge = world
        .start(world.options(), Arc::<FailingStore>::clone(&store))
        .await;
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Ok(chained.leaf)
    );
    assert_eq!(
        served_leaf(edge.https_addr(), "x.a.com").await,
        Ok(wildcard.leaf)
    );
    assert_eq!(
        served_leaf(edge.https_addr(), "off.a.com").await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    let answer = HttpConnection::h2(edge.https_addr(), "a.com")
        .await
        .get("a.com", "/")
        .await;
    assert_eq!(answer, (200, "hello".to_owned()));

    let new = TestCertificate::self_signed("a.com");
    let revision = world.serve("a.com", &new, port).await;
    store.heal();
    served(&edge, revision).await;
    assert_eq!(served_leaf(edge.https_addr(), "a.com").await, Ok(new.leaf));
    // The report was not written while the store failed; now it is.
    world
        .report("default", |report| report.revision >= revision.0)
        .await;
}

#[tokio::test]
async fn without_a_replica_nothing_listens_before_the_store_responds() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    world.serve("a.com", &certificate, 1).await;
    let store = FailingStore::new(&world.store);
    let given: SharedStore = Arc::<FailingStore>::clone(&store);
    let keyring = world.keyring.clone();
    let mut starting = Box::pin(Edge::start(world.options(), given, keyring, now));
    let early = timeout(Duration::from_millis(300), &mut starting).await;
    assert!(early.is_err(), "it must wait");
    store.heal();
    let edge = starting.await.unwrap();
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Ok(certificate.leaf)
    );
}

#[tokio::test]
async fn changes_while_the_edge_was_away_are_served_at_once() {
    let world = Harness::new();
    let (old, gone) = (
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("gone.com"),
    );
    world.serve("a.com", &old, 1).await;
    world.serve("gone.com", &gone, 1).await;
    world.edge().await.drain().await;
    let new = TestCertificate::self_signed("a.com");
    world.serve("a.com", &new, 1).await;
    world.remove("gone.com").await;
    let edge = world.edge().await;
    assert_eq!(served_leaf(edge.https_addr(), "a.com").await, Ok(new.leaf));
    assert_eq!(
        served_leaf(edge.https_addr(), "gone.com").await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
}

#[tokio::test]
async fn a_corrupted_replica_is_moved_aside_and_recreated() {
    // The header, and the pages after the first.
    for (from, length) in [(0, 100), (4096, 12_000)] {
        let world = Harness::new();
        let certificate = certificate_with_chain("a.com");
        world.serve("a.com", &certificate, 1).await;
        world.edge().await.drain().await;
        let file = world.directory.path().join("replica.sqlite");
        corrupt(&file, from, length);
        let edge = world.edge().await;
        assert_eq!(
            served_leaf(edge.https_addr(), "a.com").await,
            Ok(certificate.leaf.clone())
        );
        assert!(
            world
                .directory
                .path()
                .join("replica.sqlite.corrupted")
                .exists()
        );
        edge.drain().await;
        // The new one is intact.
        let edge = world
            .start(world.options(), FailingStore::new(&world.store))
            .await;
        assert_eq!(
            served_leaf(edge.https_addr(), "a.com").await,
            Ok(certificate.leaf)
        );
    }
}

#[tokio::test]
async fn one_undecodable_row_costs_one_domain_until_the_store_responds() {
    let world = Harness::new();
    let (a, b) = (
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("b.com"),
    );
    world.serve("a.com", &a, 1).await;
    world.serve("b.com", &b, 1).await;
    world.edge().await.drain().await;
    let file = world.directory.path().join("replica.sqlite");
    let spoiled = rusqlite::Connection::open(&file).unwrap();
    spoiled
        .execute("UPDATE domain SET record = x'7B' WHERE name = 'a.com'", [])
        .unwrap();
    drop(spoiled);
    let store = FailingStore::new(&world.store);
    let edge = world
        .start(world.options(), Arc::<FailingStore>::clone(&store))
        .await;
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    assert_eq!(served_leaf(edge.https_addr(), "b.com").await, Ok(b.leaf));
    store.heal();
    let last = world.store.list("domain/", None, 1).await.unwrap().revision;
    served(&edge, last).await;
    assert_eq!(served_leaf(edge.https_addr(), "a.com").await, Ok(a.leaf));
}

#[tokio::test]
async fn a_keyring_that_lost_a_key_and_regained_it() {
    let mut world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    world.serve("a.com", &certificate, 1).await;
    world.edge().await.drain().await;
    let right = world.keyring.clone();
    world.keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let edge = world.edge().await;
    let refused = served_leaf(edge.https_addr(), "a.com").await;
    assert_eq!(
        refused,
        Err(HandshakeFailure::Alert(
            rustls::AlertDescription::InternalError
        ))
    );
    let report = world
        .report("default", |report| report.quarantined.len() == 1)
        .await;
    assert!(
        report.quarantined[0].reason.contains("key-encryption key"),
        "{report:?}"
    );
    edge.drain().await;
    world.keyring = right;
    let edge = world.edge().await;
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Ok(certificate.leaf)
    );
    world
        .report("default", |report| report.quarantined.is_empty())
        .await;
}

/// A quarantined domain stays so over a restart, and is retried.
#[tokio::test]
async fn quarantine_outlives_a_restart() {
    let world = Harness::new();
    let good = TestCertificate::self_signed("a.com");
    world.serve("a.com", &good, 1).await;
    let edge = world.edge().await;
    let late = TestCertificate::self_signed("a.com");
    let bad = world.put(&domain("a.com").bound(&late)).await;
    served(&edge, bad).await;
    edge.drain().await;
    let edge = world.edge().await;
    assert_eq!(served_leaf(edge.https_addr(), "a.com").await, Ok(good.leaf));
    world
        .report("default", |report| report.quarantined.len() == 1)
        .await;
    edge.drain().await;
    world.write(late.writes(&world.keyring)).await;
    let edge = world.edge().await;
    world
        .report("default", |report| !report.proofs.is_empty())
        .await;
    assert_eq!(served_leaf(edge.https_addr(), "a.com").await, Ok(late.leaf));
}
