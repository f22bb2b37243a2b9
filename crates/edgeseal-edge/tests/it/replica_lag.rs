//! A replica whose disk is slow or blocked: skipped rows are backfilled, and the next start does
//! not go back to an earlier state.

use std::{path::Path, sync::Arc, time::Duration};

use edgeseal_store::Revision;
use edgeseal_testing::{
    observed_store::FailingStore,
    pki::TestCertificate,
    tls::{HandshakeFailure, served_leaf},
};
use tokio::time::{sleep, timeout};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain, served};

const FILE: &str = "replica.sqlite";

/// The WAL before the file: what is checkpointed in between is then in both.
fn copy(from: &Path, to: &Path) {
    for tail in ["-wal", ""] {
        let name = format!("{FILE}{tail}");
        if let Ok(content) = std::fs::read(from.join(&name)) {
            std::fs::write(to.join(&name), content).unwrap();
        }
    }
}

/// What is on disk when a change is served is what a killed process leaves.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_in_the_replica() {
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    world
        .serve("gone.com", &TestCertificate::self_signed("gone.com"), 1)
        .await;
    let edge = world.edge().await;
    for number in 0..12 {
        let certificate = TestCertificate::self_signed("a.com");
        let mut revision = world.serve("a.com", &certificate, 1).await;
        if number == 5 {
            revision = world.remove("gone.com").await;
        }
        served(&edge, revision).await;
        let killed = tempfile::tempdir().unwrap();
        copy(world.directory.path(), killed.path());
        let mut options = world.options();
        options.directory = killed.path().to_owned();
        options.id = format!("image{number}");
        options.catch_up_timeout = Duration::from_millis(50);
        let image = world.start(options, FailingStore::new(&world.store)).await;
        let shown = served_leaf(image.https_addr(), "a.com").await;
        assert_eq!(shown, Ok(certificate.leaf), "change {number}");
        let gone = served_leaf(image.https_addr(), "gone.com").await;
        assert_eq!(gone.is_err(), number >= 5, "change {number}");
        image.drain().await;
    }
}

/// The revision of a domain's row.
fn written(directory: &Path, name: &str) -> Option<u64> {
    let file = rusqlite::Connection::open(directory.join(FILE)).unwrap();
    file.busy_timeout(TIMEOUT).unwrap();
    let select = "SELECT revision FROM domain WHERE name = ?1";
    let found = file.query_row(select, [name], |row| row.get::<_, i64>(0));
    found.ok().map(i64::cast_unsigned)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_skipped_by_a_slow_disk_are_backfilled() {
    let world = Harness::new();
    let directory = world.directory.path();
    for name in ["a.com", "gone.com", "last.com"] {
        world
            .serve(name, &TestCertificate::self_signed(name), 1)
            .await;
    }
    let store = FailingStore::new(&world.store);
    store.heal();
    let edge = world
        .start(world.options(), Arc::<FailingStore>::clone(&store))
        .await;
    // A lock on the file, like a disk that hangs.
    let holder = rusqlite::Connection::open(directory.join(FILE)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let certificate = TestCertificate::self_signed("a.com");
    let mut large = domain("large.com").bound(&certificate);
    large.description = "x".repeat(120_000);
    // More than may be pending: 64 MiB.
    for _ in 0..600 {
        let revision = world.put_all(&large, &certificate).await;
        served(&edge, revision).await;
    }
    let renewed = world.serve("a.com", &certificate, 1).await;
    world.remove("gone.com").await;
    let last = world
        .serve("last.com", &TestCertificate::self_signed("last.com"), 1)
        .await;
    served(&edge, last).await;
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Ok(certificate.leaf.clone())
    );
    holder.execute_batch("ROLLBACK").unwrap();
    let caught_up = async {
        let expected = (Some(renewed.0), None, Some(last.0));
        let now = || {
            (
                written(directory, "a.com"),
                written(directory, "gone.com"),
                written(directory, "last.com"),
            )
        };
        while now() != expected || cursor(directory) < last.0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(TIMEOUT, caught_up).await.expect("it catches up");
    assert_eq!(store.single_reads(), 0, "many are read at once");
    edge.drain().await;
    let mut options = world.options();
    options.catch_up_timeout = Duration::from_millis(50);
    let edge = world.start(options, FailingStore::new(&world.store)).await;
    assert_eq!(
        served_leaf(edge.https_addr(), "a.com").await,
        Ok(certificate.leaf)
    );
    assert_eq!(
        served_leaf(edge.https_addr(), "gone.com").await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    assert!(*edge.handle().applied_revision().borrow() >= Revision(last.0));
}

/// The cursor of the file.
fn cursor(directory: &Path) -> u64 {
    let file = rusqlite::Connection::open(directory.join(FILE)).unwrap();
    file.busy_timeout(TIMEOUT).unwrap();
    let found = file.query_row("SELECT cursor FROM standing", [], |row| {
        row.get::<_, i64>(0)
    });
    found.map_or(0, i64::cast_unsigned)
}
