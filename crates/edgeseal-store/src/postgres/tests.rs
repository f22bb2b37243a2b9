mod cutter;
mod outcomes;
mod plans;
mod reports;
mod restore;
mod upgrade;

use std::sync::atomic::{AtomicU32, Ordering};

use edgeseal_testing::{patroni::PatroniCluster, pem, pki::AUTHORITY, postgres::PostgresServer};

use self::cutter::Cutter;
use super::*;
use crate::{
    Expect, SharedStore, Write,
    conformance::{self, Handles, TOMBSTONES_KEPT, commit, key, now, put, state},
    open::{OpenError, StoreUrl},
};

/// A schema that no other test uses.
fn schema() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn open(server: &PostgresServer, schema: &str) -> SharedStore {
    open_url(&server.url(schema)).await
}

async fn open_url(url: &str) -> SharedStore {
    let url = url.parse().unwrap();
    let store = PostgresStore::with_tombstone_limit(url, now, TOMBSTONES_KEPT);
    Arc::new(store.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    let server = PostgresServer::shared();
    conformance::suite(async || {
        let schema = schema();
        let (one, two) = tokio::join!(open(&server, &schema), open(&server, &schema));
        Handles::of([one, two]) as SharedStore
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: run by ./test faults"]
async fn keeps_the_contract_under_patroni() {
    if let Some(why) = PatroniCluster::unavailable() {
        panic!("{why}");
    }
    let cluster = PatroniCluster::start();
    conformance::suite(async || open_url(&cluster.url(&schema())).await).await;
}

/// Of a managed service, or of an engine that speaks PostgreSQL's protocol. Leaves its schemas behind.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs EDGESEAL_TEST_DATABASE, the URL of a database, without a schema"]
async fn keeps_the_contract_on_a_given_database() {
    let url = std::env::var("EDGESEAL_TEST_DATABASE").expect("EDGESEAL_TEST_DATABASE is a URL");
    let sign = if url.contains('?') { '&' } else { '?' };
    let run = now().unix_ms();
    let next = async || open_url(&format!("{url}{sign}schema=test_{run}_{}", schema())).await;
    conformance::suite(next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_see_each_other_s_commits() {
    let server = PostgresServer::shared();
    let schema = schema();
    let (one, two) = tokio::join!(open(&server, &schema), open(&server, &schema));
    let first = commit(&one, [put("d/a", "1")]).await;
    let changes = two.changes(first, &["d/"], 10);
    let second = commit(&one, [put("d/b", "1")]);
    let (changes, second) = tokio::join!(changes, second);
    assert_eq!(changes.unwrap().through, second);
    assert_eq!(state(&one).await, state(&two).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let server = Arc::new(PostgresServer::start());
    let store = open(&server, "killed").await;
    let first = commit(&store, [put("d/first", "1")]).await;
    let (stop, stopped) = watch::channel(false);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, stopped) = (Arc::clone(&store), stopped.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                let mut n = 0;
                while !*stopped.borrow() {
                    let name = format!("d/{writer}/{n}");
                    let txn = conformance::writes([put(&name, "1")]);
                    if let Ok(revision) = store.commit(txn).await {
                        acknowledged.push((name, revision));
                    }
                    n += 1;
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..3 {
        let before = store.list("", None, 1).await.unwrap().revision;
        let more = store.changes(before, &["d/"], 1).await.unwrap();
        assert!(more.through > before, "the writers get on");
        let server = Arc::clone(&server);
        let restart = move || {
            server.kill();
            server.start_again();
        };
        tokio::task::spawn_blocking(restart).await.unwrap();
    }
    let after = commit(&store, [put("d/last", "1")]).await;
    stop.send(true).unwrap();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(!acknowledged.is_empty());
    let state = state(&store).await;
    for (name, revision) in acknowledged {
        let found = state.get(&name).map(|found| found.1);
        assert_eq!(found, Some(revision), "{name}");
    }
    // The revisions of all servers are known, and no others.
    assert!(store.changes(first, &["d/"], 10).await.is_ok());
    for lost in [
        Revision(first.0 - 2),
        Revision(after.0 - (1 << 31)),
        Revision(u64::MAX >> 1),
    ] {
        let changes = store.changes(lost, &["d/"], 10).await;
        assert!(
            matches!(changes, Err(ChangesError::Compacted { .. })),
            "{lost:?}: {changes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_far_off_changes_nothing() {
    fn wrong() -> Timestamp {
        Timestamp::from_unix_ms(now().unix_ms() + 3_600_000)
    }
    let server = PostgresServer::shared();
    let schema = schema();
    let expiring = Write::Put {
        key: key("expires"),
        value: "soon".into(),
        expires: Some(now().plus_ms(1_800_000)),
    };
    commit(&open(&server, &schema).await, [expiring]).await;
    let url = server.url(&schema).parse().unwrap();
    let store = PostgresStore::open(url, wrong).await.unwrap();
    let refused = store.commit(conformance::writes([put("a", "1")])).await;
    let Err(CommitError::Fault(fault)) = refused else {
        panic!("{refused:?}");
    };
    let cause = fault.cause.unwrap().to_string();
    assert!(cause.contains("the clock of this node"), "{cause}");
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    // Nor does it remove what has not expired.
    assert_eq!(store.sweep(wrong()).await.unwrap(), 0);
    assert!(store.get(&key("expires")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_verified() {
    let server = PostgresServer::start_with_tls(&AUTHORITY.issue(&["localhost"]));
    let files = tempfile::tempdir().unwrap();
    let roots = files.path().join("ca.pem");
    std::fs::write(&roots, pem::encode("CERTIFICATE", &AUTHORITY.root.der)).unwrap();
    let url = |host: &str, query: &str| {
        let url = server.url("tls").replace("127.0.0.1", host);
        format!("{url}&{query}").parse().unwrap()
    };
    let trusting = format!("sslrootcert={}", roots.display());
    PostgresStore::open(url("localhost", &trusting), now)
        .await
        .unwrap();
    for (host, query, expected) in [
        ("127.0.0.1", trusting.as_str(), "not valid for name"),
        ("localhost", "sslmode=verify-full", "UnknownIssuer"),
        ("localhost", "sslmode=disable", "no encryption"),
    ] {
        let opened = PostgresStore::open(url(host, query), now).await;
        let cause = opened.err().unwrap().cause.unwrap().to_string();
        assert!(cause.contains(expected), "{host} {query}: {cause}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_can_lose_changes_says_so() {
    let server = PostgresServer::shared();
    let alone = server.url(&schema());
    // The second server is not there, but it could take over.
    let replicated = alone.replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1");
    let open = async |url: &str| {
        PostgresStore::open(url.parse().unwrap(), now)
            .await
            .unwrap()
    };
    assert_eq!(open(&alone).await.durability_risk(), None);
    let risk = open(&replicated).await.durability_risk().unwrap();
    assert!(
        risk.contains("synchronous_standby_names is empty"),
        "{risk}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_a_newer_release_are_left_alone() {
    let server = PostgresServer::shared();
    let schema = schema();
    drop(open(&server, &schema).await);
    let url: PostgresUrl = server.url(&schema).parse().unwrap();
    let session = Connector::new(url.clone())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let newer = "UPDATE edgeseal SET version = 99";
    session.client.batch_execute(newer).await.unwrap();
    let opened = crate::open::open(&StoreUrl::Postgres(Box::new(url)), now).await;
    let error = opened.err().unwrap();
    assert!(
        matches!(error, OpenError::NewerDatabase { found: 99, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_says_so_in_time() {
    let url = "postgres://me:secret@127.0.0.1:1,127.0.0.1:2/db";
    let opened = PostgresStore::open(url.parse().unwrap(), now).await;
    let fault = opened.err().unwrap();
    let cause = fault.cause.unwrap().to_string();
    assert!(
        cause.contains("127.0.0.1:2: ") && !cause.contains("secret"),
        "{cause}"
    );
}
