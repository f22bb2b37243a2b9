//! The SQL of the replica.

use std::path::{Path, PathBuf};

use edgeseal_core::{DomainPattern, domain::Environment};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::{
    Batch, CursorUpdate, DomainRow, Issuer, MaterialRow, ReplicaError, ReplicaStatus,
    opening::open_or_salvage,
    rows::{copy_whole, domain, issuer, material, quarantined, ticket_key, visit},
    salvage::{Salvaged, salvage},
    statements::{put_salvaged, write_batch},
    status::{read_status, write_status},
};
use crate::tls::StoredTicketKey;

const FORMAT: &str = "2";

/// Page size in bytes. A row of an index-organised table moves to overflow pages above a quarter of
/// this, and material with a P-256 key is 1–1.5 kB.
const PAGE: i64 = 8192;

/// Each `mark` is a checksum of the row (module `checksum`); issuers and materials are keyed by
/// their digests, but those of materials do not cover the sealed key.
///
/// Tables are organised by their keys, without a second index that could contradict them.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (
    key   TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS standing (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    complete INTEGER NOT NULL,
    cursor   INTEGER,
    domains  INTEGER NOT NULL,
    mark     INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS domain (
    name      TEXT PRIMARY KEY,
    revision  INTEGER NOT NULL,
    record    BLOB NOT NULL,
    material  BLOB,
    companion BLOB,
    mark      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS material (
    digest BLOB PRIMARY KEY,
    value  BLOB NOT NULL,
    mark   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS issuer (
    digest BLOB PRIMARY KEY,
    der    BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ticket_key (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    mark  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    name TEXT PRIMARY KEY,
    why  TEXT NOT NULL
) WITHOUT ROWID;
";

/// Created once there was a full listing. Until then it would cost as much as all other writes, and
/// its purpose, to delete unused material, can wait: see [`write_batch`].
const INDEX: &str = "
CREATE INDEX IF NOT EXISTS domain_material ON domain (material) WHERE material IS NOT NULL;
CREATE INDEX IF NOT EXISTS domain_companion ON domain (companion) WHERE companion IS NOT NULL;
";

/// Material that was listed for a domain which changed before the listing ended, or that belonged
/// to a row which could not be decoded.
const SWEEP: &str = "
DELETE FROM material
WHERE NOT EXISTS (SELECT 1 FROM domain WHERE domain.material = material.digest)
AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.companion = material.digest);
";

/// Their indexes are dropped with them.
const ASIDE: &str = "
ALTER TABLE domain RENAME TO old_domain;
ALTER TABLE material RENAME TO old_material;
ALTER TABLE issuer RENAME TO old_issuer;
ALTER TABLE quarantine RENAME TO old_quarantine;
DROP INDEX IF EXISTS domain_material;
DROP INDEX IF EXISTS domain_companion;
";

const DROP: &str = "
DROP TABLE old_domain;
DROP TABLE old_material;
DROP TABLE old_issuer;
DROP TABLE old_quarantine;
";

/// The open file.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    status: ReplicaStatus,
    /// What it was opened for; `None` if it is only inspected.
    environment: Option<Environment>,
    /// Set if the file must be reopened before anything is written; this connection only reads it.
    unwritable: Option<(PathBuf, Environment)>,
}

impl Database {
    pub(super) fn open(path: &Path, environment: Environment) -> Result<Self, ReplicaError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "page_size", PAGE)?;
        configure(&connection)?;
        quick_check(&connection)?;
        connection.execute_batch(SCHEMA)?;
        let mut database = Self {
            connection,
            status: ReplicaStatus::default(),
            environment: Some(environment),
            unwritable: None,
        };
        database.write_or_verify_meta("format", FORMAT)?;
        database.write_or_verify_meta("environment", environment.as_str())?;
        database.status = read_status(&database.connection)?;
        Ok(database)
    }

    /// Opens an existing file and changes nothing. With `checked`, its integrity is checked, and
    /// all reads see one snapshot, until [`end_snapshot`](Self::end_snapshot).
    pub(super) fn open_existing(
        path: &Path,
        environment: Environment,
        checked: bool,
    ) -> Result<Self, ReplicaError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        let mut database = Self {
            connection,
            status: ReplicaStatus::default(),
            environment: Some(environment),
            unwritable: None,
        };
        if checked {
            database.connection.execute_batch("BEGIN")?;
            quick_check(&database.connection)?;
        }
        database.verify_meta(environment)?;
        database.status = read_status(&database.connection)?;
        Ok(database)
    }

    /// Ends the snapshot that [`open_existing`](Self::open_existing) began.
    pub(super) fn end_snapshot(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("COMMIT")
    }

    /// Reads the status after another process has written.
    pub(super) fn refresh(&mut self) -> rusqlite::Result<()> {
        // An earlier release may have created fewer tables.
        self.connection.execute_batch(SCHEMA)?;
        self.status = read_status(&self.connection)?;
        Ok(())
    }

    /// Opens one snapshot of the file and changes nothing. `alone`: no process has it open.
    pub(super) fn open_read_only(path: &Path, alone: bool) -> Result<Self, ReplicaError> {
        let connection = edgeseal_store::sqlite::open_read_only(path, alone)?;
        quick_check(&connection)?;
        let standing = read_status(&connection)?;
        Ok(Self {
            connection,
            status: standing,
            environment: None,
            unwritable: None,
        })
    }

    /// Opens a file that cannot be written now. Reads see one snapshot.
    pub(super) fn open_unwritable(
        path: &Path,
        environment: Environment,
    ) -> Result<Self, ReplicaError> {
        let database = Self::open_read_only(path, true)?;
        database.verify_meta(environment)?;
        Ok(database)
    }

    /// Reopens the replica in this directory when something is to be written.
    pub(super) fn reopen_before_write(self, directory: &Path, environment: Environment) -> Self {
        Self {
            unwritable: Some((directory.to_owned(), environment)),
            ..self
        }
    }

    /// Copies the rows of a corrupted file whose checksums match into a new one. The cursor of the
    /// corrupted one is not trusted: the store is asked for everything.
    pub(super) fn salvage(
        damaged: &Path,
        path: &Path,
        environment: Environment,
    ) -> Result<Self, ReplicaError> {
        let mut database = Self::open(path, environment)?;
        let transaction = database.connection.transaction()?;
        salvage(damaged, |row| -> Result<(), ReplicaError> {
            match row {
                Salvaged::Issuer((digest, der)) => transaction
                    .prepare_cached("INSERT OR IGNORE INTO issuer VALUES (?1, ?2)")?
                    .execute(params![digest.0, der.as_ref()])?,
                Salvaged::Material(row) => transaction
                    .prepare_cached("INSERT OR IGNORE INTO material VALUES (?1, ?2, ?3)")?
                    .execute(params![row.digest.0, row.value.as_ref(), row.checksum])?,
                Salvaged::Domain(row) => put_salvaged(&transaction, &row)?,
            };
            Ok(())
        })?;
        let count = "SELECT count(*) FROM domain";
        let domains: i64 = transaction.query_row(count, [], |row| row.get(0))?;
        let standing = ReplicaStatus {
            complete: domains > 0,
            cursor: None,
            domains: domains.cast_unsigned(),
        };
        write_status(&transaction, standing)?;
        if standing.complete {
            transaction.execute_batch(INDEX)?;
        }
        transaction.commit()?;
        database.checkpoint()?;
        database.status = standing;
        Ok(database)
    }

    /// Fails if it was written for another environment or by another release.
    fn verify_meta(&self, environment: Environment) -> Result<(), ReplicaError> {
        for (key, wanted) in [("format", FORMAT), ("environment", environment.as_str())] {
            let found = self.meta::<String>(key)?.unwrap_or_default();
            if found != wanted {
                return Err(foreign(key, &found, wanted));
            }
        }
        Ok(())
    }

    /// Reopens it, and salvages it if necessary, when something is to be written.
    pub(super) fn schedule_reopen(&mut self) {
        let directory = self.connection.path().map(Path::new);
        let directory = directory.and_then(Path::parent).map(Path::to_owned);
        self.unwritable = directory.zip(self.environment);
    }

    /// Opens for writing what could only be read.
    fn ensure_writable(&mut self) -> Result<(), ReplicaError> {
        if let Some((directory, environment)) = self.unwritable.clone() {
            // It is locked as long as it is read.
            drop(std::mem::replace(
                &mut self.connection,
                Connection::open_in_memory()?,
            ));
            *self = open_or_salvage(&directory, environment)?;
        }
        Ok(())
    }

    /// Writes a property of the file if it is new, otherwise compares it.
    fn write_or_verify_meta(&self, key: &str, wanted: &str) -> Result<(), ReplicaError> {
        match self.meta::<String>(key)? {
            None => Ok(set_meta(&self.connection, key, wanted)?),
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(foreign(key, &found, wanted)),
        }
    }

    fn meta<T: rusqlite::types::FromSql>(&self, key: &str) -> rusqlite::Result<Option<T>> {
        self.connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()
    }

    pub(super) const fn status(&self) -> ReplicaStatus {
        self.status
    }

    /// All issuers, unverified.
    pub(super) fn issuers(&self) -> rusqlite::Result<Vec<Issuer>> {
        let mut found = Vec::new();
        let select = "SELECT digest, der FROM issuer";
        visit(&self.connection, select, issuer, |issuer| {
            found.push(issuer);
            Ok(())
        })?;
        Ok(found)
    }

    /// Visits all material, in one pass.
    pub(super) fn visit_materials(
        &self,
        mut each: impl FnMut(MaterialRow),
    ) -> rusqlite::Result<()> {
        let select = "SELECT digest, value, mark FROM material";
        visit(&self.connection, select, material, |row| {
            each(row);
            Ok(())
        })
    }

    /// Visits all domains, in one pass.
    pub(super) fn visit_domains(&self, mut each: impl FnMut(DomainRow)) -> rusqlite::Result<()> {
        let select = "SELECT name, revision, record, material, companion, mark FROM domain";
        visit(&self.connection, select, domain, |row| {
            each(row);
            Ok(())
        })
    }

    /// Writes the intact rows into new tables that replace the old ones, and drops the cursor. A
    /// row with a corrupted key is at the wrong place of its table, where searches for its
    /// neighbours fail: nothing can be deleted or inserted there, but everything can be read from
    /// the first row to the last.
    pub(super) fn rebuild(&mut self) -> Result<(), ReplicaError> {
        self.ensure_writable()?;
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(ASIDE)?;
        transaction.execute_batch(SCHEMA)?;
        let domains = copy_whole(&transaction)?;
        transaction.execute_batch(DROP)?;
        let standing = ReplicaStatus {
            complete: self.status.complete,
            cursor: None,
            domains,
        };
        if standing.complete {
            transaction.execute_batch(INDEX)?;
        }
        write_status(&transaction, standing)?;
        transaction.commit()?;
        self.status = standing;
        Ok(())
    }

    /// The shared ticket keys. Each is for one day, so a corrupted one is not worth asking for
    /// everything again: it is skipped, and comes from the store.
    pub(super) fn ticket_keys(&self) -> rusqlite::Result<Vec<StoredTicketKey>> {
        // A file of an earlier release that is only inspected has none.
        if !self.connection.table_exists(None, "ticket_key")? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let select = "SELECT key, value, mark FROM ticket_key";
        visit(&self.connection, select, ticket_key, |read| {
            found.extend(read);
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn quarantine(&self) -> rusqlite::Result<Vec<(DomainPattern, String)>> {
        let mut found = Vec::new();
        let select = "SELECT name, why FROM quarantine";
        visit(&self.connection, select, quarantined, |(name, reason)| {
            found.extend(DomainPattern::parse(&name).ok().map(|name| (name, reason)));
            Ok(())
        })?;
        Ok(found)
    }

    /// Makes all writes durable, and truncates the WAL, so that it contains nothing that was
    /// replaced.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: bool = self.connection.query_row(fold, [], |row| row.get(0))?;
        if busy {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return Err(rusqlite::Error::SqliteFailure(code, None));
        }
        Ok(())
    }

    /// Writes batches in order, in one transaction. `advance`: whether their cursors are written.
    pub(super) fn write(&mut self, batches: &[Batch], advance: bool) -> Result<(), ReplicaError> {
        self.ensure_writable()?;
        let transaction = self.connection.transaction()?;
        let mut standing = self.status;
        for batch in batches {
            let added = write_batch(&transaction, batch, standing.complete)?;
            standing.domains = standing.domains.saturating_add_signed(added);
            if !advance {
                continue;
            }
            standing.advance(batch.cursor);
            if matches!(batch.cursor, CursorUpdate::Complete(_)) {
                transaction.execute_batch(INDEX)?;
                transaction.execute_batch(SWEEP)?;
            }
        }
        if standing != self.status {
            write_status(&transaction, standing)?;
        }
        transaction.commit()?;
        self.status = standing;
        Ok(())
    }
}

/// Settings of a connection that writes.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Values sealed under a retired key must not remain in free pages.
    connection.pragma_update(None, "secure_delete", true)
}

fn foreign(key: &str, found: &str, wanted: &str) -> ReplicaError {
    ReplicaError::Mismatch {
        found: format!("{key} {found}"),
        wanted: format!("{key} {wanted}"),
    }
}

fn quick_check(connection: &Connection) -> Result<(), ReplicaError> {
    let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if finding == "ok" {
        Ok(())
    } else {
        Err(ReplicaError::Corrupted { finding })
    }
}

/// SQLite's page cache, in KiB: enough for the inner pages of a million rows.
const CACHE_KIB: i64 = 4096;

/// The WAL is checkpointed when it has this many pages, 64 MiB. During a full listing each page is
/// written many times: with fewer checkpoints, fewer of these writes reach the file.
const LOG_PAGES: i64 = 8192;

fn set_meta(
    connection: &Connection,
    key: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])
        .map(drop)
}

#[cfg(test)]
impl Database {
    pub(super) fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.connection
            .query_row(&sql, [], |row| row.get(0))
            .unwrap()
    }

    pub(super) fn execute(&self, sql: &str) {
        self.connection.execute(sql, []).unwrap();
    }
}
