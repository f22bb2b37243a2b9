//! The replica: cold starts, with and without the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_edge::Edge;
use edgeseal_store::{
    Changes, ChangesError, CommitError, Entry, Fault, Key, Keyring, Page, Revision, SharedStore,
    Store, Txn, key::DOMAINS,
};
use tokio::time::timeout;

use crate::{
    client::{Http, UNRECOGNIZED, leaf},
    harness::{Certificate, DomainBuilder as _, Harness, corrupt, domain, now, served},
    origin::saying,
};

/// A store that fails while told to.
pub(crate) struct FailingStore {
    inner: SharedStore,
    fails: AtomicBool,
    /// How often a single domain was read.
    single_reads: AtomicUsize,
}

impl FailingStore {
    pub(crate) fn new(inner: &SharedStore) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            fails: AtomicBool::new(true),
            single_reads: AtomicUsize::new(0),
        })
    }

    /// From now on it responds.
    pub(crate) fn heal(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }

    pub(crate) fn single_reads(&self) -> usize {
        self.single_reads.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Fault::new("told to fail"));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FailingStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        self.check()?;
        if key.as_str().starts_with(DOMAINS) {
            self.single_reads.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        self.check()?;
        self.inner.get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        self.check()?;
        self.inner.list(prefix, after, limit).await
    }

    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        self.check()?;
        self.inner.commit(txn).await
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        self.check()?;
        self.inner.changes(after, prefixes, limit).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        self.check()?;
        self.inner.sweep(now).await
    }
}

#[tokio::test]
async fn a_cold_start_needs_no_store_and_catches_up_later() {
    let world = Harness::new();
    let port = saying("hello").await;
    let (chained, wildcard) = (Certificate::with_chain("a.com"), Certificate::of("*.a.com"));
    world.serve("a.com", &chained, port).await;
    world.serve("*.a.com", &wildcard, port).await;
    world.put(&domain("off.a.com").bound(&wildcard).off()).await;
    world.edge().await.drain().await;

    let store = FailingStore::new(&world.store);
    let edge = world
        .start(world.options(), Arc::<FailingStore>::clone(&store))
        .await;
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(chained.leaf));
    assert_eq!(leaf(edge.https_addr(), "x.a.com").await, Ok(wildcard.leaf));
    assert_eq!(
        leaf(edge.https_addr(), "off.a.com").await,
        Err(UNRECOGNIZED)
    );
    let answer = Http::h2(edge.https_addr(), "a.com")
        .await
        .get("a.com", "/")
        .await;
    assert_eq!(answer, (200, "hello".to_owned()));

    let new = Certificate::of("a.com");
    let revision = world.serve("a.com", &new, port).await;
    store.fails.store(false, Ordering::Relaxed);
    served(&edge, revision).await;
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(new.leaf));
    // The report was not written while the store failed; now it is.
    world
        .report("default", |report| report.revision >= revision.0)
        .await;
}

#[tokio::test]
async fn without_a_replica_nothing_listens_before_the_store_responds() {
    let world = Harness::new();
    let certificate = Certificate::of("a.com");
    world.serve("a.com", &certificate, 1).await;
    let store = FailingStore::new(&world.store);
    let given: SharedStore = Arc::<FailingStore>::clone(&store);
    let keyring = world.keyring.clone();
    let mut starting = Box::pin(Edge::start(world.options(), given, keyring, now));
    let early = timeout(Duration::from_millis(300), &mut starting).await;
    assert!(early.is_err(), "it must wait");
    store.fails.store(false, Ordering::Relaxed);
    let edge = starting.await.unwrap();
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(certificate.leaf));
}

#[tokio::test]
async fn changes_while_the_edge_was_away_are_served_at_once() {
    let world = Harness::new();
    let (old, gone) = (Certificate::of("a.com"), Certificate::of("gone.com"));
    world.serve("a.com", &old, 1).await;
    world.serve("gone.com", &gone, 1).await;
    world.edge().await.drain().await;
    let new = Certificate::of("a.com");
    world.serve("a.com", &new, 1).await;
    world.remove("gone.com").await;
    let edge = world.edge().await;
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(new.leaf));
    assert_eq!(leaf(edge.https_addr(), "gone.com").await, Err(UNRECOGNIZED));
}

#[tokio::test]
async fn a_corrupted_replica_is_moved_aside_and_recreated() {
    // The header, and the pages after the first.
    for (from, length) in [(0, 100), (4096, 12_000)] {
        let world = Harness::new();
        let certificate = Certificate::with_chain("a.com");
        world.serve("a.com", &certificate, 1).await;
        world.edge().await.drain().await;
        let file = world.directory.path().join("replica.sqlite");
        corrupt(&file, from, length);
        let edge = world.edge().await;
        assert_eq!(
            leaf(edge.https_addr(), "a.com").await,
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
        assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(certificate.leaf));
    }
}

#[tokio::test]
async fn one_undecodable_row_costs_one_domain_until_the_store_responds() {
    let world = Harness::new();
    let (a, b) = (Certificate::of("a.com"), Certificate::of("b.com"));
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
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Err(UNRECOGNIZED));
    assert_eq!(leaf(edge.https_addr(), "b.com").await, Ok(b.leaf));
    store.fails.store(false, Ordering::Relaxed);
    let last = world.store.list("domain/", None, 1).await.unwrap().revision;
    served(&edge, last).await;
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(a.leaf));
}

#[tokio::test]
async fn a_keyring_that_lost_a_key_and_regained_it() {
    let mut world = Harness::new();
    let certificate = Certificate::of("a.com");
    world.serve("a.com", &certificate, 1).await;
    world.edge().await.drain().await;
    let right = world.keyring.clone();
    world.keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let edge = world.edge().await;
    let refused = leaf(edge.https_addr(), "a.com").await;
    assert_eq!(refused, Err(Some(rustls::AlertDescription::InternalError)));
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
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(certificate.leaf));
    world
        .report("default", |report| report.quarantined.is_empty())
        .await;
}

/// A quarantined domain stays so over a restart, and is retried.
#[tokio::test]
async fn quarantine_outlives_a_restart() {
    let world = Harness::new();
    let good = Certificate::of("a.com");
    world.serve("a.com", &good, 1).await;
    let edge = world.edge().await;
    let late = Certificate::of("a.com");
    let bad = world.put(&domain("a.com").bound(&late)).await;
    served(&edge, bad).await;
    edge.drain().await;
    let edge = world.edge().await;
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(good.leaf));
    world
        .report("default", |report| report.quarantined.len() == 1)
        .await;
    edge.drain().await;
    world.write(late.writes(&world.keyring)).await;
    let edge = world.edge().await;
    world
        .report("default", |report| !report.proofs.is_empty())
        .await;
    assert_eq!(leaf(edge.https_addr(), "a.com").await, Ok(late.leaf));
}
