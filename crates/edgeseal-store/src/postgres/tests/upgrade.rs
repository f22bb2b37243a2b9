//! Releases with neighbouring layouts side by side: this one, and later ones made up of further
//! steps.

use std::time::Duration;

use super::{super::schema::SchemaError, *};
use crate::reports::RunId;

/// What the next release adds, and the one after it.
const SECOND: &str = "ALTER TABLE entry ADD COLUMN added text";
const THIRD: &str = "CREATE TABLE third (one integer)";
/// Of this release; its steps are not run again.
const FIRST: &str = "";
const RUN: RunId = RunId(1);
const PATIENCE: Duration = Duration::from_secs(20);

async fn session(server: &PostgresServer, schema: &str) -> connect::Session {
    let url: PostgresUrl = server.url(schema).parse().unwrap();
    Connector::new(url).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbouring_releases_run_side_by_side() {
    let server = PostgresServer::shared();
    let schema = schema();
    let old = open(&server, &schema).await;
    let reports = old.reports().unwrap();
    reports.exchange("old", RUN, b"{}").await.unwrap();
    let newer = session(&server, &schema).await;
    let migrate = async |steps: &[&str]| {
        let client = &newer.client;
        schema::migrate_by(client, &schema, steps, PATIENCE).await
    };
    // Two steps at once would leave the old node behind.
    let skipped = migrate(&[FIRST, SECOND, THIRD]).await;
    assert!(
        matches!(
            skipped,
            Err(SchemaError::InUseByOlder {
                in_use: 1,
                known: 3
            })
        ),
        "{skipped:?}"
    );
    newer.client.batch_execute("ROLLBACK").await.unwrap();

    migrate(&[FIRST, SECOND]).await.unwrap();
    // The old one goes on, and starts again.
    let first = commit(&old, [put("d/a", "1")]).await;
    let again = open(&server, &schema).await;
    let second = commit(&again, [put("d/b", "1")]).await;
    assert!(second > first);
    assert_eq!(state(&old).await, state(&again).await);
    reports.exchange("old", RUN, b"{}").await.unwrap();

    // Once the old ones are gone, the release after the next may follow.
    reports.withdraw("old", RUN).await.unwrap();
    migrate(&[FIRST, SECOND, THIRD]).await.unwrap();
    let url = server.url(&schema).parse().unwrap();
    let opened = crate::open::open(&StoreUrl::Postgres(Box::new(url)), now).await;
    let error = opened.err().unwrap();
    assert!(
        matches!(
            error,
            OpenError::NewerDatabase {
                found: 3,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

/// A crash of the database loses what its nodes reported, not that they are there.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_count_after_the_database_has_lost_their_reports() {
    let server = PostgresServer::shared();
    let schema = schema();
    let old = open(&server, &schema).await;
    let reports = old.reports().unwrap();
    reports.exchange("old", RUN, b"{}").await.unwrap();
    let migrate = async || {
        let newer = session(&server, &schema).await;
        let steps = [FIRST, SECOND, THIRD];
        schema::migrate_by(&newer.client, &schema, &steps, PATIENCE).await
    };
    let change = async |statements: &str| {
        let client = session(&server, &schema).await.client;
        client.batch_execute(statements).await.unwrap();
    };
    change("TRUNCATE report, reports_since").await;
    let refused = migrate().await;
    assert!(
        matches!(refused, Err(SchemaError::InUseByOlder { .. })),
        "{refused:?}"
    );
    // Nobody is left who would report: the attempt began to count how long they are silent.
    change("UPDATE reports_since SET at = at - interval '61 seconds'").await;
    migrate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_may_take_longer_than_a_call() {
    let server = PostgresServer::shared();
    let schema = schema();
    drop(open(&server, &schema).await);
    let newer = session(&server, &schema).await;
    let client = &newer.client;
    client
        .batch_execute("SET statement_timeout = 100")
        .await
        .unwrap();
    let slow = format!("{SECOND}; SELECT pg_sleep(0.5)");
    schema::migrate_by(client, &schema, &[FIRST, &slow], PATIENCE)
        .await
        .unwrap();
    let limit = client.query_one("SHOW statement_timeout", &[]).await;
    assert_eq!(
        limit.unwrap().get::<_, String>(0),
        "100ms",
        "for the step only"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_locks_and_says_whose() {
    let server = PostgresServer::shared();
    let schema = schema();
    let store = open(&server, &schema).await;
    commit(&store, [put("d/a", "1")]).await;
    let reader = session(&server, &schema).await;
    let hold = "SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT count(*) FROM entry";
    reader.client.batch_execute(hold).await.unwrap();
    let newer = session(&server, &schema).await;
    let migrate = async |patience| {
        let client = &newer.client;
        schema::migrate_by(client, &schema, &[FIRST, SECOND], patience).await
    };
    let locked = migrate(Duration::ZERO).await.unwrap_err().to_string();
    let pid = reader
        .client
        .query_one("SELECT pg_backend_pid()", &[])
        .await;
    let pid: i32 = pid.unwrap().get(0);
    let expected = format!("connection {pid} of edgeseal in a transaction of ");
    assert!(locked.contains(&expected), "{locked}");
    // While it waits, the others go on: reads and writes are not queued behind it for long.
    let waiting = migrate(PATIENCE);
    let others = async {
        commit(&store, [put("d/b", "1")]).await;
        reader.client.batch_execute("COMMIT").await.unwrap();
    };
    let (migrated, ()) = tokio::join!(waiting, others);
    migrated.unwrap();
    assert_eq!(state(&store).await.len(), 2);
}
