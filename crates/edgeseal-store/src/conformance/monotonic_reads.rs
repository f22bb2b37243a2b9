//! Monotonic reads during commits.

use std::sync::Arc;

use super::{commit, key, put, value};
use crate::SharedStore;

/// Once a read has shown a commit, no read shows anything older, although the commit has not
/// returned yet.
pub(super) async fn never_go_back(store: &SharedStore) {
    const COMMITS: usize = 200;
    let names = ["accountdomain/a", "d/b"];
    let keys = names.map(key);
    let start = commit(store, names.map(|name| put(name, "0"))).await;
    let writer = {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for n in 1..=COMMITS {
                let value = n.to_string();
                commit(&store, names.map(|name| put(name, &value))).await;
            }
        })
    };
    let mut seen = start;
    for turn in 0.. {
        let done = writer.is_finished();
        let key = &keys[turn % keys.len()];
        let mut shown = Vec::new();
        let page = store.list(key.as_str(), None, 1).await.unwrap();
        shown.push(("list", page.entries[0].revision));
        let entry = store.get(key).await.unwrap().unwrap();
        shown.push(("get", entry.revision));
        let both = store.get_many(&keys).await.unwrap().into_iter();
        let both = both.map(|one| one.unwrap().revision);
        shown.push(("get_many", both.max().unwrap()));
        let entry = store.get(key).await.unwrap().unwrap();
        shown.push(("get again", entry.revision));
        for (verb, revision) in shown {
            assert!(revision >= seen, "{verb}: {revision:?} after {seen:?}");
            seen = revision;
        }
        if done {
            break;
        }
    }
    writer.await.unwrap();
    assert_eq!(value(store, names[0]).await, Some(COMMITS.to_string()));
}
