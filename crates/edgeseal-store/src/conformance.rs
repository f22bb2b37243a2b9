//! The conformance suite, which every engine must pass.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use bytes::Bytes;
use edgeseal_core::Timestamp;
use tokio::task::JoinSet;

use crate::{
    Change, Changes, ChangesError, CommitError, Expect, Key, PAGE_MAX, Pages, Revision,
    SharedStore, Txn, VALUE_BYTES_MAX, Write,
};

mod callers;
mod counters;
mod faults;
mod follower;
mod get_many;
mod handles;
mod leases;
mod limits;
mod list;
mod logs;
mod monotonic_reads;
mod reverse_list;
mod select;

pub(crate) use faults::Faults;
pub(crate) use follower::Follower;
pub(crate) use handles::Handles;

/// How many deletes the stores under test keep in their change feed.
pub(crate) const TOMBSTONES_KEPT: usize = 16;

/// Runs all tests; `make` returns a new, empty store that keeps [`TOMBSTONES_KEPT`] deletes.
pub(crate) async fn suite(make: impl AsyncFn() -> SharedStore) {
    values(&make().await).await;
    expectations(&make().await).await;
    malformed_transactions(&make().await).await;
    limits::of_pages(&make().await).await;
    limits::of_transactions(&make().await).await;
    limits::without_writes(&make().await).await;
    concurrent_committers(&make().await).await;
    counter_loses_nothing(&make().await).await;
    counters::are_conditions(&make().await).await;
    counters::end_at_their_limit(&make().await).await;
    get_many::is_one_snapshot(&make().await).await;
    get_many::and_lists(&make().await).await;
    monotonic_reads::never_go_back(&make().await).await;
    list::pages_cover_all(&make().await, "").await;
    list::pages_cover_all(&make().await, crate::key::LISTING_PREFIX).await;
    reverse_list::is_the_list_reversed(&make().await, "").await;
    reverse_list::is_the_list_reversed(&make().await, crate::key::LISTING_PREFIX).await;
    select::by_name_and_summary(&make().await, "").await;
    select::by_name_and_summary(&make().await, crate::key::LISTING_PREFIX).await;
    logs::are_written_with_the_commit(&make().await).await;
    logs::are_read_in_order(&make().await).await;
    logs::keep_what_is_recorded(&make().await).await;
    logs::keep_the_newest_changes(&make().await).await;
    leases::pass_on(&make().await).await;
    changes_in_order(&make().await).await;
    commits_stay_whole(&make().await).await;
    changes_wait(&make().await).await;
    expiry(&make().await).await;
    compaction(&make().await).await;
    compaction_during_a_listing(&make().await).await;
    for seed in 0..4 {
        let store = make().await;
        follower::converges(&store, &store, seed).await;
    }
}

/// The time of the system.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

pub(crate) fn key(text: &str) -> Key {
    Key::from_stored(text)
}

pub(crate) fn put(name: &str, value: &str) -> Write {
    Write::Put {
        key: key(name),
        value: Bytes::copy_from_slice(value.as_bytes()),
        expires: None,
    }
}

pub(crate) fn delete(name: &str) -> Write {
    Write::Delete(key(name))
}

pub(crate) fn writes(write: impl Into<Vec<Write>>) -> Txn {
    Txn {
        write: write.into(),
        ..Txn::default()
    }
}

pub(crate) async fn commit(store: &SharedStore, write: impl Into<Vec<Write>>) -> Revision {
    store.commit(writes(write)).await.unwrap()
}

/// The whole state: key → value and revision.
pub(crate) async fn state(store: &SharedStore) -> BTreeMap<String, (Bytes, Revision)> {
    let entries = Pages::new(&**store, "", PAGE_MAX).collect().await.unwrap();
    entries
        .into_iter()
        .map(|entry| (entry.key.to_string(), (entry.value, entry.revision)))
        .collect()
}

async fn value(store: &SharedStore, name: &str) -> Option<String> {
    let entry = store.get(&key(name)).await.unwrap()?;
    assert_eq!(entry.key, key(name));
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn values(store: &SharedStore) {
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    let longest = "x".repeat(VALUE_BYTES_MAX);
    let one = commit(
        store,
        [put("a", "1"), put("empty", ""), put("long", &longest)],
    )
    .await;
    assert_eq!(value(store, "a").await.as_deref(), Some("1"));
    assert_eq!(value(store, "empty").await.as_deref(), Some(""));
    assert!(value(store, "long").await == Some(longest));
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, one);

    let two = commit(store, [put("a", "2"), delete("empty"), delete("never")]).await;
    assert!(two > one);
    let a = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((&a.value[..], a.revision), (&b"2"[..], two));
    assert_eq!(value(store, "empty").await, None);
    let long = store.get(&key("long")).await.unwrap().unwrap();
    assert_eq!(long.revision, one);

    let three = commit(store, [put("empty", "again")]).await;
    let again = store.get(&key("empty")).await.unwrap().unwrap();
    assert_eq!((&again.value[..], again.revision), (&b"again"[..], three));
}

async fn expectations(store: &SharedStore) {
    let absent = |name| Expect::Absent(key(name));
    let unchanged = |name, revision| Expect::Unchanged(key(name), revision);
    let one = commit(store, [put("a", "1"), put("gone", "1")]).await;
    let two = commit(store, [put("b", "1"), delete("gone")]).await;
    let later = Revision(two.0 + 1);
    for (expect, conflict) in [
        (vec![], None),
        (vec![absent("c"), absent("gone")], None),
        (vec![unchanged("a", one), unchanged("b", two)], None),
        (vec![absent("a")], Some("a")),
        (vec![absent("c"), absent("a"), absent("b")], Some("a")),
        (vec![unchanged("b", one)], Some("b")),
        (vec![unchanged("a", later)], Some("a")),
        (vec![unchanged("gone", one)], Some("gone")),
        (vec![unchanged("gone", two)], Some("gone")),
        (vec![unchanged("never", Revision(0))], Some("never")),
    ] {
        let before = state(store).await;
        let label = format!("{expect:?}");
        let txn = Txn {
            expect,
            write: vec![put("w", &label), put("x", &label), delete("x2")],
            ..Txn::default()
        };
        match (store.commit(txn).await, conflict) {
            (Ok(revision), None) => {
                let w = store.get(&key("w")).await.unwrap().unwrap();
                assert_eq!((&w.value[..], w.revision), (label.as_bytes(), revision));
            }
            (Err(CommitError::Conflict { key: found }), Some(wanted)) => {
                assert_eq!(found, key(wanted), "{label}");
                assert_eq!(state(store).await, before, "{label}: all or nothing");
            }
            (result, _) => panic!("{label}: {result:?}"),
        }
    }
}

async fn malformed_transactions(store: &SharedStore) {
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    for write in [
        vec![put("a", "1"), put("a", "2")],
        vec![put("a", "1"), delete("a")],
        vec![put("a", "1"), put("b", &long)],
        vec![put("a\0b", "1")],
    ] {
        let result = store.commit(writes(write)).await;
        assert!(matches!(result, Err(CommitError::Fault(_))), "{result:?}");
    }
    let expecting = Txn {
        expect: vec![Expect::Absent(key("a\0b"))],
        write: vec![put("a", "1")],
        ..Txn::default()
    };
    let result = store.commit(expecting).await;
    assert!(matches!(result, Err(CommitError::Fault(_))), "{result:?}");
    assert!(state(store).await.is_empty());
    assert_eq!(store.get(&key("a\0b")).await.unwrap(), None);
}

async fn concurrent_committers(store: &SharedStore) {
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut revisions = Vec::new();
            for n in 0..20 {
                let name = format!("{task}/{n}");
                let revision = commit(&store, [put(&name, "1"), put("shared", &name)]).await;
                let read = store.get(&key(&name)).await.unwrap();
                assert_eq!(read.unwrap().revision, revision, "read what was committed");
                revisions.push(revision);
            }
            assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
            revisions
        });
    }
    let all: Vec<Revision> = tasks.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 32 * 20, "no revision is given twice");
    let shared = store.get(&key("shared")).await.unwrap().unwrap();
    assert_eq!(
        Some(&shared.revision),
        all.iter().max(),
        "the last one wins"
    );
}

async fn counter_loses_nothing(store: &SharedStore) {
    const TASKS: u32 = 32;
    const STEPS: u32 = 50;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..STEPS {
                increment(&store, &key("counter")).await;
            }
        });
    }
    tasks.join_all().await;
    let sum = value(store, "counter").await;
    assert_eq!(sum, Some((TASKS * STEPS).to_string()));
}

async fn increment(store: &SharedStore, counter: &Key) {
    loop {
        let (expect, present) = match store.get(counter).await.unwrap() {
            None => (Expect::Absent(counter.clone()), 0),
            Some(entry) => {
                let text = std::str::from_utf8(&entry.value).unwrap();
                let expect = Expect::Unchanged(counter.clone(), entry.revision);
                (expect, text.parse::<u32>().unwrap())
            }
        };
        let write = vec![put(counter.as_str(), &(present + 1).to_string())];
        let expect = vec![expect];
        match store.commit(Txn::new(expect, write)).await {
            Ok(_) => return,
            Err(CommitError::Conflict { key }) => assert_eq!(&key, counter),
            Err(CommitError::Fault(fault)) => panic!("{fault:?}"),
        }
    }
}

fn change(name: &str, value: Option<&str>, revision: Revision) -> Change {
    Change {
        key: key(name),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        revision,
    }
}

async fn changes_in_order(store: &SharedStore) {
    let zero = store.list("", None, 1).await.unwrap().revision;
    let r1 = commit(store, [put("d/a", "1"), put("n/1", "x")]).await;
    let r2 = commit(store, [put("d/b", "1")]).await;
    let r3 = commit(store, [put("d/a", "2")]).await;
    let r4 = commit(store, [delete("d/b"), delete("d/never")]).await;
    let r5 = commit(store, [put("e/a", "")]).await;
    let r6 = commit(store, [put("n/2", "x")]).await;
    let a = change("d/a", Some("2"), r3);
    let b = change("d/b", None, r4);
    let e = change("e/a", Some(""), r5);
    for (after, prefixes, items) in [
        (Revision(0), vec!["d/", "e/"], vec![&a, &b, &e]),
        (zero, vec!["d/", "e/"], vec![&a, &b, &e]),
        (r1, vec!["d/"], vec![&a, &b]),
        (r2, vec!["d/b", "d/"], vec![&a, &b]),
        (r3, vec!["d/"], vec![&b]),
        (r4, vec!["d/"], vec![]),
        (r4, vec!["d/", "e/"], vec![&e]),
        (r5, vec!["d/", "e/"], vec![]),
        (r5, vec![], vec![]),
    ] {
        // An engine may also return overwritten values; the latest of each key is required.
        let Changes {
            items: all,
            through,
        } = store.changes(after, &prefixes, 100).await.unwrap();
        assert_eq!(through, r6, "{prefixes:?} after {after:?}");
        assert!(all.is_sorted_by_key(|item| item.revision));
        let latest: BTreeMap<_, _> = all.iter().map(|item| (&item.key, item)).collect();
        let mut latest: Vec<&Change> = latest.into_values().collect();
        latest.sort_by_key(|item| item.revision);
        assert_eq!(latest, items, "{prefixes:?} after {after:?}");
    }
    let never = Revision(r6.0 + 1);
    let result = store.changes(never, &["d/"], 100).await;
    assert!(
        matches!(result, Err(ChangesError::Compacted { .. })),
        "{result:?}"
    );
}

async fn commits_stay_whole(store: &SharedStore) {
    let start = store.list("", None, 1).await.unwrap().revision;
    let mut sizes = BTreeMap::new();
    for commit_number in 0..12_usize {
        let size = commit_number % 5 + 1;
        let write: Vec<Write> = (0..size)
            .map(|n| put(&format!("d/{commit_number}-{n}"), "1"))
            .chain([put(&format!("other/{commit_number}"), "1")])
            .collect();
        sizes.insert(commit(store, write).await, size);
    }
    let head = *sizes.keys().max().unwrap();
    for limit in [1, 2, 3, 7, 1000] {
        let (mut after, mut found) = (start, BTreeMap::new());
        while after < head {
            let changes = store.changes(after, &["d/"], limit).await.unwrap();
            assert!(changes.through > after, "each call gets on");
            let mut here = BTreeMap::<Revision, usize>::new();
            for item in &changes.items {
                assert!(item.revision > after && item.revision <= changes.through);
                *here.entry(item.revision).or_default() += 1;
            }
            assert!(changes.items.len() < limit + 5, "about {limit}");
            for (revision, size) in here {
                assert_eq!(found.insert(revision, size), None, "split by {limit}");
            }
            after = changes.through;
        }
        assert_eq!(found, sizes, "by {limit}");
    }
}

async fn changes_wait(store: &SharedStore) {
    let head = commit(store, [put("d/a", "1")]).await;
    let mut waiting = std::pin::pin!(store.changes(head, &["d/"], 10));
    tokio::select! {
        biased;
        early = &mut waiting => panic!("nothing was committed: {early:?}"),
        () = std::future::ready(()) => {}
    }
    // Had it not waited, it would end at the commit before this one.
    let revision = commit(store, [put("n/1", "1")]).await;
    let changes = waiting.await.unwrap();
    assert_eq!((changes.items, changes.through), (vec![], revision));
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

async fn expiry(store: &SharedStore) {
    let expiring = |name: &str, expires| Write::Put {
        key: key(name),
        value: Bytes::from_static(b"1"),
        expires: Some(at(expires)),
    };
    let written = commit(
        store,
        [
            expiring("n/10", 10),
            expiring("n/20", 20),
            expiring("n/prolonged", 10),
            expiring("n/kept", 10),
            expiring("n/deleted", 10),
            put("n/forever", "1"),
        ],
    )
    .await;
    commit(store, [expiring("n/prolonged", 30), put("n/kept", "2")]).await;
    let head = commit(store, [delete("n/deleted")]).await;

    assert_eq!(store.sweep(at(10)).await.unwrap(), 0, "only what is past");
    assert_eq!(store.sweep(at(11)).await.unwrap(), 1);
    assert_eq!(store.sweep(at(11)).await.unwrap(), 0);
    let left: Vec<String> = state(store).await.into_keys().collect();
    assert_eq!(left, ["n/20", "n/forever", "n/kept", "n/prolonged"]);
    assert_eq!(store.sweep(at(100)).await.unwrap(), 2);
    let left: Vec<String> = state(store).await.into_keys().collect();
    assert_eq!(left, ["n/forever", "n/kept"]);

    let after = commit(store, [put("d", "1")]).await;
    assert!(after > head);
    let changes = store.changes(written, &["n/"], 100).await.unwrap();
    let seen: HashSet<_> = changes.items.iter().map(|item| item.key.as_str()).collect();
    assert!(seen.contains("n/kept") && seen.contains("n/deleted"));
    assert!(
        !changes.items.iter().any(|item| item.key == key("n/10")),
        "no change"
    );
    // An expired key satisfies `Expect::Absent`.
    let txn = Txn {
        expect: vec![Expect::Absent(key("n/10"))],
        write: vec![expiring("n/10", 200)],
        ..Txn::default()
    };
    store.commit(txn).await.unwrap();
}

async fn compaction(store: &SharedStore) {
    let old = commit(store, [put("d/kept", "1")]).await;
    let mut deleted = Vec::new();
    for n in 0..TOMBSTONES_KEPT + 10 {
        let name = format!("d/{n}");
        commit(store, [put(&name, "1")]).await;
        deleted.push(commit(store, [delete(&name)]).await);
    }
    assert!(
        store.changes(old, &["d/"], 10).await.is_ok(),
        "not yet swept"
    );
    store.sweep(at(0)).await.unwrap();
    for after in [Revision(0), old, deleted[0]] {
        match store.changes(after, &["d/"], 10).await {
            Err(ChangesError::Compacted { oldest }) => {
                assert!(oldest > after);
                let rest = store.changes(oldest, &["d/"], 100).await.unwrap();
                assert_eq!(rest.items.len(), TOMBSTONES_KEPT);
            }
            other => panic!("{after:?}: {other:?}"),
        }
    }
    let recent = deleted[deleted.len() - 4];
    let changes = store.changes(recent, &["d/"], 100).await.unwrap();
    assert_eq!(changes.items.len(), 3);
    assert!(changes.items.iter().all(|item| item.value.is_none()));
    assert_eq!(
        state(store).await.into_keys().collect::<Vec<_>>(),
        ["d/kept"]
    );
}

/// Whoever goes on from a listing during which a listed key was deleted hears of it, or is told to
/// list again.
async fn compaction_during_a_listing(store: &SharedStore) {
    let names: Vec<String> = (0..30).map(|n| format!("d/{n:02}")).collect();
    commit(
        store,
        names.iter().map(|name| put(name, "1")).collect::<Vec<_>>(),
    )
    .await;
    for (deleted, kept) in [(1, true), (TOMBSTONES_KEPT + 2, false)] {
        let first = store.list("d/", None, 20).await.unwrap();
        for entry in &first.entries[..deleted] {
            commit(store, [delete(entry.key.as_str())]).await;
            store.sweep(at(0)).await.unwrap();
        }
        let last = first.entries.last().map(|entry| entry.key.clone());
        let rest = store.list("d/", last.as_ref(), 20).await.unwrap();
        assert!(!rest.has_more && rest.revision > first.revision);
        match store.changes(first.revision, &["d/"], 100).await {
            Ok(changes) if kept => {
                assert_eq!(changes.items.len(), deleted);
                assert!(changes.items.iter().all(|item| item.value.is_none()));
            }
            Err(ChangesError::Compacted { .. }) if !kept => {}
            other => panic!("{deleted} deleted: {other:?}"),
        }
    }
}
