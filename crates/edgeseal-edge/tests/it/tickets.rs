//! Resumed sessions: at another edge, after a restart, after key rotation; and when not.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use edgeseal_core::{Timestamp, domain::Environment, ticket::TicketPeriod};
use edgeseal_edge::{Edge, Listeners, LoadedEdge, Options, STAGING, inspect_replica};
use edgeseal_store::{Key, key, ticket_key::TicketKey};
use edgeseal_testing::{observed_store::FailingStore, origin::saying, pki::TestCertificate};
use rusqlite::Connection;
use rustls::{
    ClientConfig,
    HandshakeKind::{self, Full, Resumed},
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tokio::time::timeout;

use crate::{
    delivery::{handshake, resuming},
    harness::{DomainBuilder as _, Harness, TIMEOUT, domain, now},
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A world with `a.com` in both environments.
async fn world() -> Harness {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let port = saying("hello").await;
    let domain = domain("a.com")
        .bound(&certificate)
        .staged(&certificate)
        .with_origin(port);
    world.put_all(&domain, &certificate).await;
    world
}

fn options(id: &str, group: &str, directory: &Path) -> Options {
    let mut options = Options::new(id, group, "127.0.0.1:0".parse().unwrap(), directory);
    options.retry_interval = Duration::from_millis(50);
    options
}

async fn kind(edge: SocketAddr, client: &ClientConfig) -> HandshakeKind {
    handshake(edge, client).await.unwrap().0
}

/// A session of a new client, established at this edge.
async fn session(edge: &Edge, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let client = resuming(&[version], &[]);
    assert_ne!(kind(edge.https_addr(), &client).await, Resumed);
    client
}

/// Waits until the store holds the keys of a moment.
pub(crate) async fn stored(world: &Harness, now: Timestamp) -> [Key; 2] {
    let keys =
        TicketPeriod::required(now).map(|period| Key::ticket_key(Environment::Production, period));
    let waiting = async {
        let prefixes = [key::TICKET_KEYS];
        let mut after = edgeseal_store::Revision::default();
        while world.store.get_many(&keys).await.unwrap().contains(&None) {
            let changes = world.store.changes(after, &prefixes, 10).await.unwrap();
            after = changes.through;
        }
    };
    timeout(TIMEOUT, waiting).await.unwrap();
    keys
}

#[tokio::test]
async fn a_session_resumes_at_every_edge_of_its_environment_and_no_other() {
    let world = world().await;
    let homes = [(); 3].map(|()| tempfile::tempdir().unwrap());
    // Two at once, on a store without keys.
    let start = |options| world.start(options, Arc::clone(&world.store));
    let (a, b) = tokio::join!(
        start(options("e1", "default", homes[0].path())),
        start(options("e2", "default", homes[1].path())),
    );
    let staging = start(options("e3", STAGING, homes[2].path())).await;
    for version in VERSIONS {
        let client = session(&a, version).await;
        for edge in [&b, &a, &b] {
            assert_eq!(
                kind(edge.https_addr(), &client).await,
                Resumed,
                "{version:?}"
            );
        }
        let production = session(&a, version).await;
        assert_ne!(kind(staging.https_addr(), &production).await, Resumed);
        let staged = session(&staging, version).await;
        assert_ne!(kind(a.https_addr(), &staged).await, Resumed);
    }
    let page = world.store.list(key::TICKET_KEYS, None, 100).await.unwrap();
    assert_eq!(page.entries.len(), 4, "two for each environment");
}

#[tokio::test]
async fn a_session_resumes_after_a_restart_with_and_without_the_store() {
    let world = world().await;
    for version in VERSIONS {
        let edge = world.edge().await;
        let (one, other) = (session(&edge, version).await, session(&edge, version).await);
        edge.drain().await;
        let edge = world.edge().await;
        assert_eq!(kind(edge.https_addr(), &one).await, Resumed, "{version:?}");
        edge.drain().await;
        let store = FailingStore::new(&world.store);
        let edge = world.start(world.options(), store).await;
        assert_eq!(
            kind(edge.https_addr(), &other).await,
            Resumed,
            "{version:?}"
        );
        edge.drain().await;
    }
}

#[tokio::test]
async fn a_session_resumes_after_a_takeover_without_the_store() {
    let world = world().await;
    let mut edge = world.edge().await;
    let mut next = world.options();
    next.catch_up_timeout = Duration::from_millis(100);
    let loaded = LoadedEdge::load_snapshot(next, world.keyring.clone(), now);
    let loaded = timeout(TIMEOUT, loaded).await.unwrap().unwrap();
    let client = session(&edge, &TLS13).await;
    // Now at the latest its keys are in the replica.
    edge.stop_replication().await;
    let any = "127.0.0.1:0".parse().unwrap();
    let store = FailingStore::new(&world.store);
    let serve = loaded.serve(store, || Listeners::bind(any, None));
    let taken_over = timeout(TIMEOUT, serve).await.unwrap().unwrap();
    assert_eq!(kind(taken_over.https_addr(), &client).await, Resumed);
}

#[tokio::test]
async fn resumed_replication_shares_ticket_keys_again() {
    let world = world().await;
    let mut edge = world.edge().await;
    let handle = edge.handle();
    let mut applied = handle.applied_revision();
    let client = session(&edge, &TLS13).await;
    edge.stop_replication().await;
    assert_eq!(kind(edge.https_addr(), &client).await, Resumed);
    for key in stored(&world, now()).await {
        world.write(vec![edgeseal_store::Write::Delete(key)]).await;
    }
    edge.resume_replication(Arc::clone(&world.store))
        .await
        .unwrap();
    // What was obtained before is of the resumed replication as well.
    let revision = world
        .serve("b.com", &TestCertificate::self_signed("b.com"), 1)
        .await;
    let shown = applied.wait_for(|applied| *applied >= revision);
    timeout(TIMEOUT, shown).await.unwrap().unwrap();
    timeout(TIMEOUT, handle.reseal()).await.unwrap().unwrap();
    // It learns that they were removed, and creates others.
    stored(&world, now()).await;
    let forgotten = async {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = options("e2", "default", home.path());
        let elsewhere = world.start(elsewhere, Arc::clone(&world.store)).await;
        loop {
            let client = resuming(&[&TLS13], &[]);
            kind(edge.https_addr(), &client).await;
            if kind(elsewhere.https_addr(), &client).await == Resumed {
                break;
            }
        }
    };
    timeout(TIMEOUT, forgotten).await.unwrap();
}

#[tokio::test]
async fn a_session_survives_one_key_rotation_but_not_two() {
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Timestamp {
        Timestamp::from_unix_ms(CLOCK.load(Ordering::Relaxed))
    }
    let hours = |hours: i64| {
        let begins = TicketPeriod::at(now()).begins();
        CLOCK.store(
            begins.plus_ms(hours * 3_600_000).unix_ms(),
            Ordering::Relaxed,
        );
    };
    let world = world().await;
    let homes = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let start = async |id, home: &Path| {
        let (store, keyring) = (Arc::clone(&world.store), world.keyring.clone());
        let start = Edge::start(options(id, "default", home), store, keyring, clock);
        timeout(TIMEOUT, start).await.unwrap().unwrap()
    };
    for version in VERSIONS {
        hours(11);
        let a = start("e1", homes[0].path()).await;
        let b = start("e2", homes[1].path()).await;
        let early = [(); 3];
        let mut early = early.map(|()| resuming(&[version], &[])).into_iter();
        for client in early.as_slice() {
            assert_ne!(kind(a.https_addr(), client).await, Resumed);
        }
        // The key rotates without any message.
        hours(12);
        let client = early.next().unwrap();
        assert_eq!(kind(b.https_addr(), &client).await, Resumed, "{version:?}");
        let new = session(&b, version).await;
        assert_eq!(kind(a.https_addr(), &new).await, Resumed, "{version:?}");
        // Some edge creates the following one in time.
        stored(&world, clock()).await;
        hours(23);
        let client = early.next().unwrap();
        assert_eq!(kind(b.https_addr(), &client).await, Resumed, "{version:?}");
        hours(24);
        let client = early.next().unwrap();
        assert_ne!(kind(b.https_addr(), &client).await, Resumed, "{version:?}");
        a.drain().await;
        b.drain().await;
        // The next round begins.
        hours(0);
        for key in stored(&world, clock()).await {
            world.write(vec![edgeseal_store::Write::Delete(key)]).await;
        }
    }
}

#[tokio::test]
async fn without_shared_keys_an_edge_resumes_its_own_sessions_until_the_store_responds() {
    let world = world().await;
    world.edge().await.drain().await;
    let replica = world.directory.path().join("replica.sqlite");
    let emptied = Connection::open(&replica).unwrap();
    // As an earlier release left it.
    emptied.execute("DROP TABLE ticket_key", []).unwrap();
    drop(emptied);
    let found = inspect_replica(world.directory.path(), &world.keyring, true);
    assert_eq!(found.unwrap().unwrap().ticket_keys, 0);
    let store = FailingStore::new(&world.store);
    let mut alone = world.options();
    alone.catch_up_timeout = Duration::from_millis(100);
    alone.retry_interval = Duration::from_millis(50);
    let edge = world.start(alone, Arc::<FailingStore>::clone(&store)).await;
    let own = session(&edge, &TLS13).await;
    assert_eq!(kind(edge.https_addr(), &own).await, Resumed);

    let home = tempfile::tempdir().unwrap();
    let elsewhere = options("e2", "default", home.path());
    let elsewhere = world.start(elsewhere, Arc::clone(&world.store)).await;
    assert_eq!(
        kind(elsewhere.https_addr(), &own).await,
        Full,
        "nobody else knows it"
    );
    store.heal();
    let healed = async {
        loop {
            let client = resuming(&[&TLS13], &[]);
            kind(edge.https_addr(), &client).await;
            if kind(elsewhere.https_addr(), &client).await == Resumed {
                break;
            }
        }
    };
    timeout(TIMEOUT, healed).await.unwrap();
}

#[tokio::test]
async fn the_replica_holds_ticket_keys_sealed_and_skips_corrupted_ones() {
    let world = world().await;
    let edge = world.edge().await;
    let client = session(&edge, &TLS13).await;
    edge.drain().await;
    let found = inspect_replica(world.directory.path(), &world.keyring, true).unwrap();
    let found = found.unwrap();
    assert_eq!((found.ticket_keys, found.under_older_keys), (2, 0));
    assert_eq!(found.unusable, []);

    let file = world.directory.path().join("replica.sqlite");
    let on_disk = std::fs::read(&file).unwrap();
    for key in stored(&world, now()).await {
        let entry = world.store.get(&key).await.unwrap().unwrap();
        let opened = TicketKey::open(&world.keyring, &key, &entry.value).unwrap();
        let contains = |part: &[u8]| on_disk.windows(part.len()).any(|at| at == part);
        assert!(contains(&entry.value), "it is there sealed");
        assert!(!contains(opened.key.expose()), "and not in the clear");
    }

    let spoiled = Connection::open(&file).unwrap();
    let spoil = "UPDATE ticket_key SET value = replace(value, 'period', 'dampen')";
    assert_eq!(spoiled.execute(spoil, []).unwrap(), 2);
    drop(spoiled);
    let edge = world.edge().await;
    assert_eq!(
        kind(edge.https_addr(), &client).await,
        Resumed,
        "the store has it"
    );
    edge.drain().await;
    let found = inspect_replica(world.directory.path(), &world.keyring, true).unwrap();
    assert_eq!(found.unwrap().ticket_keys, 2, "and it is written again");
}
