//! One process owns a data directory, whatever store it uses: the edge's replica, the addresses and the
//! socket of the hand-over are in it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The lock file of a data directory. The kernel unlocks it when the process ends, however it ends.
pub(crate) struct DataLock {
    data: PathBuf,
    /// `None`: the disk takes no lock file, so nobody can write there anyway.
    file: Option<File>,
    /// Whether it says whose it is.
    pid_written: AtomicBool,
}

/// Why a data directory is not this process's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataLockError {
    /// Another process has it.
    #[error(
        "{} is in use by {}: one process owns a data directory; stop that one, give this one another --data, or \
         start with --take-over",
        data.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Held {
        /// The data directory.
        data: PathBuf,
        /// The process that has it, if it says so.
        holder: Option<u32>,
    },
    /// The system refuses.
    #[error("cannot lock {}: {cause}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Who has a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// A process, which may say who it is.
    Process(Option<u32>),
}

/// Says who has a data directory, and leaves it alone.
pub(crate) fn holder(data: &Path) -> Holder {
    let Ok(file) = File::open(data.join(LOCK_FILE)) else {
        return Holder::Nobody;
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Holder::Process(read_pid(&file)),
        // It is unlocked when the file is closed.
        Ok(()) | Err(TryLockError::Error(_)) => Holder::Nobody,
    }
}

/// The lock file in the data directory.
pub(crate) const LOCK_FILE: &str = "lock";

impl DataLock {
    /// Takes the data directory, which must exist.
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

    /// Takes it again after [`release`](Self::release).
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

    /// Has it say whose it is, for the messages of others.
    pub(crate) fn write_pid(&self) {
        if let Some(file) = &self.file {
            self.pid_written.store(true, Ordering::Relaxed);
            // A full disk does not take it, and need not.
            let _ = write_pid_to(file);
        }
    }

    /// Lets another process take it.
    pub(crate) fn release(&self) {
        if let Some(file) = &self.file
            && self.pid_written.swap(false, Ordering::Relaxed)
        {
            // What fails here ends with the process.
            let _ = file.set_len(0);
            let _ = file.unlock();
        }
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is just being started still has the file open.
        self.release();
    }
}

/// Opens the lock file, for reading only if it cannot be written: that is enough for a lock.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.mode(0o600).open(path) {
        Err(error) if is_unwritable_disk(&error) => File::open(path).map_err(|_| error),
        opened => opened,
    }
}

/// Whether this is the disk's state and nothing that the operator chose.
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
