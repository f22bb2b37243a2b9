//! Copies of a whole store: made while a process writes to it, and put in its place while none does.
//!
//! A copy is one moment of the store, read under one snapshot (`VACUUM INTO`), so a busy writer neither
//! waits for it nor makes it begin anew. It appears under its name whole and durable, or not at all.
//! Whatever is sealed stays sealed: the key-encryption keys are not in it.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use edgeseal_core::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use tempfile::NamedTempFile;

use super::{
    file::{self, FLAGS, cause_of, directory_of, io_error, revision, with_suffix},
    snapshot::{self, SqliteSnapshot},
};
use crate::{
    Fault, Revision,
    key::{COUNTERS, prefix_end},
    open::OpenError,
};

/// A copy that nobody sees yet. Dropped, it is removed.
#[derive(Debug)]
pub struct StoreBackup {
    file: NamedTempFile,
}

/// Why a copy does not get its place.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something at this path. It was not touched.
    #[error("{} is there already; it was left as it is", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// A process owns the store. Nothing was touched.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be moved.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Numbers that are passed over when a copy is put in the place of a store: more than are handed out
/// between two backups, so that no number of a certificate or domain is given a second time.
const SKIPPED_IDS: i64 = 1_000_000;

impl StoreBackup {
    /// Copies the store in `from`, whether a process owns it or not, into the directory of `to`. Takes
    /// about a second for each few hundred megabytes; the store's log is not folded back meanwhile.
    ///
    /// # Errors
    /// As [`SqliteSnapshot::open`]; [`OpenError::Io`], [`OpenError::DiskFull`] or [`OpenError::Fault`] with the
    /// path `to` or its directory if the copy cannot be written.
    pub fn create(from: &Path, to: &Path) -> Result<Self, OpenError> {
        file::check_magic(from)?;
        // Kept to the end: no process begins to write to a store that is looked at as if it were still.
        let alone = snapshot::lock(from)?;
        let unreadable = |cause: rusqlite::Error| file::read_error(from, &cause);
        let source = snapshot::connect(from, alone.is_some()).map_err(unreadable)?;
        let found = file::read_identity(&source).map_err(unreadable)?;
        file::check_identity(from, found)?;
        let directory = directory_of(to);
        let file = tempfile::Builder::new()
            .prefix(".store-copy-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)
            .map_err(io_error(directory))?;
        // SQLite takes an empty file as one that is not there, and leaves its mode alone.
        source
            .execute("VACUUM INTO ?1", [path_text(file.path())?])
            .map_err(|cause| match cause.sqlite_error_code() {
                // What is read is damaged; anything else befell the copy.
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => unreadable(cause),
                _ => file::write_error(to, cause, "copy the store"),
            })?;
        Ok(Self { file })
    }

    /// Opens the copy to look at it.
    ///
    /// # Errors
    /// As [`SqliteSnapshot::open`].
    pub fn snapshot(&self) -> Result<SqliteSnapshot, OpenError> {
        SqliteSnapshot::open(self.file.path())
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.as_file().metadata()?.len())
    }

    /// Gives the copy its name, durably, unless there is something of this name.
    ///
    /// # Errors
    /// [`BackupError::Exists`] or [`BackupError::Io`].
    pub fn persist(self, to: &Path) -> Result<(), BackupError> {
        let io = |cause| BackupError::Io {
            path: to.to_owned(),
            cause,
        };
        // By path: SQLite wrote to a file of its own, which is this one.
        let written = File::open(self.file.path()).map_err(io)?;
        written.sync_all().map_err(io)?;
        match self.file.persist_noclobber(to) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists {
                    path: to.to_owned(),
                });
            }
            Err(error) => return Err(io(error.error)),
        }
        sync_directory(to).map_err(io)
    }

    /// Puts the copy in the place of the store in `path`, which no process may own. With `replace`, what
    /// is there is kept beside it, under the name that is returned; without, it is an error.
    ///
    /// Whoever follows the store notices that it went back, since each opening leaps to other revisions,
    /// and takes everything anew. Numbers of certificates and domains go on far after those in the copy.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn restore_to(
        self,
        path: &Path,
        replace: bool,
        now: Timestamp,
    ) -> Result<Option<PathBuf>, BackupError> {
        let (_owner, there) = lock_restore_target(path, replace)?;
        let numbered = self.skip_ids();
        numbered.map_err(|cause| {
            file::write_error(path, cause, "pass over numbers that may have been given")
        })?;
        let aside = with_suffix(path, &format!(".before-{}", now.unix_ms()));
        set_aside(path, &aside)?;
        self.persist(path)?;
        Ok(there.then_some(aside))
    }

    fn skip_ids(&self) -> rusqlite::Result<()> {
        let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE;
        let mut connection = Connection::open_with_flags(self.file.path(), flags)?;
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE entry SET value = CAST(CAST(CAST(value AS TEXT) AS INTEGER) + ?1 AS BLOB)
             WHERE key >= ?2 AND key < ?3 AND value IS NOT NULL",
            params![SKIPPED_IDS, COUNTERS, prefix_end(COUNTERS)],
        )?;
        transaction.commit()
    }
}

/// Whether a copy may be [put](StoreBackup::restore_to) there: it saves the reading of one that may not.
///
/// # Errors
/// [`BackupError`]; nothing was touched.
pub fn check_restore_target(path: &Path, replace: bool) -> Result<(), BackupError> {
    lock_restore_target(path, replace).map(drop)
}

/// Takes the place of the process that would own the store; whether there is a store.
fn lock_restore_target(path: &Path, replace: bool) -> Result<(file::Lock, bool), BackupError> {
    file::make_directory(path)?;
    let owner = file::lock(path)?;
    let there = [path.to_owned(), with_suffix(path, "-wal")];
    let there = there.iter().any(|path| length(path) > 0);
    if there && !replace {
        return Err(BackupError::Exists {
            path: path.to_owned(),
        });
    }
    Ok((owner, there))
}

/// Moves a store and what belongs to it away, the log with its database.
fn set_aside(path: &Path, aside: &Path) -> Result<(), BackupError> {
    for tail in ["", "-wal"] {
        let (from, to) = (with_suffix(path, tail), with_suffix(aside, tail));
        // Of an empty log, and of an empty file, there is nothing to be kept.
        let gone = match length(&from) {
            0 => fs::remove_file(&from),
            _ => fs::rename(&from, &to),
        };
        moved(gone, &from)?;
    }
    // An index of the log, which is made anew.
    let index = with_suffix(path, "-shm");
    moved(fs::remove_file(&index), &index)
}

/// That there was none is fine.
fn moved(result: io::Result<()>, path: &Path) -> Result<(), BackupError> {
    match result {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(BackupError::Io {
            path: path.to_owned(),
            cause,
        }),
        _ => Ok(()),
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn sync_directory(of: &Path) -> io::Result<()> {
    File::open(directory_of(of))?.sync_all()
}

fn path_text(path: &Path) -> Result<&str, OpenError> {
    path.to_str().ok_or_else(|| OpenError::Io {
        path: path.to_owned(),
        cause: io::Error::new(
            io::ErrorKind::InvalidFilename,
            "SQLite takes paths in UTF-8",
        ),
    })
}

impl SqliteSnapshot {
    /// The newest commit that it shows.
    ///
    /// # Errors
    /// A [`Fault`] if the file cannot be read.
    pub fn revision(&self) -> Result<Revision, Fault> {
        self.connection()
            .query_row("SELECT head FROM log", [], |row| Ok(revision(row.get(0)?)))
            .map_err(cause_of("read the newest revision"))
    }
}

#[cfg(test)]
mod tests;
