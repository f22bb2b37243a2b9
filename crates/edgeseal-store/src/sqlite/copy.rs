//! A file as the source or target of a copy.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior,
    config::DbConfig, params,
};
use tokio::task;

use super::{
    file::{self, BUSY_TIMEOUT, FLAGS, Lock, revision},
    snapshot,
};
use crate::{
    ChangesError, Fault, Key, Revision,
    copy::{
        COPY_MARKER, ChangeCursor, CopyMarker, CopySide, CopySource, CopyTarget, Row, Rows, Table,
    },
    open::{OpenError, StoreUrl},
};

mod rows;

use rows::{changed, count, load_entries, load_log, rows, rows_of};

/// A store that is copied: beside the process that owns it, or alone.
pub struct SqliteSource {
    name: String,
    path: PathBuf,
    /// Its number: the file may be replaced meanwhile.
    inode: u64,
    reader: Connections,
    /// Held if no process owned the file: none can open it then.
    _alone: Option<File>,
}

/// A file that a store is copied into.
pub struct SqliteTarget {
    name: String,
    connection: Connections,
    /// `None` for a file that only this process knows.
    _lock: Option<Lock>,
}

/// One connection, used on threads that may block.
#[derive(Clone)]
struct Connections(Arc<Mutex<Connection>>);

impl Connections {
    fn new(connection: Connection) -> Self {
        Self(Arc::new(Mutex::new(connection)))
    }

    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let connection = Arc::clone(&self.0);
        let done = task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        });
        let done = done.await.map_err(Fault::of(what))?;
        done.map_err(Fault::of(what))
    }
}

impl SqliteSource {
    /// Opens the store in this file.
    ///
    /// # Errors
    /// As [`SqliteSnapshot::open`](super::SqliteSnapshot::open).
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let path = absolute(path)?;
        file::check_magic(&path)?;
        let alone = snapshot::lock(&path)?;
        let unreadable = |cause: rusqlite::Error| file::read_error(&path, &cause);
        // The marker is written through a connection of its own: with a log, this one needs none.
        let connection = reader(&path).map_err(unreadable)?;
        let found = file::read_identity(&connection).map_err(unreadable)?;
        file::check_identity(&path, found)?;
        let inode = inode(&path).map_err(file::io_error(&path))?;
        Ok(Self {
            name: StoreUrl::Sqlite(path.clone()).name(),
            inode,
            reader: Connections::new(connection),
            path,
            _alone: alone,
        })
    }

    /// Opens a backup, which no process writes to meanwhile. It is not changed.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`OpenError::Locked`] if a process owns it.
    pub fn backup(path: &Path) -> Result<Self, OpenError> {
        let path = absolute(path)?;
        let Some(alone) = snapshot::lock(&path)? else {
            return Err(OpenError::Locked { path, holder: None });
        };
        let unreadable = |cause: rusqlite::Error| file::read_error(&path, &cause);
        let connection = snapshot::connect(&path, true).map_err(unreadable)?;
        Ok(Self {
            name: StoreUrl::Sqlite(path.clone()).name(),
            inode: inode(&path).map_err(file::io_error(&path))?,
            reader: Connections::new(connection),
            path,
            _alone: Some(alone),
        })
    }
}

impl SqliteTarget {
    /// Opens the file as its owner, and creates it if it is not there.
    ///
    /// # Errors
    /// As [`SqliteStore::open`](super::SqliteStore::open).
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let path = absolute(path)?;
        let opened = file::open(&path)?;
        Self::new(&path, opened.connection, Some(opened.lock))
    }

    /// An empty file that only this process knows: it may be damaged by a crash until it is closed.
    pub(super) fn private(path: &Path) -> Result<Self, OpenError> {
        let failed = |cause| file::write_error(path, cause, "make the tables");
        file::create_schema(path).map_err(failed)?;
        let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection
            .pragma_update(None, "synchronous", "OFF")
            .and_then(|()| connection.pragma_update(None, "journal_mode", "MEMORY"))
            .map_err(failed)?;
        Self::new(path, connection, None)
    }

    /// Closes the file.
    pub(super) async fn close(self) {
        let _ = task::spawn_blocking(move || drop(self)).await;
    }

    fn new(path: &Path, connection: Connection, lock: Option<Lock>) -> Result<Self, OpenError> {
        // They maintain the table of listings.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)
            .map_err(|cause| file::write_error(path, cause, "open"))?;
        Ok(Self {
            name: StoreUrl::Sqlite(path.to_owned()).name(),
            connection: Connections::new(connection),
            _lock: lock,
        })
    }

    async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        marker: &CopyMarker,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let marker = marker.clone();
        let done = self.connection.run(what, move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = stored_marker(&transaction)?;
            let found = found.and_then(|found| CopyMarker::parse(&found).ok());
            if !found.is_some_and(|found| found.is_of_same_run(&marker)) {
                return Ok(None);
            }
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(Some(done))
        });
        let done = done.await?;
        done.ok_or_else(|| Fault::new("write the copy: another run has taken it over"))
    }
}

#[async_trait]
impl CopySide for SqliteSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn count(&self, table: Table) -> Result<u64, Fault> {
        count(&self.reader, table).await
    }

    async fn rows(&self, table: Table, after: Option<&Key>) -> Result<Rows, Fault> {
        rows(&self.reader, table, after).await
    }

    async fn rows_of(&self, table: Table, keys: &[Key]) -> Result<Vec<Row>, Fault> {
        rows_of(&self.reader, table, keys).await
    }

    async fn marker(&self) -> Result<Option<CopyMarker>, Fault> {
        marker(&self.reader).await
    }
}

#[async_trait]
impl CopySource for SqliteSource {
    async fn changed(&self, table: Table, after: &ChangeCursor) -> Result<Rows, ChangesError> {
        let after = after.clone();
        let what = "read what changed";
        let found = self
            .reader
            .run(what, move |connection| changed(connection, table, &after));
        found.await?
    }

    async fn set_marker(
        &self,
        expected: Option<&CopyMarker>,
        marker: Option<&CopyMarker>,
    ) -> Result<Revision, Fault> {
        const WHAT: &str = "write the marker of the copy";
        if inode(&self.path).map_err(Fault::of(WHAT))? != self.inode {
            return Err(Fault::new(
                "write the marker of the copy: the file was replaced",
            ));
        }
        let connection =
            Connection::open_with_flags(&self.path, FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE);
        let connection = Connections::new(connection.map_err(Fault::of(WHAT))?);
        let expected = expected.cloned();
        let value = marker.map(CopyMarker::encode).transpose()?;
        let done = connection.run(WHAT, move |connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = stored_marker(&transaction)?;
            let found = found.and_then(|found| CopyMarker::parse(&found).ok());
            if found != expected {
                return Ok(None);
            }
            // As the owner's writer, which reads the head in each of its transactions.
            let head: i64 = transaction.query_row(
                "UPDATE log SET head = head + 1 RETURNING head",
                [],
                |row| row.get(0),
            )?;
            put_marker(&transaction, value.as_deref(), head)?;
            transaction.commit()?;
            Ok(Some(revision(head)))
        });
        let done = done.await?;
        done.ok_or_else(|| Fault::new("write the marker of the copy: it has another one"))
    }
}

#[async_trait]
impl CopySide for SqliteTarget {
    fn name(&self) -> &str {
        &self.name
    }

    async fn count(&self, table: Table) -> Result<u64, Fault> {
        count(&self.connection, table).await
    }

    async fn rows(&self, table: Table, after: Option<&Key>) -> Result<Rows, Fault> {
        rows(&self.connection, table, after).await
    }

    async fn rows_of(&self, table: Table, keys: &[Key]) -> Result<Vec<Row>, Fault> {
        rows_of(&self.connection, table, keys).await
    }

    async fn marker(&self) -> Result<Option<CopyMarker>, Fault> {
        marker(&self.connection).await
    }
}

#[async_trait]
impl CopyTarget for SqliteTarget {
    async fn begin(&self, before: Option<&CopyMarker>, marker: &CopyMarker) -> Result<(), Fault> {
        let (before, value) = (before.cloned(), marker.encode()?);
        let what = "begin the copy";
        let begun = self.connection.run(what, move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = stored_marker(&transaction)?;
            let found = found.and_then(|found| CopyMarker::parse(&found).ok());
            let has_rows = || {
                transaction
                    .prepare(
                        "SELECT 1 WHERE EXISTS (SELECT 1 FROM entry WHERE key <> 'meta/data-version')
                         OR EXISTS (SELECT 1 FROM audit) OR EXISTS (SELECT 1 FROM history)",
                    )?
                    .exists([])
            };
            if found != before || (before.is_none() && has_rows()?) {
                return Ok(false);
            }
            put_marker(&transaction, Some(&value), 0)?;
            transaction.commit()?;
            Ok(true)
        });
        match begun.await? {
            true => Ok(()),
            false => Err(Fault::new("begin the copy: somebody else writes there")),
        }
    }

    async fn clear(&self, marker: &CopyMarker) -> Result<(), Fault> {
        let value = marker.encode()?;
        let cleared = self.write("clear the copy", marker, move |transaction| {
            for table in Table::ALL {
                transaction.execute(&format!("DELETE FROM {}", table.name()), [])?;
            }
            put_marker(transaction, Some(&value), 0)
        });
        cleared.await
    }

    async fn load(&self, table: Table, rows: &[Row], marker: &CopyMarker) -> Result<(), Fault> {
        let (rows, value) = (rows.to_vec(), marker.encode()?);
        let loaded = self.write("write the copy", marker, move |transaction| {
            match table {
                Table::Entry => load_entries(transaction, &rows)?,
                Table::Audit | Table::History => load_log(transaction, table, &rows)?,
            }
            put_marker(transaction, Some(&value), 0)
        });
        loaded.await
    }

    async fn finish(&self, marker: &CopyMarker, above: Revision) -> Result<(), Fault> {
        let finished = self.write("finish the copy", marker, move |transaction| {
            put_marker(transaction, None, 0)?;
            transaction.execute("DELETE FROM life", [])?;
            transaction.execute(
                "UPDATE log SET first = ?1, head = ?1, compacted = ?1",
                [above.0.cast_signed() + 1],
            )
        });
        finished.await.map(drop)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, OpenError> {
    std::path::absolute(path).map_err(file::io_error(path))
}

fn inode(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(std::fs::metadata(path)?.ino())
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    // Of a file with a log, also of a process that was killed, a reader makes the index.
    let connection = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

async fn marker(connection: &Connections) -> Result<Option<CopyMarker>, Fault> {
    let found = connection.run("read the marker of the copy", |connection| {
        stored_marker(connection)
    });
    found
        .await?
        .map(|found| CopyMarker::parse(&found))
        .transpose()
}

pub(super) fn stored_marker(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM entry WHERE key = ?1 AND value IS NOT NULL")?
        .query_row([COPY_MARKER], |row| row.get(0))
        .optional()
}

/// Writes or removes the marker.
fn put_marker(
    transaction: &Transaction<'_>,
    value: Option<&[u8]>,
    changed: i64,
) -> rusqlite::Result<()> {
    match value {
        Some(value) => transaction.execute(
            "INSERT INTO entry (key, value, changed) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed",
            params![COPY_MARKER, value, changed],
        ),
        // Nobody follows it.
        None => transaction.execute("DELETE FROM entry WHERE key = ?1", [COPY_MARKER]),
    }
    .map(drop)
}
