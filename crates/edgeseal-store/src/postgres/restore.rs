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
    random,
};

mod loading;
mod rights;

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
    /// The schema cannot be set aside. It was not touched.
    #[error("schema {schema} {why}; it was left as it is")]
    Schema {
        /// Its name.
        schema: String,
        /// What to do.
        why: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Fault),
}

/// Letters and digits that tell apart the schemas that restores load.
const NUMBER: usize = 8;

/// Servers whose writers are connected. The number of a process is used again by a later connection.
const LIVE: &str = "
    SELECT count(*) FROM writer JOIN pg_stat_activity active
    ON active.pid = writer.pid AND active.datname = current_database()
        AND coalesce(active.backend_start <= writer.since, true)";

/// What is in the schema $1 but not in $2, which a store was created in, one of them; and whether this
/// user may rename $1.
const FOREIGN: &str = "
    SELECT (SELECT min(relname::text) FROM pg_class
            WHERE relnamespace = nsp.oid AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                AND relname NOT IN (
                    SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($2))),
        pg_has_role(nsp.nspowner, 'USAGE')
    FROM pg_namespace nsp WHERE nsp.nspname = $1";

/// Restores a backup; returns the schema that holds what was there before.
///
/// All of it is loaded first; then the new tables take the place of the old ones in one transaction.
/// Servers that are connected notice by the lineage, and list everything again. IDs of certificates
/// and domains continue far after those in the backup. Owner and rights are those of the old schema;
/// one that cannot be carried over is named in a [warning](CopyStep::Warning). What a restore that was
/// killed has left behind is removed.
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
    let connector =
        Connector::new(url.clone()).map_err(Fault::of("prepare TLS for the database"))?;
    let client = connect(&connector).await?;
    let old = OldStore::find(&client, &url.schema).await.map_err(failed)?;
    if let Some(old) = &old {
        if !options.replace {
            return Err(RestoreError::Exists(url.name()));
        }
        old.check_live(url, options)?;
    }
    let number = random::text::<NUMBER>().to_ascii_lowercase();
    let restore = Restore {
        url,
        new: with_suffix(&url.schema, &format!("_restore_{number}")),
        aside: with_suffix(&url.schema, &format!("_before_{}", now.unix_ms())),
        options,
        now,
        observe,
    };
    restore.remove_abandoned(&client).await;
    let namespace = match restore.load(&client, backup, old.as_ref()).await {
        Ok(namespace) => namespace,
        Err(failure) => {
            restore.drop_schema(&client, &restore.new).await;
            return Err(failure);
        }
    };
    // That connection was idle for as long as that took.
    let new_client = connect(&connector).await?;
    let taken_over = loading::take_over(&new_client, &restore.new).await;
    taken_over.map_err(failed)?;
    drop(client);
    let client = new_client;
    if let Err(failure) = restore.swap(&client, old.is_some()).await {
        drop(client);
        let client = connect(&connector).await?;
        // Waits for a swap whose answer was lost.
        restore.drop_schema(&client, &restore.new).await;
        let found = namespace_of(&client, &url.schema).await.map_err(failed)?;
        if found != Some(namespace) {
            return Err(failure);
        }
        restore.warn("the backup is restored, though the answer was lost".to_owned());
    }
    Ok(old.map(|_| restore.aside))
}

async fn connect(connector: &Connector) -> Result<Arc<Client>, Fault> {
    let session = connector.connect().await;
    Ok(session.map_err(Fault::of("reach the database"))?.client)
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
        Self::read(client).await.map(Some)
    }

    async fn read(client: &Client) -> Result<Self, SqlError> {
        let servers = client.query_one(LIVE, &[]).await?.try_get(0)?;
        let head = "SELECT coalesce(max(last), 0) FROM commits";
        let head: i64 = client.query_one(head, &[]).await?.try_get(0)?;
        Ok(Self {
            servers,
            head: Revision(head.cast_unsigned()),
        })
    }

    fn check_live(&self, url: &PostgresUrl, options: RestoreOptions) -> Result<(), RestoreError> {
        match self.servers {
            servers if servers > 0 && !options.live => Err(RestoreError::Live {
                name: url.name(),
                servers,
            }),
            _ => Ok(()),
        }
    }
}

/// A restore under way.
struct Restore<'a> {
    url: &'a PostgresUrl,
    /// The schema that is loaded: nobody else knows its name.
    new: String,
    /// The schema that keeps what was there.
    aside: String,
    options: RestoreOptions,
    now: Timestamp,
    observe: &'a (dyn Fn(CopyStep) + Sync),
}

impl Restore<'_> {
    fn warn(&self, text: String) {
        (self.observe)(CopyStep::Warning(text));
    }

    /// Removes what restores of this schema left behind that were killed.
    async fn remove_abandoned(&self, client: &Client) {
        let prefix = &self.new[..self.new.len() - NUMBER];
        match loading::abandoned(client, prefix).await {
            Ok(schemas) => {
                for schema in schemas {
                    if self.drop_schema(client, &schema).await {
                        self.warn(format!(
                            "schema {schema}, which a restore that was killed left behind, is removed"
                        ));
                    }
                }
            }
            Err(error) => self.warn(format!(
                "what restores that were killed left behind is not looked for: {error}"
            )),
        }
    }

    /// Fills a new schema, which nobody uses yet; returns its number.
    async fn load(
        &self,
        client: &Client,
        backup: &dyn CopySide,
        old: Option<&OldStore>,
    ) -> Result<u32, RestoreError> {
        let schemas = (&*self.url.schema, &*self.new);
        loading::create(client, &self.new).await.map_err(failed)?;
        let prepared = rights::prepare(client, schemas, self.observe).await;
        prepared.map_err(failed)?;
        let target = PostgresCopy::target(self.url.with_schema(&self.new)).await?;
        let namespace = namespace_of(client, &self.new).await.map_err(failed)?;
        let namespace =
            namespace.ok_or_else(|| Fault::new("restore the backup: what was created is gone"))?;
        if old.is_some() {
            self.check_schema(client).await?;
        }
        let head = backup.rows(Table::Entry, None).await?.head;
        let above = head.max(old.map_or(Revision(0), |old| old.head));
        copy_moment(backup, &target, Some(above), skip_ids, self.observe).await?;
        Ok(namespace)
    }

    /// All that is in the schema is renamed with it.
    async fn check_schema(&self, client: &Client) -> Result<(), RestoreError> {
        let schema = &self.url.schema;
        let row = client.query_one(FOREIGN, &[schema, &self.new]).await;
        let row = row.map_err(|error| failed(error.into()))?;
        let foreign: Option<String> = row.try_get(0).map_err(|error| failed(error.into()))?;
        let may_rename: bool = row.try_get(1).map_err(|error| failed(error.into()))?;
        let why = match foreign {
            Some(table) => format!("has {table}, which is not the store's: move it elsewhere"),
            None if !may_rename => "belongs to another user, who has to restore it".to_owned(),
            None => return Ok(()),
        };
        Err(RestoreError::Schema {
            schema: schema.clone(),
            why,
        })
    }

    async fn swap(&self, client: &Client, replaces: bool) -> Result<(), RestoreError> {
        let sql = |error: tokio_postgres::Error| failed(error.into());
        let (schema, new) = (&self.url.schema, &self.new);
        let carried = rights::carry_over(client, (schema, new), self.observe).await;
        carried.map_err(failed)?;
        client.batch_execute("BEGIN").await.map_err(sql)?;
        if replaces {
            self.set_aside(client).await?;
        } else {
            // An empty one that the operator made for its owner.
            let drop = format!("DROP SCHEMA IF EXISTS \"{schema}\"");
            client.batch_execute(&drop).await.map_err(sql)?;
        }
        let rename = format!(
            "COMMENT ON SCHEMA \"{new}\" IS NULL;
             ALTER SCHEMA \"{new}\" RENAME TO \"{schema}\";
             COMMIT"
        );
        client.batch_execute(&rename).await.map_err(sql)
    }

    async fn set_aside(&self, client: &Client) -> Result<(), RestoreError> {
        let sql = |error: tokio_postgres::Error| failed(error.into());
        let (schema, new, aside) = (&self.url.schema, &self.new, &self.aside);
        // No commit that a server has begun is acknowledged after this.
        let lock = "SELECT FROM write_lock FOR UPDATE";
        client.execute(lock, &[]).await.map_err(sql)?;
        let old = OldStore::read(client).await.map_err(failed)?;
        old.check_live(self.url, self.options)?;
        let begins = format!("SELECT min(first) FROM \"{new}\".lineage");
        let begins = client.query_one(&begins, &[]).await.map_err(sql)?;
        let begins: i64 = begins.try_get(0).map_err(sql)?;
        if begins <= old.head.0.cast_signed() {
            return Err(Fault::new(
                "restore the backup: a server began a new lineage meanwhile: run it again",
            )
            .into());
        }
        let marker = CopyMarker::Replaced { at: self.now }.encode()?;
        let insert = "INSERT INTO entry VALUES ('meta/copy', $1, 0, NULL)
                      ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        client.execute(insert, &[&&marker[..]]).await.map_err(sql)?;
        let rename = format!("ALTER SCHEMA \"{schema}\" RENAME TO \"{aside}\"");
        client.batch_execute(&rename).await.map_err(sql)
    }

    /// Removes a schema, if it is there, that has not taken its place. Whether it could.
    async fn drop_schema(&self, client: &Client, schema: &str) -> bool {
        let drop = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
        let dropped = client.batch_execute(&drop).await;
        if let Err(error) = dropped.map_err(SqlError::from) {
            self.warn(format!("schema {schema} remains: drop it: {error}"));
            return false;
        }
        true
    }
}

/// The number of a schema, which it keeps when it is renamed.
async fn namespace_of(client: &Client, schema: &str) -> Result<Option<u32>, SqlError> {
    let sql = "SELECT oid FROM pg_namespace WHERE nspname = $1";
    let row = client.query_opt(sql, &[&schema]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
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
