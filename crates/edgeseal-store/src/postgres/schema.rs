//! The tables and functions: created, and migrated from release to release.

use tokio_postgres::Client;

use super::connect::SqlError;
use crate::{Fault, nodes::LIVE_MS};

/// A step of the layout; a release makes one at most. A step must leave in place what the release
/// before it reads and writes, because the two run side by side during an upgrade; what becomes
/// superfluous goes one release later (CONTRIBUTING.md, "Change the layout of the database").
const MIGRATIONS: [&str; 1] = [concat!(
    include_str!("1.sql"),
    include_str!("functions.sql"),
    include_str!("copy.sql"),
    include_str!("reports.sql")
)];

/// The newest layout that this release knows.
pub(super) fn known() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// A later release that this one cannot run beside wrote it.
    #[error("it was written by a newer release (schema {found}, this one knows up to {known})")]
    Newer { found: i32, known: i32 },
    /// Processes of a release that cannot run beside this one use it.
    #[error(
        "nodes of an older release use it (they know schema {in_use}, this one brings {known}): upgrade them to the \
         releases between, one after the other, or stop them"
    )]
    InUseByOlder { in_use: i32, known: i32 },
    /// There are none.
    #[error("there is no store in it")]
    Missing,
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// The layout that was found and the newest one that this release knows, if that is why a database
/// cannot be opened.
pub(crate) fn newer_schema(fault: &Fault) -> Option<(i64, i64)> {
    match fault.cause.as_ref()?.downcast_ref()? {
        SchemaError::Newer { found, known } => Some((i64::from(*found), i64::from(*known))),
        SchemaError::InUseByOlder { .. } | SchemaError::Missing | SchemaError::Sql(_) => None,
    }
}

impl From<tokio_postgres::Error> for SchemaError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error.into())
    }
}

/// Creates the tables, or brings them up to date, all or nothing. Several processes may do so at once.
pub(super) async fn migrate(client: &Client, schema: &str) -> Result<(), SchemaError> {
    migrate_by(client, schema, &MIGRATIONS).await
}

/// As [`migrate`], by the steps that a release knows.
pub(super) async fn migrate_by(
    client: &Client,
    schema: &str,
    steps: &[&str],
) -> Result<(), SchemaError> {
    let known = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    if is_usable(version(client, schema).await?, known)? {
        return Ok(());
    }
    // Even if the schema exists, creating it needs a right that is not needed otherwise.
    let exists = "SELECT FROM pg_namespace WHERE nspname = $1";
    let create_schema = match client.query_opt(exists, &[&schema]).await? {
        Some(_) => String::new(),
        None => format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\";"),
    };
    // Two processes that create them at once get in each other's way: one fails, and tries again.
    let create = format!(
        "{create_schema}
         CREATE TABLE IF NOT EXISTS \"{schema}\".edgeseal (
             one     integer PRIMARY KEY CHECK (one = 1),
             version integer NOT NULL
         );
         INSERT INTO \"{schema}\".edgeseal VALUES (1, 0) ON CONFLICT DO NOTHING;"
    );
    if client.batch_execute(&create).await.is_err() {
        client.batch_execute(&create).await?;
    }
    // If a step fails, the connection ends and with it the transaction.
    client.batch_execute("BEGIN").await?;
    let lock = format!("SELECT version FROM \"{schema}\".edgeseal FOR UPDATE");
    client.execute(&lock, &[]).await?;
    let found = version(client, schema).await?;
    if is_usable(found, known)? {
        client.batch_execute("COMMIT").await?;
        return Ok(());
    }
    if found > 0 {
        refuse_beside_older(client, schema, known).await?;
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in steps.iter().skip(done) {
        client.batch_execute(step).await?;
    }
    let update = format!("UPDATE \"{schema}\".edgeseal SET version = $1");
    client.execute(&update, &[&known]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Whether the tables are there and of this release, without changing anything.
pub(super) async fn check(client: &Client, schema: &str) -> Result<(), SchemaError> {
    match version(client, schema).await? {
        0 => Err(SchemaError::Missing),
        found => is_usable(found, known()).map(drop),
    }
}

/// Whether a release that knows the layout `known` uses `found` as it is. The next layout, which a
/// neighbouring release brings, has everything that this release needs.
fn is_usable(found: i32, known: i32) -> Result<bool, SchemaError> {
    if found > known + 1 {
        return Err(SchemaError::Newer { found, known });
    }
    Ok(found >= known)
}

/// Refuses to bring a layout beside which processes that are alive cannot run.
async fn refuse_beside_older(client: &Client, schema: &str, known: i32) -> Result<(), SchemaError> {
    let select = format!(
        "SELECT min(known_schema) FROM \"{schema}\".report
         WHERE at > clock_timestamp() - $1::bigint * interval '1 millisecond'"
    );
    let row = client.query_one(&select, &[&LIVE_MS]).await?;
    match row.try_get::<_, Option<i32>>(0)? {
        Some(in_use) if in_use < known - 1 => Err(SchemaError::InUseByOlder { in_use, known }),
        _ => Ok(()),
    }
}

/// 0 if there is none yet.
async fn version(client: &Client, schema: &str) -> Result<i32, SqlError> {
    let exists = client
        .query_one(
            "SELECT to_regclass($1) IS NOT NULL",
            &[&format!("\"{schema}\".edgeseal")],
        )
        .await?;
    if !exists.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let select = format!("SELECT version FROM \"{schema}\".edgeseal");
    Ok(client.query_one(&select, &[]).await?.try_get(0)?)
}
