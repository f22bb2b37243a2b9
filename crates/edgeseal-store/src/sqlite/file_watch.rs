//! Whether the files that a store writes are still the ones under its path.
//!
//! SQLite keeps writing to a file that was unlinked or replaced: such commits succeed and are lost
//! with the process. So the inodes are compared before a commit is acknowledged,
//! and a few times a second while nothing is committed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::file::with_suffix;
use crate::Fault;

/// Database and write-ahead log, as they were opened.
#[derive(Debug)]
pub(super) struct FileWatch {
    database: WatchedFile,
    log: WatchedFile,
    /// Why they are gone. Once set it stays: later commits are not in the file at the path.
    lost: OnceLock<FileLost>,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    inode: Inode,
}

/// Device and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode(u64, u64);

/// Why a store can no longer be written to. The messages are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileLost {
    /// There is no such file.
    #[error("{} is gone: it was removed or moved away", path.display())]
    Missing { path: PathBuf },
    /// There is another file.
    #[error("another file has taken the place of {}", path.display())]
    Replaced { path: PathBuf },
    /// The file cannot be examined.
    #[error("{} cannot be looked at: {why}", path.display())]
    Unknown { path: PathBuf, why: String },
}

impl FileWatch {
    /// Remembers which files these are. Both must be there: the log is, once something was written.
    pub(super) fn of(database: &Path) -> io::Result<Self> {
        Ok(Self {
            database: WatchedFile::of(database.to_owned())?,
            log: WatchedFile::of(with_suffix(database, "-wal"))?,
            lost: OnceLock::new(),
        })
    }

    /// Compares: two calls of `stat`, some microseconds.
    pub(super) fn check(&self) -> Result<(), FileLost> {
        self.last_result()?;
        let found = self.database.check().and_then(|()| self.log.check());
        found.inspect_err(|gone| {
            if self.lost.set(gone.clone()).is_ok() {
                let error: &dyn std::error::Error = gone;
                tracing::error!(error, "the store can no longer be written to");
            }
        })
    }

    /// The result of the last comparison.
    pub(super) fn last_result(&self) -> Result<(), FileLost> {
        match self.lost.get() {
            None => Ok(()),
            Some(gone) => Err(gone.clone()),
        }
    }

    /// The length of the log in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        fs::metadata(&self.log.path).map_or(0, |log| log.len())
    }

    /// Renames the rest of the log, so that it is not read with another database at the same path.
    pub(super) fn set_log_aside(&self) -> io::Result<PathBuf> {
        let aside = with_suffix(&self.database.path, "-wal.left");
        match self.log.check() {
            Ok(()) => fs::rename(&self.log.path, &aside).map(|()| aside),
            // It is not under this name any more.
            Err(_) => Ok(aside),
        }
    }
}

impl WatchedFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let inode = Inode::of(&path)?;
        Ok(Self { path, inode })
    }

    fn check(&self) -> Result<(), FileLost> {
        let path = || self.path.clone();
        match Inode::of(&self.path) {
            Ok(found) if found == self.inode => Ok(()),
            Ok(_) => Err(FileLost::Replaced { path: path() }),
            Err(cause)
                if matches!(
                    cause.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(FileLost::Missing { path: path() })
            }
            // A change that may be lost is not acknowledged.
            Err(cause) => Err(FileLost::Unknown {
                path: path(),
                why: cause.to_string(),
            }),
        }
    }
}

impl Inode {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self(found.dev(), found.ino()))
    }
}

impl From<FileLost> for Fault {
    fn from(gone: FileLost) -> Self {
        Self::of("use the store's file")(gone)
    }
}
