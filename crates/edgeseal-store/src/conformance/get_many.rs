//! Reads of several keys are one snapshot, also together with listings.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{commit, key, put};
use crate::{Entry, Key, Page, Revision, SharedStore};

/// So many moments the reader is to see.
const MOMENTS: u32 = 50;

/// Of a commit that writes two keys, a reader of both sees both or neither.
pub(super) async fn is_one_snapshot(store: &SharedStore) {
    commit(store, [put("pair/a", "0"), put("pair/b", "0")]).await;
    let seen = Arc::new(AtomicU32::new(0));
    let reader = tokio::spawn(read(store.clone(), Arc::clone(&seen)));
    let mut n = 0_u32;
    while seen.load(Ordering::Acquire) < MOMENTS && !reader.is_finished() {
        n += 1;
        let value = n.to_string();
        commit(store, [put("pair/a", &value), put("pair/b", &value)]).await;
        tokio::task::yield_now().await;
    }
    reader.await.unwrap();
    assert_eq!(store.get_many(&[]).await.unwrap(), []);
}

async fn read(store: SharedStore, seen: Arc<AtomicU32>) {
    let keys = ["pair/b", "pair/none", "pair/a", "pair/b"].map(key);
    let mut last = Revision(0);
    while seen.load(Ordering::Acquire) < MOMENTS {
        let found = store.get_many(&keys).await.unwrap();
        let [Some(b), None, Some(a), Some(again)] = &found[..] else {
            panic!("not in the order of the keys: {found:?}");
        };
        assert_eq!((&a.value, a.revision), (&b.value, b.revision));
        assert_eq!(b, again);
        assert!(a.revision >= last, "it goes back");
        if a.revision > last {
            last = a.revision;
            seen.fetch_add(1, Ordering::AcqRel);
        }
        tokio::task::yield_now().await;
    }
}

/// Values in the order of their keys, and pages in the order of their prefixes.
pub(super) async fn and_lists(store: &SharedStore) {
    let written = [
        put("a/1", "x"),
        put("a/2", "y"),
        put("a/3", "z"),
        put("b", "b"),
    ];
    let at = commit(store, written).await;
    let keys = ["b", "none", "a/1"].map(key);
    let prefixes = ["none/", "a/", "b"].map(str::to_owned);
    let (values, pages) = store.get_and_list(&keys, &prefixes, 2).await.unwrap();
    let keys_of = |entry: &Entry| {
        assert_eq!(entry.revision, at);
        entry.key.clone()
    };
    let found: Vec<Option<Key>> = values.iter().map(|it| it.as_ref().map(keys_of)).collect();
    assert_eq!(found, [Some(key("b")), None, Some(key("a/1"))]);
    let listed = |page: &Page| {
        let keys: Vec<Key> = page.entries.iter().map(keys_of).collect();
        (keys, page.has_more)
    };
    let listed: Vec<_> = pages.iter().map(listed).collect();
    let expected = [
        (vec![], false),
        (vec![key("a/1"), key("a/2")], true),
        (vec![key("b")], false),
    ];
    assert_eq!(listed, expected);
    let nothing = store.get_and_list(&[], &[], 2).await.unwrap();
    assert_eq!(nothing, (vec![], vec![]));
}
