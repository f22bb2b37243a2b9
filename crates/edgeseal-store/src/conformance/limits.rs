//! Limits of pages and transactions, and transactions without writes.

use bytes::Bytes;

use super::{commit, key, put, state, writes};
use crate::{
    CommitError, Expect, PAGE_MAX, Revision, SharedStore, TXN_BYTES_MAX, TXN_EXPECTS_MAX,
    TXN_WRITES_MAX, Txn, VALUE_BYTES_MAX, Write,
};

/// No limit gets more than a page, and what is left out is announced.
pub(super) async fn of_pages(store: &SharedStore) {
    const ALL: usize = PAGE_MAX + 5;
    let write: Vec<Write> = (0..ALL).map(|n| put(&format!("p/{n:05}"), "1")).collect();
    commit(store, write).await;
    let all = usize::MAX;
    let page = store.list("p/", None, all).await.unwrap();
    let last = page.entries.last().map(|entry| entry.key.clone());
    let (_, pages) = store
        .get_and_list(&[], &["p/".to_owned()], all)
        .await
        .unwrap();
    let reverse = store.list_reverse("p/", None, all).await.unwrap();
    for page in [&page, &pages[0], &reverse] {
        assert_eq!((page.entries.len(), page.has_more), (PAGE_MAX, true));
    }
    let rest = store.list("p/", last.as_ref(), all).await.unwrap();
    assert_eq!((rest.entries.len(), rest.has_more), (5, false));
    let window = store.window("p/", 1, all).await.unwrap();
    assert_eq!((window.items.len(), window.total), (PAGE_MAX, ALL));
    let window = store.window("p/", ALL - 2, all).await.unwrap();
    assert_eq!((window.items.len(), window.total), (2, ALL));
}

/// What is at a limit is committed, what exceeds it is refused and writes nothing.
pub(super) async fn of_transactions(store: &SharedStore) {
    let many = |n| {
        (0..n)
            .map(|n| put(&format!("w/{n:05}"), "1"))
            .collect::<Vec<_>>()
    };
    let absent = |n| {
        (0..n)
            .map(|n| Expect::Absent(key(&format!("e/{n:05}"))))
            .collect::<Vec<_>>()
    };
    // A key of one byte with its value.
    let long = |bytes: usize| {
        let values = (0..16_u8).map(|n| match n {
            0 => bytes - 15 * (VALUE_BYTES_MAX - 1) - 16,
            _ => VALUE_BYTES_MAX - 1,
        });
        let keys = (b'a'..).map(|letter| key(&char::from(letter).to_string()));
        let puts = keys
            .zip(values)
            .map(|(key, n)| Write::put(key, Bytes::from(vec![0; n])));
        puts.collect::<Vec<_>>()
    };
    for (at_limit, beyond) in [
        (
            writes(many(TXN_WRITES_MAX)),
            writes(many(TXN_WRITES_MAX + 1)),
        ),
        (writes(long(TXN_BYTES_MAX)), writes(long(TXN_BYTES_MAX + 1))),
        (
            Txn {
                expect: absent(TXN_EXPECTS_MAX),
                write: vec![put("one", "1")],
                ..Txn::default()
            },
            Txn {
                expect: absent(TXN_EXPECTS_MAX + 1),
                write: vec![put("two", "1")],
                ..Txn::default()
            },
        ),
    ] {
        let before = store.list("", None, 1).await.unwrap().revision;
        let refused = store.commit(beyond).await;
        assert!(matches!(refused, Err(CommitError::Fault(_))), "{refused:?}");
        let after = store.list("", None, 1).await.unwrap().revision;
        assert_eq!(before, after, "nothing was written");
        let written = at_limit.write.len();
        let at = store.commit(at_limit).await.unwrap();
        let changes = store.changes(before, &[""], 1).await.unwrap();
        assert_eq!(
            (changes.items.len(), changes.through),
            (written, at),
            "whole"
        );
    }
    assert_eq!(store.get(&key("two")).await.unwrap(), None);
}

/// A transaction without writes checks its conditions. Whether it is a commit is left open.
pub(super) async fn without_writes(store: &SharedStore) {
    let first = commit(store, [put("d/a", "1")]).await;
    let before = state(store).await;
    let expecting = |revision| Txn {
        expect: vec![Expect::Unchanged(key("d/a"), revision)],
        write: Vec::new(),
        ..Txn::default()
    };
    let empty = store.commit(expecting(first)).await.unwrap();
    assert!(empty >= first, "it saw that commit");
    let refused = store.commit(expecting(Revision(first.0 + 1))).await;
    assert!(matches!(refused, Err(CommitError::Conflict { key: found }) if found == key("d/a")));
    assert_eq!(state(store).await, before);
    let next = commit(store, [put("d/b", "1")]).await;
    assert!(next > empty);
    // A follower may go on from its revision, and misses nothing by it.
    let changes = store.changes(empty, &["d/"], 10).await.unwrap();
    assert_eq!(changes.items.len(), 1);
    assert_eq!(changes.through, next);
}
