//! The database file: its owner, its format, and its creation.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};
use rustix::fs::StatVfsMountFlags;

use crate::{
    Fault, Revision,
    open::{OpenError, revision_jump},
};

/// `EdSl`: tells our files from those of other programs (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x4564_536c;
/// The layout that this release knows (`PRAGMA user_version`).
const SCHEMA_VERSION: i64 = 3;

/// A plain rowid table: rows of one commit stand side by side whatever their keys, and a value of
/// 1–4 kB stays within its page, where an index-organised table would move it to an overflow page.
/// A deleted key keeps its row, with no value, until the change log is compacted. All rows are in
/// the index by revision, also those that nobody follows: it grows at its end, which costs less
/// than a tenth of a commit.
///
/// `listed` duplicates the present rows under [`LISTING_PREFIX`](crate::key::LISTING_PREFIX),
/// ordered by key: they are small, and counting or scanning 100,000 of them takes a sixth of the
/// time that it takes in `entry`. The writer maintains it with its own statements. Triggers
/// maintain it for other programs and earlier releases that write the file; they are off on the
/// writer's connection, because SQLite copies each page before a statement with a trigger changes
/// it, to be able to roll that statement back, which took an eighth of the writer's time.
///
/// `audit` and `history` are the logs (`logs.rs`). Audit records stand in the order of their commits,
/// which is the order in which they are linked and removed; changes of a domain stand side by side.
///
/// `log` has one row: the revisions of this incarnation of the file, and up to where deletes are
/// compacted. `life` has the revisions of earlier incarnations.
const SCHEMA_SQL: &str = "
    CREATE TABLE entry (
        id      INTEGER PRIMARY KEY,
        key     TEXT NOT NULL UNIQUE,
        value   BLOB,
        changed INTEGER NOT NULL,
        expires INTEGER
    );
    CREATE INDEX entry_changed ON entry (changed);
    CREATE INDEX entry_deleted ON entry (changed) WHERE value IS NULL;
    CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL;
    CREATE TABLE listed (
        key     TEXT PRIMARY KEY,
        value   BLOB NOT NULL,
        changed INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TRIGGER entry_added AFTER INSERT ON entry
    WHEN new.key >= 'account' AND new.key < 'accounu' AND new.value IS NOT NULL
    BEGIN
        INSERT INTO listed VALUES (new.key, new.value, new.changed)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed;
    END;
    CREATE TRIGGER entry_written AFTER UPDATE ON entry
    WHEN new.key >= 'account' AND new.key < 'accounu' AND new.value IS NOT NULL
    BEGIN
        INSERT INTO listed VALUES (new.key, new.value, new.changed)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed;
    END;
    CREATE TRIGGER entry_emptied AFTER UPDATE ON entry
    WHEN new.key >= 'account' AND new.key < 'accounu' AND new.value IS NULL
    BEGIN
        DELETE FROM listed WHERE key = new.key;
    END;
    CREATE TRIGGER entry_removed AFTER DELETE ON entry
    WHEN old.key >= 'account' AND old.key < 'accounu'
    BEGIN
        DELETE FROM listed WHERE key = old.key;
    END;
    CREATE TABLE audit (
        revision INTEGER PRIMARY KEY,
        scope    TEXT NOT NULL,
        name     TEXT NOT NULL,
        value    BLOB NOT NULL,
        UNIQUE (scope, name)
    );
    CREATE TABLE history (
        scope    TEXT NOT NULL,
        name     TEXT NOT NULL,
        revision INTEGER NOT NULL,
        value    BLOB NOT NULL,
        PRIMARY KEY (scope, name)
    ) WITHOUT ROWID;
    CREATE TABLE log (
        one       INTEGER PRIMARY KEY CHECK (one = 1),
        first     INTEGER NOT NULL,
        head      INTEGER NOT NULL,
        compacted INTEGER NOT NULL
    );
    CREATE TABLE life (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
    INSERT INTO log VALUES (1, 0, 0, 0);
";

/// An open file that this process owns.
pub(super) struct OpenedDatabase {
    pub(super) connection: Connection,
    /// Held as long as the file is open.
    pub(super) lock: Lock,
    pub(super) incarnations: Vec<(Revision, Revision)>,
    pub(super) first_revision: Revision,
}

/// Marks that this process owns the file. The kernel releases it when the process ends, however it
/// ends.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is being started still has the file open.
        let _ = self.0.unlock();
    }
}

pub(super) fn open(path: &Path) -> Result<OpenedDatabase, OpenError> {
    make_directory(path)?;
    let lock = lock(path)?;
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => 0,
        Err(cause) => return Err(io_error(path)(cause)),
    };
    if length == 0 {
        create(path)?;
    }
    inspect(path)?;
    let failed = |what| move |cause| write_error(path, cause, what);
    let mut connection = connect(path).map_err(failed("open"))?;
    let begun = begin_incarnation(&mut connection, revision_jump());
    let (first, lives) = begun.map_err(failed("begin a life of the file"))?;
    Ok(OpenedDatabase {
        connection,
        lock,
        incarnations: lives,
        first_revision: first,
    })
}

/// `PATH` with a suffix, as SQLite names its auxiliary files.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory_of(path);
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(io_error(directory))?;
    // A power cut must not lose the directory entry.
    for made in directory
        .ancestors()
        .filter(|made| !made.as_os_str().is_empty())
    {
        if File::open(made).and_then(|made| made.sync_all()).is_err() {
            break; // not ours to read, so not made by us
        }
    }
    Ok(())
}

pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

pub(super) fn lock(path: &Path) -> Result<Lock, OpenError> {
    let beside = with_suffix(path, ".lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .map_err(io_error(&beside))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            return Err(OpenError::Locked {
                path: path.to_owned(),
                holder: read.ok().and_then(|_| holder.trim().parse().ok()),
            });
        }
        Err(TryLockError::Error(cause)) => return Err(io_error(&beside)(cause)),
    }
    // For the message above only.
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(io_error(&beside))?;
    Ok(Lock(file))
}

/// Creates the file under another name first: a crash leaves no file or a complete one.
fn create(path: &Path) -> Result<(), OpenError> {
    let new = with_suffix(path, ".new");
    for leftover in [new.clone(), with_suffix(&new, "-journal")] {
        match fs::remove_file(&leftover) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&leftover)(cause));
            }
            _ => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(io_error(&new))?;
    create_schema(&new).map_err(|cause| write_error(path, cause, "make the tables"))?;
    fs::rename(&new, path)
        .and_then(|()| File::open(directory_of(path))?.sync_all())
        .map_err(io_error(path))
}

pub(super) fn create_schema(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(SCHEMA_SQL)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Inspects the file without changing it: its header first, then read-only through SQLite.
fn inspect(path: &Path) -> Result<(), OpenError> {
    check_magic(path)?;
    let connection = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_READ_ONLY);
    let found = connection.and_then(|connection| read_identity(&connection));
    let found = found.map_err(|cause| read_error(path, &cause))?;
    check_identity(path, found)
}

/// Whether the file begins like a SQLite database.
pub(super) fn check_magic(path: &Path) -> Result<(), OpenError> {
    let mut magic = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == *b"SQLite format 3\0" => Ok(()),
        Err(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => Err(io_error(path)(cause)),
        _ => Err(unreadable(path, "it is no SQLite database".to_owned())),
    }
}

/// Whether a file with this application and layout is a store of this release.
pub(super) fn check_identity(
    path: &Path,
    (application, schema): (i32, i64),
) -> Result<(), OpenError> {
    if application != APPLICATION_ID {
        let why = "it is a SQLite database of another program";
        return Err(unreadable(path, why.to_owned()));
    }
    if schema > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found: schema,
            known: SCHEMA_VERSION,
        });
    }
    if schema < SCHEMA_VERSION {
        return Err(OpenError::OlderSchema {
            path: path.to_owned(),
            found: schema,
            known: SCHEMA_VERSION,
        });
    }
    Ok(())
}

/// Application and schema version of a database; of a store also its `log` is read.
pub(super) fn read_identity(connection: &Connection) -> rusqlite::Result<(i32, i64)> {
    let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let schema = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application == APPLICATION_ID && schema == SCHEMA_VERSION {
        connection.query_row("SELECT head, compacted FROM log", [], |_| Ok(()))?;
        connection.query_row("SELECT max(changed), max(key) FROM entry", [], |_| Ok(()))?;
        connection.query_row(
            "SELECT max(revision), max(scope) FROM audit",
            [],
            |_| Ok(()),
        )?;
        connection.query_row("SELECT max(scope), max(name) FROM history", [], |_| Ok(()))?;
    }
    Ok((application, schema))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        match mode.as_str() {
            "wal" => Ok(()),
            _ => Err(rusqlite::Error::InvalidQuery),
        }
    })?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Removed and resealed values are overwritten, not only unlinked.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -32_768)?; // KiB
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES.cast_signed())?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// How long an operator's tool may hold the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Checkpoint the write-ahead log when it has this many pages, 64 MB. Until then index pages are
/// written to the log repeatedly, but to the file only once: twice the commits of a log of 8 MB.
const CHECKPOINT_PAGES: i64 = 16_000;
/// The longest write-ahead log after a checkpoint, in bytes.
pub(super) const WAL_LIMIT_BYTES: u64 = 128 << 20;
/// Each connection is used by one thread at a time, and paths are no URIs.
pub(super) const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;

/// Jumps to a new revision, and records which revisions earlier incarnations issued.
fn begin_incarnation(
    connection: &mut Connection,
    leap: u64,
) -> rusqlite::Result<(Revision, Vec<(Revision, Revision)>)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO life SELECT first, head FROM log", [])?;
    // Followers older than the log get `Compacted` anyway.
    transaction.execute(
        "DELETE FROM life WHERE last < (SELECT compacted FROM log)",
        [],
    )?;
    // Fails at 2^63 rather than wrap round: the sum would be no integer.
    let first: i64 = transaction.query_row(
        "UPDATE log SET first = head + ?1, head = head + ?1 RETURNING head",
        [leap.cast_signed()],
        |row| row.get(0),
    )?;
    let lives = transaction
        .prepare("SELECT first, last FROM life ORDER BY first")?
        .query_map([], |row| Ok((revision(row.get(0)?), revision(row.get(1)?))))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok((revision(first), lives))
}

pub(super) fn revision(stored: i64) -> Revision {
    Revision(stored.cast_unsigned())
}

/// Why SQLite cannot read a file: the disk may be too full for the index of its log.
pub(super) fn read_error(path: &Path, cause: &rusqlite::Error) -> OpenError {
    if is_full(path, cause) {
        return OpenError::DiskFull {
            path: path.to_owned(),
        };
    }
    unreadable(path, cause.to_string())
}

/// Why SQLite cannot write a file.
pub(super) fn write_error(path: &Path, cause: rusqlite::Error, what: &'static str) -> OpenError {
    let full = is_full(path, &cause);
    let path = path.to_owned();
    if full {
        return OpenError::DiskFull { path };
    }
    let fault = cause_of(what)(cause);
    OpenError::Fault { path, fault }
}

/// Whether SQLite failed because the disk of this file is full. For the index of a log it reports
/// only an I/O error (`SQLITE_IOERR_SHMSIZE` and others), so the file system is asked.
fn is_full(path: &Path, cause: &rusqlite::Error) -> bool {
    /// One piece of that index.
    const INDEX_BYTES: u64 = 32 << 10;
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            let disk = rustix::fs::statvfs(directory_of(path));
            disk.is_ok_and(|disk| {
                // One that takes nothing at all is another matter.
                !disk.f_flag.contains(StatVfsMountFlags::RDONLY)
                    && disk.f_bavail.saturating_mul(disk.f_frsize) < INDEX_BYTES
            })
        }
        _ => false,
    }
}

fn unreadable(path: &Path, why: String) -> OpenError {
    OpenError::Unreadable {
        path: path.to_owned(),
        why,
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |cause| OpenError::Io { path, cause }
}

pub(super) fn cause_of(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Fault {
    Fault::of(what)
}
