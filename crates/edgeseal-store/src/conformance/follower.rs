//! A follower that applies the rules of the feed; checks that it ends with the state of the store.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use edgeseal_core::Timestamp;
use edgeseal_testing::random::SplitMix;
use tokio::{sync::watch, task::JoinSet};

use super::{commit, delete, put, state};
use crate::{
    Revision, SharedStore, Write,
    feed::{Event, Feed},
};

/// Holds what it was told, as an edge does.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    pub(crate) held: BTreeMap<String, (Bytes, Revision)>,
    listed: HashSet<String>,
    /// Where it may resume.
    pub(crate) resume_from: Option<Revision>,
    pub(crate) listings: usize,
}

impl Follower {
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::ListBegins => {
                self.listed.clear();
                self.resume_from = None;
            }
            Event::Listed(entries) => {
                for entry in entries {
                    let name = entry.key.to_string();
                    assert!(self.listed.insert(name.clone()), "{name} is listed twice");
                    self.held.insert(name, (entry.value, entry.revision));
                }
            }
            Event::ListEnds { revision, entries } => {
                assert_eq!(entries, self.listed.len() as u64);
                self.held.retain(|name, _| self.listed.contains(name));
                self.resume_from = Some(revision);
                self.listings += 1;
            }
            Event::Changes(changes) => {
                assert!(
                    Some(changes.through) > self.resume_from,
                    "each stretch gets on"
                );
                for item in changes.items {
                    let name = item.key.to_string();
                    if self
                        .held
                        .get(&name)
                        .is_some_and(|held| held.1 >= item.revision)
                    {
                        continue;
                    }
                    match item.value {
                        Some(value) => self.held.insert(name, (value, item.revision)),
                        None => self.held.remove(&name),
                    };
                }
                self.resume_from = Some(changes.through);
            }
        }
    }

    /// Follows until the state of `revision` or a later one is held.
    pub(crate) async fn catch_up(&mut self, feed: &mut Feed, revision: Revision) {
        while self.resume_from < Some(revision) {
            self.apply(feed.next().await);
        }
    }
}

/// Writers, sweeps, a follower that starts cold and one that is cut off and resumes again and
/// again; then both must hold what the store holds. The followers see the store as `followed`.
pub(super) async fn converges(store: &SharedStore, followed: &SharedStore, seed: u64) {
    let write: Vec<Write> = (0..30).map(|n| put(&format!("d/{n}"), "0")).collect();
    commit(store, write).await;
    let (end, ended) = watch::channel(None);
    let cold = tokio::spawn(run(followed.clone(), SplitMix(seed), false, ended.clone()));
    let cut = tokio::spawn(run(followed.clone(), SplitMix(seed), true, ended));
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            let mut random = SplitMix(seed * 100 + writer);
            for _ in 0..60 {
                commit(&store, random_writes(&mut random)).await;
                if random.below(10) == 0 {
                    store.sweep(Timestamp::default()).await.unwrap();
                }
            }
        });
    }
    writers.join_all().await;
    let last = commit(store, [put("d/last", "1"), put("n/x", "1")]).await;
    end.send_replace(Some(last));

    let mut expected = state(store).await;
    expected.retain(|name, _| name.starts_with("d/") || name.starts_with("e/"));
    assert_eq!(cold.await.unwrap().held, expected, "seed {seed}");
    assert_eq!(cut.await.unwrap().held, expected, "seed {seed}, resumed");
}

/// Follows until the end is announced and reached; if `cut`, with a new feed now and then.
async fn run(
    store: SharedStore,
    mut random: SplitMix,
    cut: bool,
    mut ended: watch::Receiver<Option<Revision>>,
) -> Follower {
    const PREFIXES: [&str; 3] = ["d/", "e/", "e/1"];
    let mut follower = Follower::default();
    loop {
        let feed = match follower.resume_from {
            Some(reached) => Feed::resume(store.clone(), PREFIXES, reached),
            None => Feed::start(store.clone(), PREFIXES),
        };
        let mut feed = feed.with_page(random.below(9) + 1);
        // Enough for a whole listing now and then.
        let events = if cut {
            random.below(6) * 10 + 1
        } else {
            usize::MAX
        };
        for _ in 0..events {
            let end = *ended.borrow_and_update();
            if end.is_some() && follower.resume_from >= end {
                return follower;
            }
            tokio::select! {
                event = feed.next() => follower.apply(event),
                _ = ended.changed() => {}
            }
        }
    }
}

/// The same writes for the same seed.
fn random_writes(random: &mut SplitMix) -> Vec<Write> {
    let mut names = HashSet::new();
    for _ in 0..=random.below(6) {
        let prefix = ["d/", "e/", "e/1", "n/"][random.below(4)];
        names.insert(format!("{prefix}{}", random.below(30)));
    }
    names
        .into_iter()
        .map(|name| match random.below(3) {
            0 => delete(&name),
            _ => put(&name, &random.below(1000).to_string()),
        })
        .collect()
}
