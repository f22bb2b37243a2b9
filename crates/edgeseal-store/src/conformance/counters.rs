//! Counters: the engine adds to them when it commits.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::{commit, delete, key, put, state, value, writes};
use crate::{CommitError, Expect, Revision, SharedStore, Txn, Write};

fn add(name: &str, by: i64, at_most: u64) -> Write {
    let key = key(name);
    Write::Add { key, by, at_most }
}

pub(super) async fn are_conditions(store: &SharedStore) {
    let max = u64::MAX.to_string();
    let first = commit(
        store,
        [
            put("n", "7"),
            put("m", &max),
            put("text", "seven"),
            put("gone", "1"),
        ],
    )
    .await;
    commit(store, [delete("gone")]).await;
    for (write, found) in [
        (add("n", 3, 10), Ok("10")),
        (add("n", 1, 10), Err(())),
        (add("n", 0, 1), Ok("10")),
        // What is above its limit may shrink.
        (add("n", -4, 1), Ok("6")),
        (add("n", -9, u64::MAX), Ok("0")),
        (add("n", -1, u64::MAX), Ok("0")),
        (add("n", i64::MAX, u64::MAX), Ok("9223372036854775807")),
        (add("m", 1, u64::MAX), Ok(max.as_str())),
        (add("absent", 1, 10), Err(())),
        (add("absent", -1, 10), Err(())),
        (add("gone", 1, 10), Err(())),
        (add("text", 1, 10), Err(())),
    ] {
        let label = format!("{write:?}");
        let name = write.key().clone();
        let before = state(store).await;
        match (store.commit(writes([put("w", &label), write])).await, found) {
            (Ok(revision), Ok(sum)) => {
                let entry = store.get(&name).await.unwrap().unwrap();
                assert_eq!(
                    (&entry.value[..], entry.revision),
                    (sum.as_bytes(), revision)
                );
                assert_eq!(value(store, "w").await, Some(label));
                let seen = store
                    .changes(Revision(revision.0 - 1), &["n", "m"], 9)
                    .await;
                assert_eq!(seen.unwrap().items[0].value, Some(entry.value));
            }
            (Err(CommitError::Conflict { key }), Err(())) => {
                assert_eq!(key, name, "{label}");
                assert_eq!(state(store).await, before, "{label}: all or nothing");
            }
            (result, _) => panic!("{label}: {result:?}"),
        }
    }
    // Expectations go first.
    let txn = Txn {
        expect: vec![Expect::Unchanged(key("n"), first)],
        write: vec![add("absent", 1, 1)],
        ..Txn::default()
    };
    let result = store.commit(txn).await;
    assert!(matches!(result, Err(CommitError::Conflict { key: found }) if found == key("n")));
    let twice = store.commit(writes([add("n", 1, 99), put("n", "1")])).await;
    assert!(matches!(twice, Err(CommitError::Fault(_))), "{twice:?}");
}

/// Many that add at the same moment get in one another's way only where the limit is.
pub(super) async fn end_at_their_limit(store: &SharedStore) {
    const TASKS: usize = 32;
    const STEPS: usize = 20;
    const LIMIT: usize = 500;
    commit(store, [put("n", "0")]).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut added = Vec::new();
            for step in 0..STEPS {
                let name = format!("d/{task}-{step}");
                let write = writes([add("n", 1, LIMIT as u64), put(&name, "1")]);
                match store.commit(write).await {
                    Ok(_) => added.push(name),
                    Err(CommitError::Conflict { key: found }) => assert_eq!(found, key("n")),
                    Err(CommitError::Fault(fault)) => panic!("{fault:?}"),
                }
            }
            added
        });
    }
    let added: BTreeSet<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(added.len(), LIMIT);
    assert_eq!(value(store, "n").await, Some(LIMIT.to_string()));
    let there = store.list("d/", None, LIMIT).await.unwrap();
    let there = there.entries.into_iter().map(|entry| entry.key.to_string());
    assert!(there.eq(added), "what was refused is not there");
}
