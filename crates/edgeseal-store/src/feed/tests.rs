use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use tokio::sync::Notify;

use super::*;
use crate::{
    SharedStore,
    conformance::{Follower, commit, delete, put},
    memory::MemoryStore,
    observed_store::{Observe, ObservedStore, Operation},
};

fn keys(event: &Event) -> Vec<&str> {
    match event {
        Event::Listed(entries) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        Event::Changes(changes) => changes.items.iter().map(|item| item.key.as_str()).collect(),
        Event::ListBegins | Event::ListEnds { .. } => vec![],
    }
}

#[tokio::test]
async fn lists_in_pages_then_follows() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let write = ["d/1", "d/2", "d/3", "e/1", "n/1"].map(|name| put(name, "1"));
    let listed = commit(&store, write).await;
    // The prefix `d/` covers `d/2`, which is not listed twice.
    let mut feed = Feed::start(store.clone(), ["e/", "d/", "d/2"]).with_page(2);
    assert_eq!(feed.next().await, Event::ListBegins);
    assert_eq!(keys(&feed.next().await), ["d/1", "d/2"]);
    commit(&store, [delete("d/1"), put("d/4", "1")]).await;
    assert_eq!(keys(&feed.next().await), ["d/3", "d/4"]);
    assert_eq!(keys(&feed.next().await), ["e/1"]);
    let end = Event::ListEnds {
        revision: listed,
        entries: 5,
    };
    assert_eq!(feed.next().await, end);
    assert_eq!(
        keys(&feed.next().await),
        ["d/1", "d/4"],
        "what changed in the meantime"
    );
    let (event, revision) = tokio::join!(feed.next(), commit(&store, [put("e/1", "2")]));
    assert_eq!(keys(&event), ["e/1"]);

    let mut resumed = Feed::resume(store.clone(), ["d/", "e/"], listed);
    let event = resumed.next().await;
    assert_eq!(keys(&event), ["d/1", "d/4", "e/1"]);
    assert!(matches!(event, Event::Changes(changes) if changes.through == revision));
}

#[tokio::test]
async fn lists_again_after_a_compaction() {
    let store: SharedStore = Arc::new(MemoryStore::with_tombstone_limit(1));
    let old = commit(&store, ["d/1", "d/2", "d/3"].map(|name| put(name, "1"))).await;
    let mut feed = Feed::start(store.clone(), ["d/"]);
    let mut follower = Follower::default();
    follower.catch_up(&mut feed, old).await;
    commit(&store, [delete("d/1")]).await;
    let head = commit(&store, [delete("d/2")]).await;
    store.sweep(Timestamp::default()).await.unwrap();
    follower.catch_up(&mut feed, head).await;
    assert_eq!(follower.held.into_keys().collect::<Vec<_>>(), ["d/3"]);
    assert_eq!(follower.listings, 2);
}

#[tokio::test]
async fn relists_after_the_store_was_restored() {
    let new: SharedStore = Arc::new(MemoryStore::new());
    commit(&new, [put("d/1", "new"), put("d/2", "new")]).await;
    let mut follower = Follower::default();
    let reached = commit(&new, [put("d/1", "newer")]).await;
    follower
        .catch_up(&mut Feed::start(new.clone(), ["d/"]), reached)
        .await;

    let old: SharedStore = Arc::new(MemoryStore::new());
    commit(&old, [put("d/1", "old")]).await;
    let mut feed = Feed::resume(old.clone(), ["d/"], reached);
    while follower.listings < 2 {
        follower.apply(feed.next().await);
    }
    let held: Vec<_> = follower
        .held
        .iter()
        .map(|(k, v)| (&k[..], &v.0[..]))
        .collect();
    assert_eq!(held, [("d/1", &b"old"[..])]);
}

/// Fails each listing and each request for changes once.
#[derive(Default)]
struct Failing(AtomicUsize);

impl Observe for Failing {
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
        let counts = matches!(operation, Operation::List(_) | Operation::Changes);
        if counts && self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return Err(Fault::new("be there"));
        }
        Ok(())
    }
}

/// Lists once it is told to.
#[derive(Default)]
struct Slow {
    asked: AtomicUsize,
    go_on: Notify,
}

#[async_trait]
impl Observe for Slow {
    fn before(&self, _: Operation<'_>) -> Result<(), Fault> {
        Ok(())
    }

    async fn hold(&self, operation: Operation<'_>) {
        if let Operation::List(_) = operation {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.go_on.notified().await;
        }
    }
}

/// A caller that does something else from time to time must not begin from the start each time.
#[tokio::test]
async fn a_request_outlives_a_caller_that_does_not_wait_for_it() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    commit(&store, [put("d/1", "1")]).await;
    let slow = ObservedStore::over(store, Slow::default());
    let mut feed = Feed::start(slow.clone(), ["d/"]);
    assert_eq!(feed.next().await, Event::ListBegins);
    for _ in 0..3 {
        // Polls once.
        let dropped = timeout(Duration::ZERO, feed.next()).await;
        assert!(dropped.is_err());
    }
    slow.go_on.notify_one();
    assert_eq!(keys(&feed.next().await), ["d/1"]);
    assert_eq!(slow.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn goes_on_where_it_was_when_the_store_failed() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    commit(&store, ["d/1", "d/2", "d/3"].map(|name| put(name, "1"))).await;
    let failing = ObservedStore::over(store.clone(), Failing::default());
    let mut feed = Feed::start(failing, ["d/"]).with_page(2);
    let mut follower = Follower::default();
    assert_eq!(feed.next().await, Event::ListBegins);
    assert_eq!(
        keys(&feed.next().await),
        ["d/1", "d/2"],
        "after one failure"
    );
    let head = commit(&store, [delete("d/1")]).await;
    assert_eq!(
        keys(&feed.next().await),
        ["d/3"],
        "the same page, not the first"
    );
    follower.apply(Event::ListBegins);
    while follower.resume_from < Some(head) {
        match feed.next().await {
            Event::ListEnds { revision, entries } => {
                assert_eq!(entries, 3);
                follower.resume_from = Some(revision);
            }
            event => {
                assert_eq!(keys(&event), ["d/1"]);
                follower.apply(event);
            }
        }
    }
}
