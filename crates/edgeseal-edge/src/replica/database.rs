//! The SQL of the replica.

use std::path::Path;

use edgeseal_core::{Pattern, certificate::Digest, domain::Environment};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};

use super::{
    Batch, DomainRow, Issuer, MaterialRow, Reached, ReplicaError, Standing,
    mark::{domain_mark, mark},
    rows::{copy_whole, domain, issuer, material, quarantined, ticket_key, to_sql, visit},
    standing::{read_standing, write_standing},
};
use crate::tls::StoredTicketKey;

const FORMAT: &str = "2";

/// Octets of a page. A row of an index-organised table moves to pages of its own above a quarter of
/// this, and material with a P-256 key is 1–1.5 kB.
const PAGE: i64 = 8192;

/// Each `mark` is a checksum of the row, see [`mark`]; issuers and materials are named by their
/// digests, but those of materials do not cover the sealed key.
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

/// Made once there was a full listing. Until then it would cost as much as all else that is written,
/// and what it is for, to let go of material, can wait: see [`write_batch`].
const INDEX: &str = "
CREATE INDEX IF NOT EXISTS domain_material ON domain (material) WHERE material IS NOT NULL;
CREATE INDEX IF NOT EXISTS domain_companion ON domain (companion) WHERE companion IS NOT NULL;
";

/// Material that came in a listing for a domain which had changed before the listing ended, or that
/// was of a row which did not read.
const SWEEP: &str = "
DELETE FROM material
WHERE NOT EXISTS (SELECT 1 FROM domain WHERE domain.material = material.digest)
AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.companion = material.digest);
";

/// Their indexes go with them.
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
    standing: Standing,
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
            standing: Standing::default(),
        };
        database.insist("format", FORMAT)?;
        database.insist("environment", name_of(environment))?;
        database.standing = read_standing(&database.connection)?;
        Ok(database)
    }

    /// Opens a file that is there and changes nothing. If it is to be `checked` that is done, and
    /// all that is read shows one moment, until [`let_go`](Self::let_go).
    pub(super) fn open_there(
        path: &Path,
        environment: Environment,
        checked: bool,
    ) -> Result<Self, ReplicaError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        let mut database = Self {
            connection,
            standing: Standing::default(),
        };
        if checked {
            database.connection.execute_batch("BEGIN")?;
            quick_check(&database.connection)?;
        }
        for (key, wanted) in [("format", FORMAT), ("environment", name_of(environment))] {
            let found = database.meta::<String>(key)?.unwrap_or_default();
            if found != wanted {
                return Err(foreign(key, &found, wanted));
            }
        }
        database.standing = read_standing(&database.connection)?;
        Ok(database)
    }

    /// Ends the moment that [`open_there`](Self::open_there) has begun.
    pub(super) fn let_go(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("COMMIT")
    }

    /// Takes over what another process has written since.
    pub(super) fn reread(&mut self) -> rusqlite::Result<()> {
        // One of an earlier release may have made fewer tables.
        self.connection.execute_batch(SCHEMA)?;
        self.standing = read_standing(&self.connection)?;
        Ok(())
    }

    /// Looks at one moment of the file and changes nothing. `alone`: nobody has it open.
    pub(super) fn look(path: &Path, alone: bool) -> Result<Self, ReplicaError> {
        let connection = edgeseal_store::sqlite::look_at(path, alone)?;
        quick_check(&connection)?;
        let standing = read_standing(&connection)?;
        Ok(Self {
            connection,
            standing,
        })
    }

    /// Writes a fact of the file if it is new, compares it if it is not.
    fn insist(&self, key: &str, wanted: &str) -> Result<(), ReplicaError> {
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

    pub(super) const fn standing(&self) -> Standing {
        self.standing
    }

    /// All issuers, as they stand there.
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

    /// Writes what is whole into new tables that take the place of the old ones, and forgets how far
    /// the file is. A row whose key is not what was written stands at a wrong place of its table,
    /// where searches for its neighbours go astray: nothing can be deleted there, or put, but
    /// everything can be read from the first row to the last.
    pub(super) fn rebuild(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(ASIDE)?;
        transaction.execute_batch(SCHEMA)?;
        let domains = copy_whole(&transaction)?;
        transaction.execute_batch(DROP)?;
        let standing = Standing {
            complete: self.standing.complete,
            cursor: None,
            domains,
        };
        if standing.complete {
            transaction.execute_batch(INDEX)?;
        }
        write_standing(&transaction, standing)?;
        transaction.commit()?;
        self.standing = standing;
        Ok(())
    }

    /// The shared ticket keys. Each is of one day, so one that is damaged is not worth asking for
    /// everything again: it is left out, and comes from the store.
    pub(super) fn ticket_keys(&self) -> rusqlite::Result<Vec<StoredTicketKey>> {
        // A file of an earlier release that is only looked at has none.
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

    pub(super) fn quarantine(&self) -> rusqlite::Result<Vec<(Pattern, String)>> {
        let mut found = Vec::new();
        let select = "SELECT name, why FROM quarantine";
        visit(&self.connection, select, quarantined, |(name, why)| {
            found.extend(Pattern::parse(&name).ok().map(|name| (name, why)));
            Ok(())
        })?;
        Ok(found)
    }

    /// Makes what was written durable, and leaves nothing of what it replaced in the log.
    pub(super) fn settle(&self) -> rusqlite::Result<()> {
        let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: bool = self.connection.query_row(fold, [], |row| row.get(0))?;
        if busy {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return Err(rusqlite::Error::SqliteFailure(code, None));
        }
        Ok(())
    }

    /// Writes batches in order, in one transaction. `advance` says whether their cursors count.
    pub(super) fn write(&mut self, batches: &[Batch], advance: bool) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut standing = self.standing;
        for batch in batches {
            let added = write_batch(&transaction, batch, standing.complete)?;
            standing.domains = standing.domains.saturating_add_signed(added);
            if !advance {
                continue;
            }
            standing.reach(batch.reached);
            if matches!(batch.reached, Reached::Complete(_)) {
                transaction.execute_batch(INDEX)?;
                transaction.execute_batch(SWEEP)?;
            }
        }
        if standing != self.standing {
            write_standing(&transaction, standing)?;
        }
        transaction.commit()?;
        self.standing = standing;
        Ok(())
    }
}

/// What holds for a connection that writes.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // What was sealed under a key that is retired is not to lie about in free pages.
    connection.pragma_update(None, "secure_delete", true)
}

const fn name_of(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "production",
        Environment::Staging => "staging",
    }
}

fn foreign(key: &str, found: &str, wanted: &str) -> ReplicaError {
    ReplicaError::Foreign {
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

/// What SQLite keeps of the file in memory, in KiB: enough for the inner pages of a million rows.
const CACHE_KIB: i64 = 4096;

/// The log is folded back when it has so many pages, 64 MiB. While all domains come, each page is
/// written many times: the fewer foldings, the fewer of them reach the file.
const LOG_PAGES: i64 = 8192;

/// Writes what a batch holds; how many more domains there are then. Material that no domain needs
/// any more is deleted if the replica is `complete`; before, it stays until it is.
fn write_batch(
    transaction: &Transaction<'_>,
    batch: &Batch,
    complete: bool,
) -> rusqlite::Result<i64> {
    let mut added = 0;
    let mut issuer =
        transaction.prepare_cached("INSERT OR IGNORE INTO issuer (digest, der) VALUES (?1, ?2)")?;
    for (digest, der) in &batch.issuers {
        issuer.execute(params![digest.0, der.as_ref()])?;
    }
    let mut material = transaction.prepare_cached(
        "INSERT INTO material (digest, value, mark) VALUES (?1, ?2, ?3)
         ON CONFLICT (digest) DO UPDATE SET value = excluded.value, mark = excluded.mark
         WHERE value <> excluded.value",
    )?;
    let mut domain = transaction.prepare_cached(
        "INSERT OR REPLACE INTO domain (name, revision, record, material, companion, mark)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut unquarantine = transaction.prepare_cached("DELETE FROM quarantine WHERE name = ?1")?;
    for row in &batch.put {
        let name = row.name.to_string();
        let before = materials_of(transaction, &name)?;
        added += i64::from(before.is_none());
        let stored = [&row.material, &row.companion].map(Option::as_ref);
        for (digest, value) in stored.into_iter().flatten() {
            let mark = mark(&[&digest.0, value]);
            material.execute(params![digest.0, value.as_ref(), mark])?;
        }
        let digests = stored.map(|stored| stored.map(|(digest, _)| *digest));
        let [first, companion] = digests.map(|digest| digest.map(|digest| digest.0));
        domain.execute(params![
            name,
            to_sql(row.revision),
            row.record.as_ref(),
            first,
            companion,
            domain_mark(&name, row.revision, &row.record, digests),
        ])?;
        unquarantine.execute([&name])?;
        let before = before.into_iter().flatten().flatten().filter(|_| complete);
        for old in before.filter(|old| !digests.contains(&Some(*old))) {
            release(transaction, old)?;
        }
    }
    for name in &batch.remove {
        let name = name.to_string();
        let before = materials_of(transaction, &name)?;
        transaction
            .prepare_cached("DELETE FROM domain WHERE name = ?1")?
            .execute([&name])?;
        unquarantine.execute([&name])?;
        added -= i64::from(before.is_some());
        for old in before.into_iter().flatten().flatten().filter(|_| complete) {
            release(transaction, old)?;
        }
    }
    let mut reseal = transaction
        .prepare_cached("UPDATE material SET value = ?2, mark = ?3 WHERE digest = ?1")?;
    for (digest, value) in &batch.resealed {
        let mark = mark(&[&digest.0, value]);
        reseal.execute(params![digest.0, value.as_ref(), mark])?;
    }
    if let Some(ticket_keys) = &batch.ticket_keys {
        write_ticket_keys(transaction, ticket_keys)?;
    }
    let mut quarantine = transaction
        .prepare_cached("INSERT OR REPLACE INTO quarantine (name, why) VALUES (?1, ?2)")?;
    for (name, why) in &batch.quarantine {
        quarantine.execute(params![name.to_string(), why])?;
    }
    Ok(added)
}

fn write_ticket_keys(
    transaction: &Transaction<'_>,
    ticket_keys: &[StoredTicketKey],
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM ticket_key", [])?;
    let mut insert = transaction
        .prepare_cached("INSERT INTO ticket_key (key, value, mark) VALUES (?1, ?2, ?3)")?;
    for (key, value) in ticket_keys {
        let mark = mark(&[key.as_str().as_bytes(), value]);
        insert.execute(params![key.as_str(), value.as_ref(), mark])?;
    }
    Ok(())
}

/// The materials of a domain, if there is such a domain.
fn materials_of(
    transaction: &Transaction<'_>,
    name: &str,
) -> rusqlite::Result<Option<[Option<Digest>; 2]>> {
    let digest = |octets: Option<[u8; 32]>| octets.map(Digest);
    transaction
        .prepare_cached("SELECT material, companion FROM domain WHERE name = ?1")?
        .query_row([name], |row| Ok([digest(row.get(0)?), digest(row.get(1)?)]))
        .optional()
}

/// Deletes material that no domain needs any more.
fn release(transaction: &Transaction<'_>, digest: Digest) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM material WHERE digest = ?1
             AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.material = ?1)
             AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.companion = ?1)",
        )?
        .execute([digest.0])
        .map(drop)
}

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
