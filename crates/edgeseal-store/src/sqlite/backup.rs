//! Backups of a whole store: made while a process writes to it, and restored while none does.
//!
//! A backup is read in one snapshot (`VACUUM INTO`), so it neither blocks a busy writer nor has to
//! start over. It appears under its name complete and durable, or not at all. Sealed values stay
//! sealed: the key-encryption keys are not in it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use edgeseal_core::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use tempfile::NamedTempFile;

use super::{
    copy::{SqliteTarget, stored_marker},
    file::{self, FLAGS, cause_of, directory_of, io_error, revision, with_suffix},
    snapshot::{self, SqliteSnapshot},
};
use crate::{
    Fault, Revision,
    copy::{COPY_MARKER, CopyMarker, CopySide as _, CopyStep, SKIPPED_IDS, copy_moment},
    key::{COUNTERS, prefix_end},
    open::{OpenError, StoreUrl},
    postgres::PostgresCopy,
};

mod temporary;

use temporary::TemporaryDirectory;

/// A copy under a temporary name; dropping it removes the file.
#[derive(Debug)]
pub struct StoreBackup {
    file: NamedTempFile,
    /// What the file is in: dropped after it.
    _directory: TemporaryDirectory,
}

/// Why a copy is not saved or restored.
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

impl StoreBackup {
    /// Copies the store in `from`, whether a process owns it or not, into the directory of `to`.
    /// Takes about a second for each few hundred megabytes, in which the store's log is not
    /// checkpointed.
    ///
    /// # Errors
    /// As [`SqliteSnapshot::open`]; [`OpenError::UnfinishedCopy`]; [`OpenError::Io`], [`OpenError::DiskFull`] or
    /// [`OpenError::Fault`] with the path `to` or its directory if the copy cannot be written.
    pub fn create(from: &Path, to: &Path) -> Result<Self, OpenError> {
        file::check_magic(from)?;
        // Held to the end: no process may write to a store that is read as an immutable file.
        let alone = snapshot::lock(from)?;
        let unreadable = |cause: rusqlite::Error| file::read_error(from, &cause);
        let source = snapshot::connect(from, alone.is_some()).map_err(unreadable)?;
        let found = file::read_identity(&source).map_err(unreadable)?;
        file::check_identity(from, found)?;
        let marker = stored_marker(&source).map_err(unreadable)?;
        let marker = marker.map(|it| CopyMarker::parse(&it)).transpose();
        let marker = marker.map_err(|fault| OpenError::Fault {
            path: from.to_owned(),
            fault,
        })?;
        if let Some(CopyMarker::Unfinished { from: origin, .. }) = marker {
            return Err(OpenError::UnfinishedCopy {
                url: StoreUrl::Sqlite(from.to_owned()).to_string(),
                from: origin,
            });
        }
        let copy = Self::new(to)?;
        // SQLite treats an empty file as a missing one, and keeps its mode.
        source
            .execute("VACUUM INTO ?1", [path_text(copy.file.path())?])
            .map_err(|cause| match cause.sqlite_error_code() {
                // The source is corrupt; any other error concerns the copy.
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => unreadable(cause),
                _ => file::write_error(to, cause, "copy the store"),
            })?;
        Ok(copy)
    }

    /// Writes a store of another engine into a file of the same format, in the directory of `to`. The
    /// source must not change: it is read at one moment.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`OpenError::Database`] if the source cannot be read.
    pub async fn of_database(
        source: &PostgresCopy,
        to: &Path,
        observe: &(dyn Fn(CopyStep) + Sync),
    ) -> Result<Self, OpenError> {
        let copy = Self::new(to)?;
        let target = SqliteTarget::private(copy.file.path())?;
        let copied = copy_moment(source, &target, None, |row| row, observe).await;
        copied.map_err(|fault| match is_disk_full(&fault) {
            true => OpenError::DiskFull {
                path: to.to_owned(),
            },
            false => OpenError::Database {
                url: source.name().to_owned(),
                fault,
            },
        })?;
        target.close().await;
        Ok(copy)
    }

    /// An empty file in the file system of `to`. Removes what copies that were killed left there.
    fn new(to: &Path) -> Result<Self, OpenError> {
        let beside = directory_of(to);
        let directory = TemporaryDirectory::create(beside).map_err(io_error(beside))?;
        let file = NamedTempFile::new_in(directory.path()).map_err(io_error(beside))?;
        Ok(Self {
            file,
            _directory: directory,
        })
    }

    /// Opens the copy for reading.
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

    /// Renames the copy to its final name, durably, unless that name exists.
    ///
    /// # Errors
    /// [`BackupError::Exists`] or [`BackupError::Io`].
    pub fn persist(self, to: &Path) -> Result<(), BackupError> {
        let io = |cause| BackupError::Io {
            path: to.to_owned(),
            cause,
        };
        // By path: SQLite wrote through its own descriptor of this file.
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

    /// Replaces the store in `path`, which no process may own, by the copy. With `replace`, an
    /// existing store is renamed to the path that is returned; without, it is an error.
    ///
    /// Followers notice the restore, because each opening jumps to other revisions, and list
    /// everything again. IDs of certificates and domains continue far after those in the copy.
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
            params![SKIPPED_IDS.cast_signed(), COUNTERS, prefix_end(COUNTERS)],
        )?;
        // A store that was moved takes changes again when its backup is restored.
        transaction.execute("DELETE FROM entry WHERE key = ?1", [COPY_MARKER])?;
        transaction.commit()
    }
}

fn is_disk_full(fault: &Fault) -> bool {
    let cause = fault.cause.as_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    cause.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DiskFull)
}

/// Checks whether a copy may be [restored](StoreBackup::restore_to) there, before the copy is read.
///
/// # Errors
/// [`BackupError`]; nothing was touched.
pub fn check_restore_target(path: &Path, replace: bool) -> Result<(), BackupError> {
    lock_restore_target(path, replace).map(drop)
}

/// Locks the store as the process that owns it would; returns whether there is a store.
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

/// Renames a store, its database together with its log.
fn set_aside(path: &Path, aside: &Path) -> Result<(), BackupError> {
    for tail in ["", "-wal"] {
        let (from, to) = (with_suffix(path, tail), with_suffix(aside, tail));
        // An empty log or database need not be kept.
        let gone = match length(&from) {
            0 => fs::remove_file(&from),
            _ => fs::rename(&from, &to),
        };
        moved(gone, &from)?;
    }
    // The index of the log, which SQLite rebuilds.
    let index = with_suffix(path, "-shm");
    moved(fs::remove_file(&index), &index)
}

/// A missing file is no error.
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
    /// The newest commit in it.
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
