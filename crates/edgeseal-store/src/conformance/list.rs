//! Listings: page by page, and from any key on.

use super::{commit, delete, key, put};
use crate::{Revision, SharedStore, Write};

/// `root` stands before all names: engines may keep some prefixes apart.
pub(super) async fn pages_cover_all(store: &SharedStore, root: &str) {
    let full = |name: &str| format!("{root}{name}");
    // Byte order: `-` < `/` < `0` < `Z` < `a` < `é`.
    let names = [
        "a", "a-", "a/", "a/0", "a/0/", "a/00", "a/Z", "a/a", "a/é", "a0", "aa/1", "b/1",
    ]
    .map(full);
    let names = names.each_ref().map(String::as_str);
    let mut shuffled: Vec<Write> = names.iter().map(|name| put(name, name)).collect();
    shuffled.rotate_left(5);
    let revision = commit(store, shuffled).await;
    commit(store, [put(&full("a/1"), "gone soon")]).await;
    commit(store, [put(&full("a/1"), "gone sooner")]).await;
    let head = commit(store, [delete(&full("a/1"))]).await;
    lists(store, root, &names, (revision, head)).await;
    windows(store, root, &names).await;
    many(store, root).await;
}

async fn lists(
    store: &SharedStore,
    root: &str,
    names: &[&str; 12],
    (revision, head): (Revision, Revision),
) {
    let full = |name: &str| format!("{root}{name}");
    let cases: [(&str, Option<&str>, &[&str]); 9] = [
        ("", None, names),
        ("a/", None, &names[2..9]),
        ("a/0", None, &names[3..6]),
        ("a/", Some("a/0/"), &names[5..9]),
        ("a/", Some("a/1"), &names[6..9]),
        ("a/", Some("a"), &names[2..9]),
        ("a/", Some("a/é"), &[]),
        ("a/", Some("b"), &[]),
        ("c", None, &[]),
    ];
    for (prefix, after, expected) in cases {
        let (prefix, after) = (full(prefix), after.map(full));
        for limit in [1, 2, 3, expected.len().max(1), 100] {
            let mut after = after.as_deref().map(key);
            let mut found = Vec::new();
            loop {
                let page = store.list(&prefix, after.as_ref(), limit).await.unwrap();
                assert_eq!(page.revision, head);
                assert!(page.entries.len() <= limit);
                found.extend(page.entries.iter().map(|entry| entry.key.to_string()));
                assert!(page.entries.iter().all(|entry| entry.revision == revision));
                if !page.has_more {
                    break;
                }
                assert_eq!(page.entries.len(), limit, "a page before the last is full");
                after = page.entries.last().map(|entry| entry.key.clone());
            }
            assert_eq!(found, expected, "{prefix:?} after {after:?} by {limit}");
        }
    }
}

async fn windows(store: &SharedStore, root: &str, names: &[&str; 12]) {
    let full = |name: &str| format!("{root}{name}");
    for (prefix, all) in [
        ("", &names[..]),
        ("a/", &names[2..9]),
        ("a/é", &names[8..9]),
        ("c", &[]),
    ] {
        let prefix = full(prefix);
        for (skip, limit) in [(0, 3), (2, 2), (6, 100), (100, 5), (0, 0)] {
            let window = store.window(&prefix, skip, limit).await.unwrap();
            let found: Vec<&str> = window
                .items
                .iter()
                .map(|entry| entry.key.as_str())
                .collect();
            let expected: Vec<&str> = all.iter().copied().skip(skip).take(limit).collect();
            assert_eq!(found, expected, "{prefix:?} from {skip} by {limit}");
            assert_eq!(window.total, all.len(), "{prefix:?}");
        }
    }
}

async fn many(store: &SharedStore, root: &str) {
    let full = |name: &str| format!("{root}{name}");
    let [b, gone, a] = ["b/1", "a/1", "a"].map(full);
    let keys = [key(&b), key(&gone), key(&a), key(&b)];
    let many = store.get_many(&keys).await.unwrap();
    let values: Vec<_> = many
        .iter()
        .map(|entry| {
            entry
                .as_ref()
                .map(|entry| (entry.key.as_str(), &entry.value[..]))
        })
        .collect();
    let (a, b) = (
        Some((a.as_str(), a.as_bytes())),
        Some((b.as_str(), b.as_bytes())),
    );
    assert_eq!(values, [b, None, a, b]);
}
