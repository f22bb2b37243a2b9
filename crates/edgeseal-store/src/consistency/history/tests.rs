use std::sync::Arc;

use bytes::Bytes;
use edgeseal_core::AccountId;
use edgeseal_testing::{clock::now, postgres::PostgresServer};

use super::*;
use crate::{
    LogWrite, SharedStore, Txn, Write,
    memory::MemoryStore,
    open::{StoreUrl, open},
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn name(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

/// A change of a domain in its place.
fn change(domain: &str, at: Timestamp) -> LogWrite {
    let record = HistoryRecord {
        at,
        access_key: "key".to_owned(),
        action: "Test".to_owned(),
        environment: None,
        before: None,
        after: None,
        before_companion: None,
        after_companion: None,
        certificate: None,
        companion: None,
        failed: None,
        request_id: "r".to_owned(),
    };
    LogWrite::history(&name(domain), at, "r", record::encode(&record).unwrap())
}

/// The same row elsewhere, or another row in the same place.
fn altered(write: LogWrite, alter: impl FnOnce(&mut String, &mut String, &mut Bytes)) -> LogWrite {
    let LogWrite::Append {
        log,
        mut scope,
        name: mut row,
        mut value,
    } = write
    else {
        unreachable!("it is appended")
    };
    alter(&mut scope, &mut row, &mut value);
    LogWrite::Append {
        log,
        scope,
        name: row,
        value,
    }
}

async fn write(store: &SharedStore, keys: &[Key], log: Vec<LogWrite>) {
    let puts = keys.iter().map(|key| Write::put(key.clone(), Bytes::new()));
    let txn = Txn {
        write: puts.collect(),
        log,
        ..Txn::default()
    };
    store.commit(txn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_engine_shows_what_is_wrong_with_the_history() {
    let (server, home) = (PostgresServer::shared(), tempfile::tempdir().unwrap());
    let url: StoreUrl = server.url("history").parse().unwrap();
    let file = StoreUrl::Sqlite(home.path().join("store.db"));
    for store in [
        Arc::new(MemoryStore::new()) as SharedStore,
        open(&file, now).await.unwrap(),
        open(&url, now).await.unwrap(),
    ] {
        let at = now();
        let long_ago = at.plus_ms(-90 * DAY_MS);
        let deleted = Key::deleted_domain(&AccountId::from_random(1), &name("gone.example"));
        let keys = [Key::domain(&name("there.example")), deleted];
        let sound = vec![
            change("there.example", at),
            change("there.example", long_ago),
            change("gone.example", at),
            change("forgotten.example", long_ago),
        ];
        write(&store, &keys, sound).await;
        let found = check_history(&*store, at).await.unwrap();
        assert_eq!(found.findings, []);
        assert_eq!((found.domains, found.changes), (3, 4));

        let there = || change("there.example", at.plus_ms(1));
        let later = at.plus_ms(2);
        let wrong = vec![
            altered(there(), |_, _, value| *value = Bytes::from_static(b"?")),
            altered(there(), |_, row, _| *row = row_name(later, "r")),
            altered(there(), |scope, _, _| "No name".clone_into(scope)),
            change("nowhere.example", at),
        ];
        write(&store, &[], wrong).await;
        let found = check_history(&*store, at).await.unwrap();
        assert_eq!((found.domains, found.changes), (5, 8));
        let found = found.findings.iter();
        let found: Vec<String> = found.map(|it| format!("{}: {}", it.key, it.what)).collect();
        let first = row_name(at.plus_ms(1), "r");
        let expected = [
            "history/No name: it is not of a domain".to_owned(),
            "history/nowhere.example: its domain is not there, and was not deleted".to_owned(),
            format!(
                "history/there.example/{}: it is the change {first}",
                row_name(later, "r")
            ),
            format!("history/there.example/{first}: it does not read"),
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn a_change_after_the_last_commit_is_wrong() {
    let LogWrite::Append {
        scope, name, value, ..
    } = change("there.example", now())
    else {
        unreachable!("it is appended")
    };
    let row = LogRow {
        scope,
        name,
        revision: Revision(7),
        value,
    };
    assert_eq!(problem(&row, Revision(7)), None);
    let found = problem(&row, Revision(6));
    assert_eq!(
        found.as_deref(),
        Some("it is of revision 7, after the last one")
    );
}
