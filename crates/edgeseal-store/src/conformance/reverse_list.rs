//! Reverse listings.

use super::{commit, delete, key, put};
use crate::{Key, SharedStore};

/// A reverse listing is the listing reversed, from any first key and with any page size.
pub(crate) async fn is_the_list_reversed(store: &SharedStore, beginning: &str) {
    let name = |n: usize| format!("{beginning}b/{n:03}");
    for n in 0..25 {
        commit(store, [put(&name(n), "v")]).await;
    }
    commit(store, [put(&format!("{beginning}a/1"), "v")]).await;
    commit(
        store,
        [
            put(&format!("{beginning}b"), "v"),
            put(&format!("{beginning}c/1"), "v"),
        ],
    )
    .await;
    commit(store, [delete(&name(7))]).await;
    let prefix = format!("{beginning}b/");
    let mut expected: Vec<String> = (0..25).filter(|n| *n != 7).map(name).collect();
    expected.reverse();
    for limit in [1, 2, 5, 24, 25, 100] {
        let (mut found, mut before): (Vec<String>, Option<Key>) = (Vec::new(), None);
        loop {
            let page = store
                .list_reverse(&prefix, before.as_ref(), limit)
                .await
                .unwrap();
            assert!(page.entries.len() <= limit);
            found.extend(page.entries.iter().map(|entry| entry.key.to_string()));
            if !page.has_more {
                break;
            }
            before = page.entries.last().map(|entry| entry.key.clone());
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
    for (before, first) in [
        (format!("{beginning}b/010"), Some(name(9))),
        (format!("{beginning}b/0105"), Some(name(10))),
        (format!("{beginning}d"), Some(name(24))),
        (format!("{beginning}a"), None),
    ] {
        let page = store
            .list_reverse(&prefix, Some(&key(&before)), 3)
            .await
            .unwrap();
        let found = page.entries.first().map(|entry| entry.key.to_string());
        assert_eq!(found, first, "before {before}");
    }
}
