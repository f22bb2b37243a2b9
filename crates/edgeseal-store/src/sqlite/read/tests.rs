use rusqlite::StatementStatus;

use super::*;
use crate::{
    SharedStore, Write,
    conformance::{commit, delete, put},
    sqlite::SqliteStore,
};

#[tokio::test]
async fn a_listing_reads_no_rows_behind_its_prefix() {
    const DELETED: usize = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store: SharedStore = Arc::new(SqliteStore::open(&path).unwrap());
    let names: Vec<String> = (0..DELETED).map(|n| format!("b/{n}")).collect();
    let writes = |write: fn(&str) -> Write| names.iter().map(|n| write(n)).collect::<Vec<_>>();
    commit(&store, writes(|name| put(name, "1"))).await;
    commit(&store, writes(delete)).await;
    let reader = connect(&path).unwrap();
    assert!(list(&reader, "a/", None, 10).unwrap().entries.is_empty());
    let listed = reader.prepare_cached(&list_sql("a/", ">=")).unwrap();
    let steps = listed.get_status(StatementStatus::VmStep);
    assert!((1..100).contains(&steps), "{steps} steps of SQLite");
}
