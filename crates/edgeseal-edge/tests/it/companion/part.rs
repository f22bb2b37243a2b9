//! One of two certificates cannot be used: the other one is served, and the edge reports it.

use std::{sync::Arc, time::Duration};

use edgeseal_store::{Key, Keyring, record::Quarantined};
use edgeseal_testing::tls::served_leaf;

use super::*;
use crate::harness::pattern;

/// The report as soon as the domain is quarantined for this reason.
async fn quarantined(world: &Harness, why: &str) -> Vec<Quarantined> {
    let has = |one: &Quarantined| one.domain == pattern(NAME) && one.reason.contains(why);
    let report = world
        .report("default", |report| report.quarantined.iter().any(has))
        .await;
    report.quarantined
}

#[tokio::test]
async fn the_other_certificate_is_served_alone_until_both_are_usable() {
    let both = CertificatePair::new();
    for (first, missing, which, seen) in [
        (
            KeyAlgorithm::Ecdsa,
            &both.rsa,
            "second",
            ["ecdsa", "failure", "ecdsa"],
        ),
        (
            KeyAlgorithm::Ecdsa,
            &both.ecdsa,
            "first",
            ["failure", "rsa", "rsa"],
        ),
        (
            KeyAlgorithm::Rsa,
            &both.rsa,
            "first",
            ["ecdsa", "failure", "ecdsa"],
        ),
    ] {
        let world = Harness::new();
        let domain = both.domain(first);
        let key = Key::material(&missing.digest());
        let mut writes = both.writes(&world, &domain);
        writes.retain(|write| !matches!(write, Write::Put { key: put, .. } if *put == key));
        world.write(writes).await;
        let soon = |options: &mut edgeseal_edge::Options| {
            options.retry_interval = Duration::from_millis(50);
        };
        let edge = world.edge_with(soon).await;
        assert_eq!(both.seen(edge.https_addr()).await, seen, "{which}");
        let found = quarantined(&world, &format!("its {which} certificate")).await;
        assert!(found[0].reason.contains("is not in the store"), "{found:?}");
        let report = world
            .report("default", |report| !report.proofs.is_empty())
            .await;
        assert_eq!(report.proofs[0].companion, None);

        // After a restart without the store it is the same.
        edge.drain().await;
        assert_eq!(on_disk(&world), 1);
        let failing = FailingStore::new(&world.store);
        let edge = world.start(world.options(), failing).await;
        assert_eq!(both.seen(edge.https_addr()).await, seen, "{which}");
        edge.drain().await;

        let edge = world.edge_with(soon).await;
        world.write(missing.writes(&world.keyring)).await;
        world
            .report("default", |report| {
                let proven = report.proofs.first();
                report.quarantined.is_empty() && proven.is_some_and(|one| one.companion.is_some())
            })
            .await;
        assert_eq!(
            both.seen(edge.https_addr()).await,
            ["ecdsa", "rsa", "ecdsa"]
        );
        edge.drain().await;
        assert_eq!(on_disk(&world), 2);
    }
}

#[tokio::test]
async fn without_either_certificate_the_last_good_state_stays() {
    let (world, both, before) = (
        Harness::new(),
        CertificatePair::new(),
        CertificatePair::new(),
    );
    let domain = before.domain(KeyAlgorithm::Ecdsa);
    before.serve(&world, &domain).await;
    let edge = world.edge().await;
    world.put(&both.domain(KeyAlgorithm::Ecdsa)).await;
    quarantined(&world, "is not in the store").await;
    let seen = before.seen(edge.https_addr()).await;
    assert_eq!(seen, ["ecdsa", "rsa", "ecdsa"]);
}

#[tokio::test]
async fn two_keys_of_one_kind_are_no_pair() {
    let world = Harness::new();
    let both = CertificatePair {
        ecdsa: TestCertificate::self_signed(NAME),
        rsa: p384_certificate(NAME), // whatever the record says
    };
    let domain = both.domain(KeyAlgorithm::Ecdsa);
    both.serve(&world, &domain).await;
    let edge = world.edge().await;
    quarantined(&world, "the kind of its key").await;
    assert_eq!(
        both.seen(edge.https_addr()).await,
        ["ecdsa", "failure", "ecdsa"]
    );
}

/// The keyring loses the key of one while both are served.
#[tokio::test]
async fn a_key_that_cannot_be_decrypted_costs_that_certificate_alone() {
    for (kind, seen) in [
        (KeyAlgorithm::Rsa, ["ecdsa", "failure", "ecdsa"]),
        (KeyAlgorithm::Ecdsa, ["failure", "rsa", "rsa"]),
    ] {
        let (kept, lost) = (Keyring::generate(), Keyring::generate());
        let (mut world, both) = (Harness::new(), CertificatePair::new());
        world.keyring = Keyring::parse(&format!("{}\n{}", *kept, *lost)).unwrap();
        let other = Keyring::parse(&lost).unwrap();
        let (rsa_under, ecdsa_under) = match kind {
            KeyAlgorithm::Rsa => (&other, &world.keyring),
            _ => (&world.keyring, &other),
        };
        let mut writes = both.ecdsa.writes(ecdsa_under);
        writes.extend(both.rsa.writes(rsa_under));
        writes.push(put(&both.domain(KeyAlgorithm::Ecdsa)));
        world.write(writes).await;
        // Neither is cached after the handshakes of others.
        let edge = world.edge_with(|options| options.key_cache_size = 1).await;
        world
            .report("default", |report| !report.proofs.is_empty())
            .await;
        world.keyring.remove_key(other.active()).unwrap();
        for other in ["b.com", "c.com"] {
            let revision = world
                .serve(other, &TestCertificate::self_signed(other), 1)
                .await;
            served(&edge, revision).await;
            served_leaf(edge.https_addr(), other).await.unwrap();
        }
        assert_eq!(both.seen(edge.https_addr()).await, seen, "{kind}");
        quarantined(&world, "cannot be decrypted").await;
    }
}

/// A disk that returns other bytes: the other certificate is served, and the lost one is restored
/// from the store.
#[tokio::test]
async fn corruption_of_one_costs_that_one_until_the_store_is_there() {
    let (world, both) = (Harness::new(), CertificatePair::new());
    both.serve(&world, &both.domain(KeyAlgorithm::Ecdsa)).await;
    world.edge().await.drain().await;
    let file = world.directory.path().join("replica.sqlite");
    let connection = Connection::open(file).unwrap();
    let spoil = "UPDATE material SET value = substr(value, 2) WHERE digest = ?1";
    connection.execute(spoil, [both.rsa.digest().0]).unwrap();
    drop(connection);
    let failing = FailingStore::new(&world.store);
    let mut options = world.options();
    options.retry_interval = Duration::from_millis(50);
    let edge = world.start(options, Arc::clone(&failing) as _).await;
    let seen = both.seen(edge.https_addr()).await;
    assert_eq!(seen, ["ecdsa", "failure", "ecdsa"]);
    failing.heal();
    world
        .report("default", |report| {
            let proven = report.proofs.first();
            report.quarantined.is_empty() && proven.is_some_and(|one| one.companion.is_some())
        })
        .await;
    assert_eq!(
        both.seen(edge.https_addr()).await,
        ["ecdsa", "rsa", "ecdsa"]
    );
    edge.drain().await;
    assert_eq!(on_disk(&world), 2);
}
