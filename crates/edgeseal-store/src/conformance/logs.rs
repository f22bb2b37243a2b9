//! The audit and the history.

use super::*;
use crate::{HISTORY_MAX, Log, LogPage, LogRange, LogRow, LogWrite};

fn append(log: Log, scope: &str, name: &str, value: &str) -> LogWrite {
    LogWrite::Append {
        log,
        scope: scope.to_owned(),
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn remove(log: Log, scope: &str, name: &str) -> LogWrite {
    LogWrite::Remove {
        log,
        scope: scope.to_owned(),
        name: name.to_owned(),
    }
}

fn all(log: Log, scope: &str) -> LogRange<'_> {
    LogRange {
        log,
        scope,
        after: "",
        before: None,
        newest_first: false,
    }
}

async fn log(store: &SharedStore, log: impl Into<Vec<LogWrite>>) -> Revision {
    let txn = Txn {
        log: log.into(),
        ..Txn::default()
    };
    store.commit(txn).await.unwrap()
}

fn names(page: &LogPage) -> Vec<&str> {
    page.rows.iter().map(|row| row.name.as_str()).collect()
}

pub(super) async fn are_written_with_the_commit(store: &SharedStore) {
    let before = commit(store, [put("a", "1")]).await;
    let rows = [
        append(Log::Audit, "1", "1-a", "one"),
        append(Log::Audit, "2", "1-a", "other"),
        append(Log::History, "d.example", "1-a", "change"),
    ];
    let refused = Txn {
        expect: vec![Expect::Absent(key("a"))],
        log: rows.to_vec(),
        ..Txn::default()
    };
    let refused = store.commit(refused).await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    for which in Log::ALL {
        let scopes = store.log_scopes(which, "", 10).await.unwrap();
        assert_eq!(scopes, Vec::<String>::new(), "{which:?}");
    }
    let txn = Txn {
        write: vec![put("a", "2")],
        log: rows.to_vec(),
        ..Txn::default()
    };
    let committed = store.commit(txn).await.unwrap();
    let history = store.read_log(all(Log::History, "d.example"), 10).await;
    let history = history.unwrap();
    let change = LogRow {
        scope: "d.example".to_owned(),
        name: "1-a".to_owned(),
        revision: committed,
        value: Bytes::from_static(b"change"),
    };
    assert_eq!(history.rows, [change]);
    assert!(!history.has_more && history.revision >= committed);
    // Each audit record has a revision between the two commits, in order.
    let audit = store.audit_since(before, 10).await.unwrap();
    let values: Vec<&[u8]> = audit.rows.iter().map(|row| &row.value[..]).collect();
    assert_eq!(values, [&b"one"[..], b"other"]);
    assert!(before < audit.rows[0].revision);
    assert!(audit.rows[0].revision < audit.rows[1].revision);
    assert!(audit.rows[1].revision <= committed);
    // A follower of keys hears of the key only.
    let changes = store.changes(before, &[""], 10).await.unwrap();
    assert_eq!(changes.items.len(), 1);
    assert_eq!(changes.items[0].revision, committed);
    assert_eq!(changes.through, committed);
    let expected = Txn {
        expect: vec![Expect::Unchanged(key("a"), committed)],
        ..writes([put("a", "3")])
    };
    assert!(store.commit(expected).await.unwrap() > committed);
}

pub(super) async fn are_read_in_order(store: &SharedStore) {
    for n in 0..10 {
        let scope = if n % 3 == 2 { "2" } else { "1" };
        log(
            store,
            [append(Log::Audit, scope, &format!("{n}-x"), "value")],
        )
        .await;
    }
    assert_eq!(
        store.log_scopes(Log::Audit, "", 10).await.unwrap(),
        ["1", "2"]
    );
    assert_eq!(store.log_scopes(Log::Audit, "", 1).await.unwrap(), ["1"]);
    assert_eq!(store.log_scopes(Log::Audit, "1", 9).await.unwrap(), ["2"]);
    let of_one = ["0-x", "1-x", "3-x", "4-x", "6-x", "7-x", "9-x"];
    let page = store.read_log(all(Log::Audit, "1"), 10).await.unwrap();
    assert_eq!((names(&page), page.has_more), (of_one.to_vec(), false));
    for (after, before, newest_first, limit, expected, more) in [
        ("", None, false, 2, &of_one[..2], true),
        ("1-x", None, false, 9, &of_one[2..], false),
        ("1", Some("4"), false, 9, &of_one[1..3], false),
        ("1", Some("7"), false, 2, &of_one[1..3], true),
        ("7", Some("1"), false, 9, &[], false),
    ] {
        let range = LogRange {
            after,
            before,
            newest_first,
            ..all(Log::Audit, "1")
        };
        let page = store.read_log(range, limit).await.unwrap();
        assert_eq!((names(&page), page.has_more), (expected.to_vec(), more));
        let backwards = LogRange {
            newest_first: true,
            ..range
        };
        let mut page = store.read_log(backwards, 10).await.unwrap();
        page.rows.reverse();
        assert_eq!(&names(&page)[..expected.len()], expected);
    }
    assert_eq!(
        audited(store).await,
        (0..10).map(|n| format!("{n}-x")).collect::<Vec<_>>()
    );
    let wanted = ["3-x", "2-x", "0-x"].map(str::to_owned);
    let rows = store.get_log_rows(Log::Audit, "1", &wanted).await.unwrap();
    let rows = rows.into_iter().map(|row| row.map(|row| row.name));
    let found = [Some("3-x"), None, Some("0-x")].map(|name| name.map(str::to_owned));
    assert!(rows.eq(found));
    log(
        store,
        [
            remove(Log::Audit, "1", "3-x"),
            remove(Log::Audit, "2", "3-x"),
        ],
    )
    .await;
    let rows = store.get_log_rows(Log::Audit, "1", &wanted[..1]).await;
    assert_eq!(rows.unwrap(), [None]);
}

/// The names of all audit records, in the order of their revisions.
async fn audited(store: &SharedStore) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = Revision(0);
    loop {
        let page = store.audit_since(after, 3).await.unwrap();
        found.extend(page.rows.iter().map(|row| row.name.clone()));
        match page.rows.last().filter(|_| page.has_more) {
            Some(last) => after = last.revision,
            None => break found,
        }
    }
}

/// A record of the same name does not replace one, and the others of its commit are written.
pub(super) async fn keep_what_is_recorded(store: &SharedStore) {
    log(store, [append(Log::Audit, "3", "4-x", "new")]).await;
    let page = store.read_log(all(Log::Audit, "3"), 10).await.unwrap();
    let kept = page.rows[0].clone();
    let other = append(Log::Audit, "3", "5-x", "other");
    log(store, [append(Log::Audit, "3", "4-x", "again"), other]).await;
    let page = store.read_log(all(Log::Audit, "3"), 10).await.unwrap();
    assert_eq!(names(&page), ["4-x", "5-x"]);
    assert_eq!(page.rows[0], kept);
    let newer = store.audit_since(kept.revision, 10).await.unwrap();
    assert_eq!(names(&newer), ["5-x"]);
}

pub(super) async fn keep_the_newest_changes(store: &SharedStore) {
    let name = |n: usize| format!("{n:015}-x");
    for n in 0..HISTORY_MAX + 5 {
        log(
            store,
            [append(Log::History, "d.example", &name(n), "change")],
        )
        .await;
    }
    log(
        store,
        [append(Log::History, "e.example", &name(0), "other")],
    )
    .await;
    let page = store.read_log(all(Log::History, "d.example"), 1000).await;
    let page = page.unwrap();
    let kept: Vec<String> = (5..HISTORY_MAX + 5).map(name).collect();
    assert_eq!(names(&page), kept);
    // A row of the same name is replaced.
    let last = name(HISTORY_MAX + 4);
    let again = log(store, [append(Log::History, "d.example", &last, "again")]).await;
    let page = store.read_log(all(Log::History, "d.example"), 1000).await;
    let page = page.unwrap();
    assert_eq!(names(&page), kept);
    let row = page.rows.last().unwrap();
    assert_eq!((&row.value[..], row.revision), (&b"again"[..], again));
    let other = store.read_log(all(Log::History, "e.example"), 10).await;
    assert_eq!(other.unwrap().rows.len(), 1);
    // Malformed: nothing is written.
    let twice = append(Log::History, "e.example", "1-x", "1");
    let long = append(Log::Audit, "1", "1-x", &"x".repeat(VALUE_BYTES_MAX + 1));
    for malformed in [
        vec![twice.clone(), twice],
        vec![long],
        vec![append(Log::Audit, "1", "1-\0", "nul")],
    ] {
        let txn = Txn {
            log: malformed,
            ..Txn::default()
        };
        let result = store.commit(txn).await;
        assert!(matches!(result, Err(CommitError::Fault(_))), "{result:?}");
    }
}
