//! Opening what there is on disk, whatever state it is in.
//!
//! A file that is damaged is salvaged. One that cannot be written, for want of room or since the disk
//! says so, is not damaged: it is read where it lies and stays where it is, and it is opened for good
//! once something is to be written and can be. What is moved aside never takes the place of what was
//! moved there before.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use edgeseal_core::domain::Environment;
use rusqlite::ErrorCode;

use super::{FILE, ReplicaError, database::Database};

/// What SQLite keeps beside a file.
const SQLITE_SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// Files that are moved aside and kept at most; beyond, the last one is replaced.
const ASIDE_MAX: usize = 4;
/// SQLite's name of a database in memory.
const IN_MEMORY: &str = ":memory:";

impl ReplicaError {
    /// Whether what is in the file is not what was written. All else is the disk's or the system's
    /// doing, and may pass.
    pub(super) fn is_corruption(&self) -> bool {
        match self {
            Self::Corrupted { .. } => true,
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => true,
                Some(_) => false,
                // A value that has not the type that was written.
                None => true,
            },
            Self::Directory(_) | Self::Mismatch { .. } => false,
        }
    }
}

/// Opens the replica in a directory, or makes an empty one. See the top of this file.
///
/// # Errors
/// [`ReplicaError`] if there is nothing to be read and nothing can be made.
pub(super) fn open(directory: &Path, environment: Environment) -> Result<Database, ReplicaError> {
    match open_or_salvage(directory, environment) {
        Ok(database) => Ok(database),
        Err(reason) if directory.join(FILE).exists() => {
            tracing::error!(
                error = &reason as &dyn std::error::Error,
                "the replica cannot be opened for writing: it is read where it is, and opened when \
                 it can be"
            );
            open_read_only(directory, environment)
        }
        Err(reason) => Err(reason),
    }
}

/// What can be read of a replica that cannot be written; after a failure in the middle, too.
pub(super) fn open_read_only(
    directory: &Path,
    environment: Environment,
) -> Result<Database, ReplicaError> {
    let path = directory.join(FILE);
    let read = Database::open_unwritable(&path, environment)
        .or_else(|_| Database::salvage(&path, Path::new(IN_MEMORY), environment))?;
    Ok(read.reopen_before_write(directory, environment))
}

/// Opens a replica for writing; one that is damaged is salvaged, one of another environment or release
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
        "the replica {} could not be used: what was whole of it was kept, the rest was moved aside, \
         and the store is asked for everything",
        path.display(),
    );
    Ok(database)
}

/// Salvages a damaged file into a new one in its place, and moves the damaged one aside.
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

/// Brings what is in the log of a killed process into the file, if it can be.
fn checkpoint_wal(path: &Path) {
    let folded = rusqlite::Connection::open(path)
        .and_then(|it| it.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    if let Err(error) = folded {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the log of the damaged replica cannot be read"
        );
    }
}

/// Has the file, which is made if need be, readable by its owner only, and with it what SQLite keeps
/// beside it: that takes the mode of the file when it is made.
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
        // An earlier release left it to the umask.
        if fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

/// Moves the file and what SQLite keeps beside it.
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
