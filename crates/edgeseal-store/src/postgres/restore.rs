//! Puts a backup into a database: into tables of their own, which take the place of the old ones at
//! once.

use std::sync::Arc;

use edgeseal_core::Timestamp;
use tokio_postgres::Client;

use super::{
    PostgresUrl,
    connect::{Connector, SqlError},
    copy::PostgresCopy,
};
use crate::{
    Fault, Revision,
    copy::{CopyMarker, CopySide, CopyStep, Table, copy_moment, skip_ids},
};

/// What a restore may replace.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// A store that is there, which is kept under another name.
    pub replace: bool,
    /// A store that servers use now.
    pub live: bool,
}

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a store. It was not touched.
    #[error("{0} is there already; it was left as it is")]
    Exists(String),
    /// Servers use the store. It was not touched.
    #[error("{servers} servers use {name}: stop them first; it was left as it is")]
    Live {
        /// The store.
        name: String,
        /// How many are connected.
        servers: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Fault),
}

/// Servers whose writers are connected.
const LIVE: &str = "
    SELECT count(*) FROM writer JOIN pg_stat_activity active
    ON active.pid = writer.pid AND active.datname = current_database()";

/// Restores a backup; returns the schema that holds what was there before.
///
/// All of it is loaded first; then the new tables take the place of the old ones in one transaction.
/// Servers that are connected notice by the lineage, and list everything again. IDs of certificates
/// and domains continue far after those in the backup.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(
    url: &PostgresUrl,
    backup: &dyn CopySide,
    options: RestoreOptions,
    now: Timestamp,
    observe: &(dyn Fn(CopyStep) + Sync),
) -> Result<Option<String>, RestoreError> {
    let schema = &url.schema;
    let connector =
        Connector::new(url.clone()).map_err(Fault::of("prepare TLS for the database"))?;
    let session = connector.connect().await;
    let session = session.map_err(Fault::of("reach the database"))?;
    let client = Arc::clone(&session.client);
    let old = OldStore::find(&client, schema).await.map_err(failed)?;
    if let Some(old) = &old {
        let name = url.name();
        if !options.replace {
            return Err(RestoreError::Exists(name));
        }
        if old.servers > 0 && !options.live {
            let servers = old.servers;
            return Err(RestoreError::Live { name, servers });
        }
    }
    let new = with_suffix(schema, "_restore");
    // Left by a restore that was killed.
    let drop_new = format!("DROP SCHEMA IF EXISTS \"{new}\" CASCADE");
    client
        .batch_execute(&drop_new)
        .await
        .map_err(|error| failed(error.into()))?;
    let target = PostgresCopy::target(url.with_schema(&new)).await?;
    let head = backup.rows(Table::Entry, None).await?.head;
    let above = head.max(old.as_ref().map_or(Revision(0), |old| old.head));
    copy_moment(backup, &target, Some(above), skip_ids, observe).await?;
    drop(target);
    let aside = with_suffix(schema, &format!("_before_{}", now.unix_ms()));
    let swapped = swap(&client, schema, (&new, &aside), old.is_some(), now);
    swapped.await.map_err(failed)?;
    Ok(old.map(|_| aside))
}

/// The store that is replaced.
struct OldStore {
    servers: i64,
    head: Revision,
}

impl OldStore {
    /// `None` if there are no tables, or only those that a server without records left.
    async fn find(client: &Client, schema: &str) -> Result<Option<Self>, SqlError> {
        let exists = "SELECT to_regclass($1) IS NOT NULL";
        let table = format!("\"{schema}\".entry");
        if !client
            .query_one(exists, &[&table])
            .await?
            .try_get::<_, bool>(0)?
        {
            return Ok(None);
        }
        let servers = client.query_one(LIVE, &[]).await?.try_get(0)?;
        let head = "SELECT coalesce(max(last), 0) FROM commits";
        let head: i64 = client.query_one(head, &[]).await?.try_get(0)?;
        Ok(Some(Self {
            servers,
            head: Revision(head.cast_unsigned()),
        }))
    }
}

async fn swap(
    client: &Client,
    schema: &str,
    (new, aside): (&str, &str),
    replaces: bool,
    now: Timestamp,
) -> Result<(), SqlError> {
    let marker = CopyMarker::Replaced { at: now };
    let marker = marker
        .encode()
        .map_err(|fault| SqlError::Unreachable(fault.into()))?;
    client.batch_execute("BEGIN").await?;
    if replaces {
        // No commit that a server has begun is acknowledged after this.
        client
            .execute("SELECT FROM write_lock FOR UPDATE", &[])
            .await?;
        let insert = "INSERT INTO entry VALUES ('meta/copy', $1, 0, NULL)
                      ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        client.execute(insert, &[&&marker[..]]).await?;
        let rename = format!("ALTER SCHEMA \"{schema}\" RENAME TO \"{aside}\"");
        client.batch_execute(&rename).await?;
    } else {
        // An empty one that the operator made for its owner.
        let drop = format!("DROP SCHEMA IF EXISTS \"{schema}\"");
        client.batch_execute(&drop).await?;
    }
    let rename = format!("ALTER SCHEMA \"{new}\" RENAME TO \"{schema}\"; COMMIT");
    Ok(client.batch_execute(&rename).await?)
}

/// A name of at most 63 bytes.
fn with_suffix(schema: &str, suffix: &str) -> String {
    const IDENTIFIER_MAX: usize = 63;
    let kept = schema.len().min(IDENTIFIER_MAX - suffix.len());
    format!("{}{suffix}", &schema[..kept])
}

fn failed(error: SqlError) -> RestoreError {
    Fault::of("restore the backup")(error).into()
}
