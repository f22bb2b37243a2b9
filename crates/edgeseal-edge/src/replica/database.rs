//! The SQL of the replica.

use std::path::Path;

use bytes::Bytes;
use edgeseal_core::{Pattern, certificate::Digest, domain::Environment};
use edgeseal_store::Revision;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Transaction, params};

use super::{Batch, Issuer, Reached, ReplicaError, Row, Standing, Unreadable};

const FORMAT: &str = "1";

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (
    key   TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS domain (
    name     TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    record   BLOB NOT NULL,
    material BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS domain_material ON domain (material) WHERE material IS NOT NULL;
CREATE TABLE IF NOT EXISTS material (
    digest BLOB PRIMARY KEY,
    value  BLOB NOT NULL
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

/// The open file.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
}

impl Database {
    pub(super) fn open(path: &Path, environment: Environment) -> Result<Self, ReplicaError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // What was sealed under a key that is retired is not to lie about in free pages.
        connection.pragma_update(None, "secure_delete", true)?;
        quick_check(&connection)?;
        connection.execute_batch(SCHEMA)?;
        let database = Self { connection };
        let environment = match environment {
            Environment::Production => "production",
            Environment::Staging => "staging",
        };
        database.insist("format", FORMAT)?;
        database.insist("environment", environment)?;
        Ok(database)
    }

    /// Looks at one moment of the file and changes nothing. `alone`: nobody has it open.
    pub(super) fn look(path: &Path, alone: bool) -> Result<Self, ReplicaError> {
        let connection = edgeseal_store::sqlite::look_at(path, alone)?;
        quick_check(&connection)?;
        Ok(Self { connection })
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

    pub(super) fn standing(&self) -> rusqlite::Result<Standing> {
        let complete = self.meta::<i64>("complete")?.is_some();
        let cursor = self.meta::<i64>("cursor")?.map(from_sql);
        Ok(Standing { complete, cursor })
    }

    pub(super) fn issuers(&self) -> rusqlite::Result<Vec<Issuer>> {
        let mut statement = self.connection.prepare("SELECT digest, der FROM issuer")?;
        let rows = statement.query_map([], |row| {
            let der: Vec<u8> = row.get(1)?;
            Ok((Digest(row.get(0)?), der.into()))
        })?;
        rows.collect()
    }

    pub(super) fn visit(
        &self,
        mut each: impl FnMut(Result<Row, Unreadable>),
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT name, revision, record, domain.material, value
             FROM domain LEFT JOIN material ON material.digest = domain.material",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            each(read_row(row, &name)?.ok_or(Unreadable { name }));
        }
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

    pub(super) fn forget_cursor(&self) -> rusqlite::Result<()> {
        self.connection
            .execute("DELETE FROM meta WHERE key = 'cursor'", [])
            .map(drop)
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
        for batch in batches {
            write_batch(&transaction, batch)?;
            if advance {
                write_reached(&transaction, batch.reached)?;
            }
        }
        transaction.commit()
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

fn write_batch(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut issuer =
        transaction.prepare_cached("INSERT OR IGNORE INTO issuer (digest, der) VALUES (?1, ?2)")?;
    for (digest, der) in &batch.issuers {
        issuer.execute(params![digest.0, der.as_ref()])?;
    }
    let mut material = transaction.prepare_cached(
        "INSERT INTO material (digest, value) VALUES (?1, ?2)
         ON CONFLICT (digest) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
    )?;
    let mut domain = transaction.prepare_cached(
        "INSERT OR REPLACE INTO domain (name, revision, record, material) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut unquarantine = transaction.prepare_cached("DELETE FROM quarantine WHERE name = ?1")?;
    for row in &batch.put {
        let name = row.name.to_string();
        let before = material_of(transaction, &name)?;
        let digest = row.material.as_ref().map(|(digest, _)| digest.0);
        if let Some((digest, value)) = &row.material {
            material.execute(params![digest.0, value.as_ref()])?;
        }
        domain.execute(params![
            name,
            to_sql(row.revision),
            row.record.as_ref(),
            digest
        ])?;
        unquarantine.execute([&name])?;
        release(transaction, before.filter(|old| Some(*old) != digest))?;
    }
    for name in &batch.remove {
        let name = name.to_string();
        let before = material_of(transaction, &name)?;
        transaction
            .prepare_cached("DELETE FROM domain WHERE name = ?1")?
            .execute([&name])?;
        unquarantine.execute([&name])?;
        release(transaction, before)?;
    }
    let mut reseal =
        transaction.prepare_cached("UPDATE material SET value = ?2 WHERE digest = ?1")?;
    for (digest, value) in &batch.resealed {
        reseal.execute(params![digest.0, value.as_ref()])?;
    }
    let mut quarantine = transaction
        .prepare_cached("INSERT OR REPLACE INTO quarantine (name, why) VALUES (?1, ?2)")?;
    for (name, why) in &batch.quarantine {
        quarantine.execute(params![name.to_string(), why])?;
    }
    Ok(())
}

fn write_reached(transaction: &Transaction<'_>, reached: Reached) -> rusqlite::Result<()> {
    let (cursor, complete) = match reached {
        Reached::Unchanged => return Ok(()),
        Reached::Cursor(cursor) => (cursor, false),
        Reached::Complete(cursor) => (cursor, true),
    };
    set_meta(transaction, "cursor", to_sql(cursor))?;
    if complete {
        set_meta(transaction, "complete", 1)?;
    }
    Ok(())
}

fn material_of(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<[u8; 32]>> {
    transaction
        .prepare_cached("SELECT material FROM domain WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// Deletes material that no domain needs any more.
fn release(transaction: &Transaction<'_>, digest: Option<[u8; 32]>) -> rusqlite::Result<()> {
    let Some(digest) = digest else { return Ok(()) };
    transaction
        .prepare_cached(
            "DELETE FROM material WHERE digest = ?1
             AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.material = ?1)",
        )?
        .execute([digest])
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

/// `None` if the row is not what was once written: another name, or material that is missing.
fn read_row(row: &SqlRow<'_>, name: &str) -> rusqlite::Result<Option<Row>> {
    let Ok(name) = Pattern::parse(name) else {
        return Ok(None);
    };
    let digest: Option<[u8; 32]> = row.get(3)?;
    let value: Option<Vec<u8>> = row.get(4)?;
    let material = match (digest, value) {
        (Some(_), None) => return Ok(None),
        (digest, value) => digest.map(Digest).zip(value.map(Bytes::from)),
    };
    let record: Vec<u8> = row.get(2)?;
    Ok(Some(Row {
        name,
        revision: from_sql(row.get(1)?),
        record: Bytes::from(record),
        material,
    }))
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
