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
    file::{self, FLAGS, beside, cause_of, directory_of, failed, revision},
    view::{self, SqliteView},
};
use crate::{Fault, Revision, key::COUNTERS, open::OpenError};

/// A copy that nobody sees yet. Dropped, it is removed.
#[derive(Debug)]
pub struct StoreCopy {
    file: NamedTempFile,
}

/// Why a copy does not get its place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
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
const PASSED_OVER: i64 = 1_000_000;

impl StoreCopy {
    /// Copies the store in `from`, whether a process owns it or not, into the directory of `to`. Takes
    /// about a second for each few hundred megabytes; the store's log is not folded back meanwhile.
    ///
    /// # Errors
    /// As [`SqliteView::open`]; [`OpenError::Io`], [`OpenError::Full`] or [`OpenError::Fault`] with the
    /// path `to` or its directory if the copy cannot be written.
    pub fn of(from: &Path, to: &Path) -> Result<Self, OpenError> {
        file::check_magic(from)?;
        // Kept to the end: no process begins to write to a store that is looked at as if it were still.
        let alone = view::lock(from)?;
        let unreadable = |cause: rusqlite::Error| file::not_read(from, &cause);
        let source = view::connect(from, alone.is_some()).map_err(unreadable)?;
        let found = file::identity_of(&source).map_err(unreadable)?;
        file::check_identity(from, found)?;
        let directory = directory_of(to);
        let file = tempfile::Builder::new()
            .prefix(".store-copy-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)
            .map_err(failed(directory))?;
        // SQLite takes an empty file as one that is not there, and leaves its mode alone.
        source
            .execute("VACUUM INTO ?1", [path_text(file.path())?])
            .map_err(|cause| match cause.sqlite_error_code() {
                // What is read is damaged; anything else befell the copy.
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => unreadable(cause),
                _ => file::unwritable(to, cause, "copy the store"),
            })?;
        Ok(Self { file })
    }

    /// Opens the copy to look at it.
    ///
    /// # Errors
    /// As [`SqliteView::open`].
    pub fn view(&self) -> Result<SqliteView, OpenError> {
        SqliteView::open(self.file.path())
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
    /// [`PlaceError::Exists`] or [`PlaceError::Io`].
    pub fn publish(self, to: &Path) -> Result<(), PlaceError> {
        let io = |cause| PlaceError::Io {
            path: to.to_owned(),
            cause,
        };
        // By path: SQLite wrote to a file of its own, which is this one.
        let written = File::open(self.file.path()).map_err(io)?;
        written.sync_all().map_err(io)?;
        match self.file.persist_noclobber(to) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(PlaceError::Exists {
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
    /// [`PlaceError`].
    pub fn put_in_place(
        self,
        path: &Path,
        replace: bool,
        now: Timestamp,
    ) -> Result<Option<PathBuf>, PlaceError> {
        let (_owner, there) = take_place(path, replace)?;
        let numbered = self.pass_over_numbers();
        numbered.map_err(|cause| {
            file::unwritable(path, cause, "pass over numbers that may have been given")
        })?;
        let aside = beside(path, &format!(".before-{}", now.unix_ms()));
        set_aside(path, &aside)?;
        self.publish(path)?;
        Ok(there.then_some(aside))
    }

    fn pass_over_numbers(&self) -> rusqlite::Result<()> {
        let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE;
        let mut connection = Connection::open_with_flags(self.file.path(), flags)?;
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE entry SET value = CAST(CAST(CAST(value AS TEXT) AS INTEGER) + ?1 AS BLOB)
             WHERE key >= ?2 AND key < ?3 AND value IS NOT NULL",
            params![PASSED_OVER, COUNTERS, format!("{COUNTERS}\u{10ffff}")],
        )?;
        transaction.commit()
    }
}

/// Whether a copy may be [put](StoreCopy::put_in_place) there: it saves the reading of one that may not.
///
/// # Errors
/// [`PlaceError`]; nothing was touched.
pub fn check_place(path: &Path, replace: bool) -> Result<(), PlaceError> {
    take_place(path, replace).map(drop)
}

/// Takes the place of the process that would own the store; whether there is a store.
fn take_place(path: &Path, replace: bool) -> Result<(file::Lock, bool), PlaceError> {
    file::make_directory(path)?;
    let owner = file::lock(path)?;
    let there = [path.to_owned(), beside(path, "-wal")];
    let there = there.iter().any(|path| length(path) > 0);
    if there && !replace {
        return Err(PlaceError::Exists {
            path: path.to_owned(),
        });
    }
    Ok((owner, there))
}

/// Moves a store and what belongs to it away, the log with its database.
fn set_aside(path: &Path, aside: &Path) -> Result<(), PlaceError> {
    for tail in ["", "-wal"] {
        let (from, to) = (beside(path, tail), beside(aside, tail));
        // Of an empty log, and of an empty file, there is nothing to be kept.
        let gone = match length(&from) {
            0 => fs::remove_file(&from),
            _ => fs::rename(&from, &to),
        };
        moved(gone, &from)?;
    }
    // An index of the log, which is made anew.
    let index = beside(path, "-shm");
    moved(fs::remove_file(&index), &index)
}

/// That there was none is fine.
fn moved(result: io::Result<()>, path: &Path) -> Result<(), PlaceError> {
    match result {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(PlaceError::Io {
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

impl SqliteView {
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
