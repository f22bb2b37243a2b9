//! How the server carries out our statements while a table grows of which it has no statistics.

use edgeseal_testing::wait::eventually;

use super::*;
use crate::conformance::delete;

const SCHEMA: &str = "plans";
const ENTRIES: usize = 10_000;

async fn session(server: &PostgresServer) -> connect::Session {
    let url: PostgresUrl = server.url(SCHEMA).parse().unwrap();
    Connector::new(url).unwrap().connect().await.unwrap()
}

/// Reads and writes by all statements that calls use, often enough that their plans are kept.
async fn work(store: &SharedStore) {
    let first = commit(store, [put("d/counter", "0")]).await;
    for n in 0..10 {
        let txn = Txn {
            expect: vec![
                Expect::Absent(key("d/none")),
                Expect::Absent(key("d/other")),
            ],
            write: vec![
                put(&format!("d/{n}"), "3"),
                Write::Add {
                    key: key("d/counter"),
                    by: 1,
                    at_most: u64::MAX,
                },
                delete("d/77"),
            ],
            ..Txn::default()
        };
        store.commit(txn).await.unwrap();
        store.get_many(&[key("d/1"), key("d/none")]).await.unwrap();
        store.list("d/5", None, 10).await.unwrap();
        store.changes(first, &["d/"], 10).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reads_all_of_a_table_that_has_grown() {
    let server = PostgresServer::start();
    let store = open(&server, SCHEMA).await;
    let observer = session(&server).await;
    // Statistics, as any change of the table, would have the plans made again.
    let keep = "ALTER TABLE entry SET (autovacuum_enabled = false)";
    observer.client.batch_execute(keep).await.unwrap();
    work(&store).await;
    let grow = format!(
        "INSERT INTO entry SELECT 'e/' || n, '1', 1, NULL FROM generate_series(1, {ENTRIES}) AS n"
    );
    observer.client.batch_execute(&grow).await.unwrap();
    work(&store).await;
    drop(store);

    // A session has counted what it read when it ends.
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'edgeseal' AND pid <> pg_backend_pid()";
    eventually("the sessions end", || async {
        let others: i64 = observer.client.query_one(others, &[]).await.unwrap().get(0);
        (others == 0).then_some(())
    })
    .await;
    let read = "SELECT seq_tup_read FROM pg_stat_all_tables
        WHERE schemaname = $1 AND relname = 'entry'";
    let row = observer.client.query_one(read, &[&SCHEMA]).await.unwrap();
    let rows = row.get::<_, i64>(0);
    assert!(rows < ENTRIES as i64, "{rows} rows in sequential scans");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_is_compiled() {
    let server = PostgresServer::shared();
    let session = session(&server).await;
    let jit = session.client.query_one("SHOW jit", &[]).await.unwrap();
    assert_eq!(jit.get::<_, String>(0), "off");
}
