//! Opening the replica on disk, in whatever state it is.
//!
//! A corrupted file is salvaged. One that cannot be written, because the disk is full or read-only,
//! is not corrupted: it is read and stays in place, and it is reopened once something is to be
//! written and can be. A file moved aside never replaces one that was moved before.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use edgeseal_core::domain::Environment;
use rusqlite::ErrorCode;

use super::{FILE, ReplicaError, database::Database};

/// The suffixes of a database file and its companions.
const SQLITE_SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// Maximum number of files moved aside; beyond, the last one is replaced.
const ASIDE_MAX: usize = 4;
/// SQLite's name of an in-memory database.
const IN_MEMORY: &str = ":memory:";

impl ReplicaError {
    /// Whether the content of the file is not what was written. Other errors are caused by the disk
    /// or the system, and may pass.
    pub(crate) fn is_corruption(&self) -> bool {
        match self {
            Self::Corrupted { .. } => true,
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => true,
                Some(_) => false,
                // A value of another type than was written.
                None => true,
            },
            Self::Directory(_) | Self::Mismatch { .. } => false,
        }
    }
}

/// Opens the replica in a directory, or creates an empty one. See the module documentation.
///
/// # Errors
/// [`ReplicaError`] if nothing can be read and nothing can be created.
pub(super) fn open(directory: &Path, environment: Environment) -> Result<Database, ReplicaError> {
    match open_or_salvage(directory, environment) {
        Ok(database) => Ok(database),
        Err(reason) if directory.join(FILE).exists() => {
            tracing::error!(
                error = &reason as &dyn std::error::Error,
                "the replica cannot be opened for writing: it is read in place, and reopened when \
                 it can be"
            );
            open_read_only(directory, environment)
        }
        Err(reason) => Err(reason),
    }
}

/// Reads what can be read of a replica that cannot be written; also after a failed recovery.
pub(super) fn open_read_only(
    directory: &Path,
    environment: Environment,
) -> Result<Database, ReplicaError> {
    let path = directory.join(FILE);
    let read = Database::open_unwritable(&path, environment)
        .or_else(|_| Database::salvage(&path, Path::new(IN_MEMORY), environment))?;
    Ok(read.reopen_before_write(directory, environment))
}

/// Opens a replica for writing; a corrupted one is salvaged, one of another environment or release
/// moved aside.
pub(super) fn open_or_salvage(
    directory: &Path,
    environment: Environment,
) -> Result<Database, ReplicaError> {
    restrict_permissions(directory)?;
    let path = directory.join(FILE);
    let reason = match Database::open(&path, environment) {
        Ok(database) => return Ok(database),
        Err(reason) if reason.is_corruption() => {
            replace_by_salvaged(directory, environment)?;
            reason
        }
        Err(reason @ ReplicaError::Mismatch { .. }) => {
            move_aside(directory)?;
            reason
        }
        Err(reason) => return Err(reason),
    };
    restrict_permissions(directory)?;
    let database = Database::open(&path, environment)?;
    tracing::error!(
        error = &reason as &dyn std::error::Error,
        domains = database.status().domains,
        "the replica {} could not be used: its intact rows were kept, the file was moved aside, \
         and the store is asked for everything",
        path.display(),
    );
    Ok(database)
}

/// Salvages a corrupted file into a new one in its place, and moves the corrupted one aside.
fn replace_by_salvaged(directory: &Path, environment: Environment) -> Result<(), ReplicaError> {
    let name = format!("{FILE}.new");
    for tail in SQLITE_SUFFIXES {
        remove(&directory.join(format!("{name}{tail}")))?;
    }
    let new = directory.join(name);
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let damaged = directory.join(FILE);
    checkpoint_wal(&damaged);
    drop(Database::salvage(&damaged, &new, environment)?);
    move_aside(directory)?;
    fs::rename(new, damaged)?;
    Ok(())
}

/// Checkpoints the WAL of a killed process into the file, if possible.
fn checkpoint_wal(path: &Path) {
    let folded = rusqlite::Connection::open(path)
        .and_then(|it| it.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    if let Err(error) = folded {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the WAL of the corrupted replica cannot be read"
        );
    }
}

/// Makes the file, which is created if necessary, readable by its owner only, and with it SQLite's
/// companion files: they are created with the mode of the file.
fn restrict_permissions(directory: &Path) -> io::Result<()> {
    let path = directory.join(FILE);
    if !path.exists() {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
    }
    for tail in SQLITE_SUFFIXES {
        let path = directory.join(format!("{FILE}{tail}"));
        // An earlier release created it with the default umask.
        if fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

/// Moves the file and SQLite's companion files.
pub(super) fn move_aside(directory: &Path) -> io::Result<PathBuf> {
    let name = |number| match number {
        1 => format!("{FILE}.corrupted"),
        _ => format!("{FILE}.corrupted-{number}"),
    };
    let mut free = (1..ASIDE_MAX).filter(|number| !directory.join(name(*number)).exists());
    let aside = name(free.next().unwrap_or(ASIDE_MAX));
    for tail in SQLITE_SUFFIXES {
        let from = directory.join(format!("{FILE}{tail}"));
        let to = directory.join(format!("{aside}{tail}"));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(directory.join(aside))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
