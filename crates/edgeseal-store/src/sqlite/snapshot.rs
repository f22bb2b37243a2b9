//! A read-only snapshot of a store, whether a process owns it or not.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    file::{self, BUSY_TIMEOUT, FLAGS, with_suffix},
    logs, read,
};
use crate::{
    Changes, ChangesError, CommitError, Entry, Fault, Filter, Key, Listing, Lists, Log, LogPage,
    LogRange, LogRow, Logs, Page, Revision, Source, Store, Txn,
    data_version::{self, DataVersionError},
    open::{OpenError, StoreUrl},
};

/// A snapshot of a store. Opening and reading it changes no byte of any file and creates none.
///
/// All reads are in one snapshot. While it is open, the write-ahead log of a process that writes
/// grows, and if no process owned the store, none can open it.
pub struct SqliteSnapshot {
    connection: Mutex<Connection>,
    /// Kept until the connection is closed; `None` if another process owns the store.
    exclusive_lock: Option<File>,
}

impl SqliteSnapshot {
    /// Opens the store in this file.
    ///
    /// # Errors
    /// [`OpenError::Unreadable`], [`OpenError::NewerSchema`], [`OpenError::OlderSchema`], or
    /// [`OpenError::Io`] if the file is not there.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        file::check_magic(path)?;
        let alone = lock(path)?;
        let unreadable = |cause: rusqlite::Error| file::read_error(path, &cause);
        let connection = open_read_only(path, alone.is_some()).map_err(unreadable)?;
        let found = file::read_identity(&connection).map_err(unreadable)?;
        file::check_identity(path, found)?;
        let data = read::get(&connection, &Key::data_version());
        data.map_err(DataVersionError::from)
            .and_then(|found| data_version::check(found.as_ref()))
            .map_err(|why| {
                OpenError::of_data(StoreUrl::Sqlite(path.to_owned()).to_string(), why)
            })?;
        Ok(Self {
            connection: Mutex::new(connection),
            exclusive_lock: alone,
        })
    }

    /// Whether another process owns the store.
    #[must_use]
    pub const fn is_owned(&self) -> bool {
        self.exclusive_lock.is_none()
    }

    /// The errors that SQLite finds in the file; empty if there are none.
    ///
    /// # Errors
    /// A [`Fault`] if the file cannot be read.
    pub fn integrity_errors(&self) -> Result<Vec<String>, Fault> {
        let check = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
            let mut statement = connection.prepare("PRAGMA quick_check(10)")?;
            let found = statement.query_map([], |row| row.get::<_, String>(0))?;
            found.collect()
        };
        let mut found = check(&self.connection()).map_err(Fault::of("check the file"))?;
        found.retain(|line| line != "ok");
        Ok(found)
    }

    /// How many rows of the table of listings are missing, superfluous or wrong.
    ///
    /// # Errors
    /// A [`Fault`] if the file cannot be read.
    pub fn listing_mismatches(&self) -> Result<u64, Fault> {
        const LISTED: &str = "SELECT key, value, changed FROM entry
            WHERE key >= 'account' AND key < 'accounu' AND value IS NOT NULL";
        const LISTINGS: &str = "SELECT key, value, changed FROM listed";
        let count = |one: &str, other: &str| {
            let sql = format!("SELECT count(*) FROM ({one} EXCEPT {other})");
            self.connection()
                .query_row(&sql, [], |row| row.get::<_, i64>(0))
        };
        let both = count(LISTED, LISTINGS).and_then(|n| Ok(n.max(count(LISTINGS, LISTED)?)));
        both.map(i64::cast_unsigned)
            .map_err(Fault::of("compare listings"))
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks the store as its owner would; `None` if another process owns it.
pub(super) fn lock(path: &Path) -> Result<Option<File>, OpenError> {
    let beside = with_suffix(path, ".lock");
    let failed = |cause| OpenError::Io {
        path: beside.clone(),
        cause,
    };
    let file = match File::open(&beside) {
        Ok(file) => file,
        // No process has opened it yet, or the lock file was deleted: the database itself is used.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return File::open(path).map(Some).map_err(|cause| OpenError::Io {
                path: path.to_owned(),
                cause,
            });
        }
        Err(cause) => return Err(failed(cause)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

/// Opens a snapshot of any SQLite file with a write-ahead log, without changing a byte of it or
/// creating a file. `alone`: no other process has it open, or will until the connection is closed.
///
/// # Errors
/// Those of SQLite.
pub fn open_read_only(path: &Path, alone: bool) -> rusqlite::Result<Connection> {
    let connection = connect(path, alone)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.execute_batch("BEGIN")?;
    Ok(connection)
}

/// As [`open_read_only`], before the snapshot begins.
pub(super) fn connect(path: &Path, alone: bool) -> rusqlite::Result<Connection> {
    let has_log = fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let connection = match (alone, has_log) {
        // Its owner has created the files that a reader needs.
        (false, _) => Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        // Everything is in the one file, and no process writes it.
        (true, false) => {
            let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable_uri(path), flags)?
        }
        // The log of a process that was killed must be read, which needs an index of it. An
        // exclusive connection keeps that in memory; it must not checkpoint the log when it closes.
        (true, true) => {
            let connection =
                Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection
        }
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// `file:PATH?immutable=1`, percent-encoded.
fn immutable_uri(path: &Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

const fn read_only() -> Fault {
    Fault::new("write: the store is only looked at")
}

#[async_trait]
impl Source for SqliteSnapshot {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        read::get(&self.connection(), key)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        read::get_many(&self.connection(), keys)
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        read::list(&self.connection(), prefix, after, limit)
    }

    async fn changes(&self, _: Revision, _: &[&str], _: usize) -> Result<Changes, ChangesError> {
        Err(Fault::new("follow: one moment of a store does not change").into())
    }
}

#[async_trait]
impl Lists for SqliteSnapshot {
    async fn select(
        &self,
        prefix: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        read::select(&self.connection(), prefix, filter, skip, limit)
    }
}

#[async_trait]
impl Store for SqliteSnapshot {
    async fn commit(&self, _: Txn) -> Result<Revision, CommitError> {
        Err(read_only().into())
    }

    async fn sweep(&self, _: Timestamp) -> Result<usize, Fault> {
        Err(read_only())
    }
}

#[async_trait]
impl Logs for SqliteSnapshot {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        logs::read_log(&self.connection(), range, limit)
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        logs::get_log_rows(&self.connection(), (log, scope), names)
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        logs::audit_since(&self.connection(), after, limit)
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        logs::log_scopes(&self.connection(), log, after, limit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;
    use crate::{Write, sqlite::SqliteStore};

    fn put(key: &str) -> Txn {
        let write = Write::Put {
            key: Key::from_stored(key),
            value: Bytes::from_static(b"value"),
            expires: None,
        };
        Txn {
            write: vec![write],
            ..Txn::default()
        }
    }

    fn files(directory: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
        let entries = fs::read_dir(directory).unwrap();
        let entries = entries.map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
            .collect()
    }

    async fn keys(path: &Path) -> Vec<String> {
        let view = SqliteSnapshot::open(path).unwrap();
        assert_eq!(view.integrity_errors().unwrap(), Vec::<String>::new());
        assert_eq!(view.listing_mismatches().unwrap(), 0);
        assert!(view.commit(put("c")).await.is_err());
        let page = view.list("", None, 10).await.unwrap();
        let keys = page.entries.iter().map(|entry| entry.key.to_string());
        keys.collect()
    }

    /// Beside its owner, after a clean end, and after a crash, whose log must be read.
    #[tokio::test]
    async fn a_snapshot_changes_no_file() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a #1?%");
        let path = directory.join("store.db");
        let crashed = home.path().join("crashed");
        fs::create_dir(&crashed).unwrap();
        let store = SqliteStore::open(&path).unwrap();
        store.commit(put("account/a")).await.unwrap();
        store.commit(put("b")).await.unwrap();
        assert_eq!(keys(&path).await, ["account/a", "b"]);
        for name in ["store.db", "store.db-wal", "store.db.lock"] {
            fs::copy(directory.join(name), crashed.join(name)).unwrap();
        }
        store.close().await;
        for directory in [&directory, &crashed] {
            let before = files(directory);
            assert_eq!(keys(&directory.join("store.db")).await, ["account/a", "b"]);
            assert!(files(directory) == before, "{}", directory.display());
        }
        assert!(files(&crashed).keys().any(|name| name == "store.db-wal"));
    }

    #[tokio::test]
    async fn the_store_cannot_open_while_a_snapshot_is_held() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store.db");
        SqliteStore::open(&path).unwrap().close().await;
        let view = SqliteSnapshot::open(&path).unwrap();
        assert!(matches!(
            SqliteStore::open(&path),
            Err(OpenError::Locked { .. })
        ));
        drop(view);
        SqliteStore::open(&path).unwrap().close().await;
    }

    #[test]
    fn other_files_are_rejected() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store.db");
        assert!(matches!(
            SqliteSnapshot::open(&path),
            Err(OpenError::Io { .. })
        ));
        fs::write(&path, b"this is no database").unwrap();
        assert!(matches!(
            SqliteSnapshot::open(&path),
            Err(OpenError::Unreadable { .. })
        ));
    }
}
