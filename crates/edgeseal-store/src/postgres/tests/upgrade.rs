//! Releases with neighbouring layouts side by side: this one, and later ones made up of further
//! steps.

use super::{super::schema::SchemaError, *};

/// What the next release adds, and the one after it.
const SECOND: &str = "ALTER TABLE entry ADD COLUMN added text";
const THIRD: &str = "CREATE TABLE third (one integer)";
/// Of this release; its steps are not run again.
const FIRST: &str = "";

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
    reports.exchange("old", b"{}").await.unwrap();
    let newer = session(&server, &schema).await;
    let migrate = async |steps: &[&str]| {
        let client = &newer.client;
        schema::migrate_by(client, &schema, steps).await
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
    reports.exchange("old", b"{}").await.unwrap();

    // Once the old ones are gone, the release after the next may follow.
    reports.withdraw("old").await.unwrap();
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
