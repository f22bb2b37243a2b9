//! The lock on a data directory. One process owns it, whatever store it uses: the directory holds
//! the edge's replica, the addresses and the hand-over socket.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The lock file of a data directory. The kernel releases the lock when the process ends.
pub(crate) struct DataLock {
    data: PathBuf,
    /// `None` if the disk takes no lock file: then no process can write there anyway.
    file: Option<File>,
    /// Whether the file contains this process's id.
    pid_written: AtomicBool,
}

/// Why a data directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataLockError {
    /// Another process holds the lock.
    #[error(
        "{} is in use by {}: one process owns a data directory; stop that one, give this one another --data, or \
         start with --hand-over",
        data.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Held {
        /// The data directory.
        data: PathBuf,
        /// The id of the process that holds it, if the file contains it.
        holder: Option<u32>,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {}: {cause}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
}

/// Who holds the lock of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// No process.
    Nobody,
    /// A process, with its id if the file contains it.
    Process(Option<u32>),
}

/// Returns who holds the lock of a data directory, without taking it.
pub(crate) fn holder(data: &Path) -> Holder {
    let Ok(file) = File::open(data.join(LOCK_FILE)) else {
        return Holder::Nobody;
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Holder::Process(read_pid(&file)),
        // Closing the file releases the shared lock.
        Ok(()) | Err(TryLockError::Error(_)) => Holder::Nobody,
    }
}

/// The lock file in the data directory.
pub(crate) const LOCK_FILE: &str = "lock";

impl DataLock {
    /// Locks the data directory, which must exist.
    ///
    /// # Errors
    /// [`DataLockError`].
    pub(crate) fn acquire(data: &Path) -> Result<Self, DataLockError> {
        let path = data.join(LOCK_FILE);
        let file = match open(&path) {
            Ok(file) => Some(file),
            Err(cause) if is_unwritable_disk(&cause) => {
                tracing::warn!(
                    error = &cause as &dyn std::error::Error,
                    path = %path.display(),
                    "the data directory cannot be locked against other processes"
                );
                None
            }
            Err(cause) => return Err(DataLockError::Io { path, cause }),
        };
        let lock = Self {
            data: data.to_owned(),
            file,
            pid_written: AtomicBool::new(false),
        };
        lock.reacquire()?;
        Ok(lock)
    }

    /// Locks it again after [`release`](Self::release).
    ///
    /// # Errors
    /// [`DataLockError`].
    pub(crate) fn reacquire(&self) -> Result<(), DataLockError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataLockError::Held {
                    data: self.data.clone(),
                    holder: read_pid(file),
                });
            }
            Err(TryLockError::Error(cause)) => {
                let path = self.data.join(LOCK_FILE);
                return Err(DataLockError::Io { path, cause });
            }
        }
        Ok(())
    }

    /// Writes this process's id, for the error messages of other processes.
    pub(crate) fn write_pid(&self) {
        if let Some(file) = &self.file {
            self.pid_written.store(true, Ordering::Relaxed);
            // Optional: it fails on a full disk.
            let _ = write_pid_to(file);
        }
    }

    /// Releases the lock, so that another process can take it.
    pub(crate) fn release(&self) {
        if let Some(file) = &self.file
            && self.pid_written.swap(false, Ordering::Relaxed)
        {
            // On failure, the lock ends with the process.
            let _ = file.set_len(0);
            let _ = file.unlock();
        }
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is being spawned may still have the file open.
        self.release();
    }
}

/// Opens the lock file, read-only if it cannot be written: that suffices for a lock.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.mode(0o600).open(path) {
        Err(error) if is_unwritable_disk(&error) => File::open(path).map_err(|_| error),
        opened => opened,
    }
}

/// Whether the cause is the state of the disk rather than a choice of the operator.
fn is_unwritable_disk(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
    )
}

fn read_pid(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid_to(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let first = DataLock::acquire(data.path()).unwrap();
        first.write_pid();
        let refused = DataLock::acquire(data.path()).err().map(|e| e.to_string());
        let said = refused.unwrap_or_default();
        let named = format!("in use by process {}", std::process::id());
        assert!(said.contains(&named), "{said}");
        let again = DataLock::acquire(data.path()).err().map(|e| e.to_string());
        assert_eq!(again, Some(said), "a refusal leaves the file alone");
        first.release();
        let second = DataLock::acquire(data.path()).unwrap();
        assert!(matches!(first.reacquire(), Err(DataLockError::Held { .. })));
        drop(second);
        assert_eq!(holder(data.path()), Holder::Nobody);
        first.reacquire().unwrap();
        assert_eq!(holder(data.path()), Holder::Process(None));
        first.write_pid();
        assert_eq!(
            holder(data.path()),
            Holder::Process(Some(std::process::id()))
        );
    }
}
