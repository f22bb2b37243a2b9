//! The SQL of the replica.

use std::path::Path;

use edgeseal_core::{Pattern, certificate::Digest, domain::Environment};
use edgeseal_store::Revision;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    Batch, Damage, DomainRow, Issuer, MaterialRow, ReplicaError, Standing,
    mark::{domain_mark, mark},
    standing::{read_standing, write_standing},
};

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

/// Material that came in a first listing for a domain which had changed before the listing ended.
const SWEEP: &str = "
DELETE FROM material
WHERE NOT EXISTS (SELECT 1 FROM domain WHERE domain.material = material.digest)
AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.companion = material.digest);
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
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // What was sealed under a key that is retired is not to lie about in free pages.
        connection.pragma_update(None, "secure_delete", true)?;
        quick_check(&connection)?;
        connection.execute_batch(SCHEMA)?;
        let mut database = Self {
            connection,
            standing: Standing::default(),
        };
        let environment = match environment {
            Environment::Production => "production",
            Environment::Staging => "staging",
        };
        database.insist("format", FORMAT)?;
        database.insist("environment", environment)?;
        database.standing = read_standing(&database.connection)?;
        Ok(database)
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
            Some(found) => Err(ReplicaError::Foreign {
                found: format!("{key} {found}"),
                wanted: format!("{key} {wanted}"),
            }),
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
        let mut statement = self.connection.prepare("SELECT digest, der FROM issuer")?;
        let rows = statement.query_map([], |row| {
            let der: Vec<u8> = row.get(1)?;
            Ok((Digest(row.get(0)?), der.into()))
        })?;
        rows.collect()
    }

    /// Visits all material, in one pass.
    pub(super) fn visit_materials(
        &self,
        mut each: impl FnMut(MaterialRow),
    ) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare("SELECT digest, value, mark FROM material")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(MaterialRow {
                digest: Digest(row.get(0)?),
                value: row.get_ref(1)?.as_blob()?.into(),
                mark: row.get(2)?,
            });
        }
        Ok(())
    }

    /// Visits all domains, in one pass.
    pub(super) fn visit_domains(&self, mut each: impl FnMut(DomainRow)) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare("SELECT name, revision, record, material, companion, mark FROM domain")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(DomainRow {
                name: String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into(),
                revision: from_sql(row.get(1)?),
                record: row.get_ref(2)?.as_blob()?.into(),
                material: row.get::<_, Option<[u8; 32]>>(3)?.map(Digest),
                companion: row.get::<_, Option<[u8; 32]>>(4)?.map(Digest),
                mark: row.get(5)?,
            });
        }
        Ok(())
    }

    /// Deletes rows that are not what was written, and forgets how far the file is.
    pub(super) fn discard(&mut self, damage: &Damage) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for digest in &damage.issuers {
            let delete = "DELETE FROM issuer WHERE digest = ?1";
            transaction.prepare_cached(delete)?.execute([digest.0])?;
        }
        for digest in &damage.materials {
            let delete = "DELETE FROM material WHERE digest = ?1";
            transaction.prepare_cached(delete)?.execute([digest.0])?;
        }
        for name in &damage.domains {
            let delete = "DELETE FROM domain WHERE name = ?1";
            transaction
                .prepare_cached(delete)?
                .execute([name.as_ref()])?;
        }
        let count = "SELECT count(*) FROM domain";
        let domains: i64 = transaction.query_row(count, [], |row| row.get(0))?;
        let standing = Standing {
            complete: self.standing.complete,
            cursor: None,
            domains: domains.cast_unsigned(),
        };
        write_standing(&transaction, standing)?;
        transaction.commit()?;
        self.standing = standing;
        Ok(())
    }

    pub(super) fn quarantine(&self) -> rusqlite::Result<Vec<(Pattern, String)>> {
        let mut statement = self
            .connection
            .prepare("SELECT name, why FROM quarantine")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let mut found = Vec::new();
        for row in rows {
            let (name, why) = row?;
            if let Ok(name) = Pattern::parse(&name) {
                found.push((name, why));
            }
        }
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
            let was_complete = standing.complete;
            if advance {
                standing.reach(batch.reached);
            }
            if standing.complete && !was_complete {
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
    let mut quarantine = transaction
        .prepare_cached("INSERT OR REPLACE INTO quarantine (name, why) VALUES (?1, ?2)")?;
    for (name, why) in &batch.quarantine {
        quarantine.execute(params![name.to_string(), why])?;
    }
    Ok(added)
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

const fn to_sql(revision: Revision) -> i64 {
    revision.0.cast_signed()
}

const fn from_sql(revision: i64) -> Revision {
    Revision(revision.cast_unsigned())
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
