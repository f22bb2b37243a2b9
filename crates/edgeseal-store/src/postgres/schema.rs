//! The tables and functions: created, and migrated from release to release.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, error::SqlState};

use super::connect::SqlError;
use crate::Fault;

/// A step of the layout; a release makes one at most. A step must leave in place what the release
/// before it reads and writes, because the two run side by side during an upgrade; what becomes
/// superfluous goes one release later (CONTRIBUTING.md, "Change the layout of the database").
const MIGRATIONS: [&str; 1] = [concat!(
    include_str!("1.sql"),
    include_str!("functions.sql"),
    include_str!("copy.sql"),
    include_str!("reports.sql")
)];

/// How long a step waits for a lock before the transaction begins anew.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the others may go on in between.
const LOCK_PAUSE: Duration = Duration::from_secs(1);
/// How long locks are waited for in all: longer than a call may take, less than a service manager
/// waits for a start. Whoever opens a store that has been used before tries again.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// How long a process that does not report any more is taken to run: longer than a fail-over takes.
/// One that ends is gone at once; only one that was killed delays a migration for so long. If the
/// database has lost the reports, the time begins with the first one after it, or with the first
/// attempt to migrate.
const IN_USE_MS: i64 = 60_000;

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
         releases between, one after the other, or stop them (one that was killed counts for a minute)"
    )]
    InUseByOlder { in_use: i32, known: i32 },
    /// Others hold locks for longer than a migration waits.
    #[error("the tables must be changed for this release, but are locked by {holders}")]
    Locked { holders: String },
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
        SchemaError::InUseByOlder { .. }
        | SchemaError::Locked { .. }
        | SchemaError::Missing
        | SchemaError::Sql(_) => None,
    }
}

impl From<tokio_postgres::Error> for SchemaError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error.into())
    }
}

/// Creates the tables, or brings them up to date, all or nothing. Several processes may do so at
/// once. A step may take as long as it needs; locks that others hold are waited for within
/// [`LOCK_PATIENCE`].
pub(super) async fn migrate(client: &Client, schema: &str) -> Result<(), SchemaError> {
    migrate_by(client, schema, &MIGRATIONS, LOCK_PATIENCE).await
}

/// As [`migrate`], by the steps that a release knows.
pub(super) async fn migrate_by(
    client: &Client,
    schema: &str,
    steps: &[&str],
    patience: Duration,
) -> Result<(), SchemaError> {
    let known = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let found = version(client, schema).await?;
    if is_usable(found, known)? {
        return Ok(());
    }
    if found == 0 {
        create_version(client, schema).await?;
    } else {
        // Or nobody may ever count how long a process has been silent: after a crash of the database
        // there is no report, and there may be no process to write one.
        let since = format!(
            "INSERT INTO \"{schema}\".reports_since VALUES (1, clock_timestamp()) ON CONFLICT DO NOTHING"
        );
        client.batch_execute(&since).await?;
    }
    let until = Instant::now() + patience;
    loop {
        match run_steps(client, schema, steps).await {
            Err(SchemaError::Sql(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            }
            ended => return ended,
        }
        client.batch_execute("ROLLBACK").await?;
        let holders = lock_holders(client, schema).await?;
        if Instant::now() >= until {
            return Err(SchemaError::Locked { holders });
        }
        tracing::info!(%holders, "the tables are locked and cannot be changed; trying again");
        sleep(LOCK_PAUSE).await;
    }
}

/// Creates the table that says which layout there is: none so far.
async fn create_version(client: &Client, schema: &str) -> Result<(), SqlError> {
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
    Ok(())
}

/// Runs the steps that are missing in one transaction. If one fails, the transaction is left open.
async fn run_steps(client: &Client, schema: &str, steps: &[&str]) -> Result<(), SchemaError> {
    let known = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    // Whatever a step waits for a lock, all that want the table afterwards wait behind it.
    let lock_timeout = LOCK_TIMEOUT.as_millis();
    let begin =
        format!("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {lock_timeout}");
    client.batch_execute(&begin).await?;
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

/// The connections that have locked tables of the schema for longest, for a message.
async fn lock_holders(client: &Client, schema: &str) -> Result<String, SqlError> {
    let select = "
        SELECT string_agg(holder, ', ') FROM (
            SELECT format('connection %s of %s in a transaction of %s s', pid,
                coalesce(nullif(application_name, ''), usename),
                extract(epoch FROM clock_timestamp() - xact_start)::bigint) AS holder
            FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND xact_start IS NOT NULL AND EXISTS (
                SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = relation
                WHERE pg_locks.pid = pg_stat_activity.pid AND granted
                    AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1))
            ORDER BY xact_start LIMIT 3) AS holders";
    let row = client.query_one(select, &[&schema]).await?;
    let holders: Option<String> = row.try_get(0)?;
    Ok(holders.unwrap_or_else(|| "somebody who has finished meanwhile".to_owned()))
}

/// Whether the tables can be used as they are.
pub(super) async fn is_current(client: &Client, schema: &str) -> Result<bool, SchemaError> {
    is_usable(version(client, schema).await?, known())
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

/// Refuses to bring a layout beside which processes that may run cannot.
async fn refuse_beside_older(client: &Client, schema: &str, known: i32) -> Result<(), SchemaError> {
    let select = format!(
        "SELECT min(known_schema) FROM \"{schema}\".member LEFT JOIN \"{schema}\".report USING (process)
         WHERE coalesce(report.at, (SELECT at FROM \"{schema}\".reports_since))
             > clock_timestamp() - $1::bigint * interval '1 millisecond'"
    );
    let row = client.query_one(&select, &[&IN_USE_MS]).await?;
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
