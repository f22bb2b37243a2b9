use std::sync::atomic::{AtomicUsize, Ordering};

use edgeseal_core::{Timestamp, domain::Environment};
use edgeseal_store::{Keyring, Store, Txn, Write, memory::MemoryStore};
use edgeseal_testing::observed_store::{Observe, ObservedStore, Operation};

use super::*;
use crate::{Context, Settings};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Counts listings of reports.
#[derive(Default)]
struct Counting {
    lists: AtomicUsize,
}

impl Observe for Counting {
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
        if matches!(operation, Operation::List(key::EDGES)) {
            self.lists.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Writes the edge's report that it has applied everything up to `revision`.
async fn report(store: &dyn Store, revision: u64) {
    let report = EdgeRecord {
        revision,
        at: NOW,
        ..EdgeRecord::new("production", "one")
    };
    let write = vec![Write::Put {
        key: Key::edge("production", "one"),
        value: record::encode(&report).unwrap(),
        expires: None,
    }];
    let txn = Txn {
        write,
        ..Txn::default()
    };
    store.commit(txn).await.unwrap();
}
#[tokio::test]
async fn waiters_share_one_read_of_the_reports() {
    const WAITERS: usize = 40;
    const REPORTS: u64 = 25;
    let store = ObservedStore::over(Arc::new(MemoryStore::new()), Counting::default());
    report(&*store, 0).await;
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let catalog = Catalog::new(Arc::clone(&store) as _, keyring);
    let (context, tasks) = Context::new(catalog, || NOW, Settings::default(), None);
    let tasks = tokio::spawn(tasks);
    let context = Arc::new(context);
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            let context = Arc::clone(&context);
            tokio::spawn(async move {
                let wanted = Revision(REPORTS);
                let proven = context.count_proven(&[], wanted, Environment::Production, TIMEOUT);
                proven.await
            })
        })
        .collect();
    for revision in 1..=REPORTS {
        report(&*store, revision).await;
        tokio::task::yield_now().await;
    }
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Some((1, 1)));
    }
    let lists = store.lists.load(Ordering::SeqCst);
    assert!(lists <= 2, "{lists} listings for {WAITERS} waiters");

    // Nobody waits any more; a later caller gets the current state.
    let later = context.count_proven(
        &[],
        Revision(REPORTS + 1),
        Environment::Production,
        Duration::ZERO,
    );
    assert_eq!(later.await, Some((0, 1)));
    drop(context);
    tasks.await.unwrap();
}

/// After a restart no edge has reported yet, and the edge in this process is about to.
#[tokio::test]
async fn the_edge_in_this_process_is_waited_for_before_its_first_report() {
    let store = ObservedStore::over(Arc::new(MemoryStore::new()), Counting::default());
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let catalog = Catalog::new(Arc::clone(&store) as _, keyring);
    let (mut context, tasks) = Context::new(catalog, || NOW, Settings::default(), None);
    context.local_edge_environment = Some(Environment::Production);
    let tasks = tokio::spawn(tasks);
    let context = Arc::new(context);
    let waiter = tokio::spawn({
        let context = Arc::clone(&context);
        async move {
            let proven = context.count_proven(&[], Revision(1), Environment::Production, TIMEOUT);
            proven.await
        }
    });
    while store.lists.load(Ordering::SeqCst) == 0 && !waiter.is_finished() {
        tokio::task::yield_now().await;
    }
    report(&*store, 1).await;
    assert_eq!(waiter.await.unwrap(), Some((1, 1)));
    let elsewhere = context.count_proven(&[], Revision(1), Environment::Staging, TIMEOUT);
    assert_eq!(
        elsewhere.await,
        Some((0, 0)),
        "there is no edge to wait for"
    );
    drop(context);
    tasks.await.unwrap();
}
