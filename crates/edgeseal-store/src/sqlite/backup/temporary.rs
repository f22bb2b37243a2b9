//! Directories in which copies are made.
//!
//! A process that is killed leaves its directory behind. It held a lock in it, which the kernel has
//! released since; so the next copy that is made there removes what nobody has locked.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::{fs::OFlags, process::geteuid};
use tempfile::TempDir;

/// A directory of this process; dropping it removes it with what is in it.
#[derive(Debug)]
pub(super) struct TemporaryDirectory {
    /// Removed before the lock is released.
    directory: TempDir,
    _lock: File,
}

const PREFIX: &str = ".store-copy-";
const LOCK: &str = "lock";

impl TemporaryDirectory {
    /// Creates one, and removes those of processes that were killed.
    pub(super) fn create(within: &Path) -> io::Result<Self> {
        remove_abandoned(within);
        loop {
            let directory = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(within)?;
            let lock = open_lock(directory.path())?;
            match lock.try_lock() {
                // Removed before it was locked.
                Ok(()) if lock.metadata()?.nlink() == 0 => {}
                Err(TryLockError::WouldBlock) => {}
                // On a file system without locks nobody can lock it, so nobody removes it.
                Ok(()) | Err(TryLockError::Error(_)) => {
                    return Ok(Self {
                        directory,
                        _lock: lock,
                    });
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories of this user that no process has locked.
fn remove_abandoned(within: &Path) {
    for entry in fs::read_dir(within).into_iter().flatten().flatten() {
        let is_prefixed = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Of the entry itself, not of what a link leads to.
        let is_own = entry.metadata().is_ok_and(|found| {
            found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0
        });
        if !is_prefixed || !is_own {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = open_lock(&path) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            let path = path.display();
            tracing::warn!(%path, %error, "what a process that was killed left behind is not removed");
        }
    }
}

fn open_lock(directory: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(directory.join(LOCK))
}
