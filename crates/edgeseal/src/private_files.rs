//! Files and directories that only their owner can access.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, PersistError};
use zeroize::Zeroizing;

/// An operation on a file or directory that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {cause}", path.display())]
pub(crate) struct PrivateFileError {
    /// The operation, as a verb.
    operation: &'static str,
    /// The file or directory.
    path: PathBuf,
    /// The cause.
    #[source]
    cause: io::Error,
}

impl PrivateFileError {
    /// For `map_err`.
    pub(crate) fn of(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self {
            operation,
            path: path.to_owned(),
            cause,
        }
    }
}

/// Creates a directory and its missing parents, mode 0700.
///
/// # Errors
/// [`PrivateFileError`].
pub(crate) fn create_private_dir(path: &Path) -> Result<(), PrivateFileError> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(PrivateFileError::of("create", path))
}

/// Reads a file; `None` if it does not exist.
///
/// # Errors
/// [`PrivateFileError`].
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateFileError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(Zeroizing::new(content))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(PrivateFileError::of("read", path)(cause)),
    }
}

/// As [`read`], for text. Root files may contain comments in any encoding.
///
/// # Errors
/// [`PrivateFileError`].
pub(crate) fn read_text(path: &Path) -> Result<Option<Zeroizing<String>>, PrivateFileError> {
    let content = read(path)?;
    let text = |bytes: Zeroizing<Vec<u8>>| String::from_utf8_lossy(&bytes).into_owned().into();
    Ok(content.map(text))
}

/// Replaces a file, mode 0600, atomically. The new content is first written to a temporary file in
/// the same directory, with an unguessable name: no other file there is touched.
///
/// # Errors
/// [`PrivateFileError`]; the file is then unchanged.
pub(crate) fn replace_private_file(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    write(path, content, |new| new.persist(path))
}

/// As [`replace_private_file`], for a file that must not exist yet.
///
/// # Errors
/// [`PrivateFileError`].
pub(crate) fn create_private_file(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    write(path, content, |new| new.persist_noclobber(path))
}

/// Removes a file; not an error if it does not exist.
///
/// # Errors
/// [`PrivateFileError`].
pub(crate) fn remove(path: &Path) -> Result<(), PrivateFileError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(PrivateFileError::of("remove", path)(cause))
        }
        _ => Ok(()),
    }
}

fn write(
    path: &Path,
    content: &[u8],
    persist: impl FnOnce(NamedTempFile) -> Result<fs::File, PersistError>,
) -> Result<(), PrivateFileError> {
    let write = || -> io::Result<()> {
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        // Created with O_EXCL, and removed if anything fails below.
        let mut new = tempfile::Builder::new()
            .prefix(".new-")
            .rand_bytes(12)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)?;
        // Whatever the umask.
        let owner_only = Permissions::from_mode(0o600);
        new.as_file().set_permissions(owner_only)?;
        new.write_all(content)?;
        new.as_file().sync_all()?;
        persist(new)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(PrivateFileError::of("write", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn other_files_in_the_directory_are_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("victim"), "precious").unwrap();
        for trap in ["kek.new", "credentials.new"] {
            symlink(at("victim"), at(trap)).unwrap();
        }
        fs::write(at("kek"), "old").unwrap();
        fs::set_permissions(at("kek"), Permissions::from_mode(0o644)).unwrap();
        for (name, content) in [("kek", "new"), ("credentials.json", "{}")] {
            replace_private_file(&at(name), content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(at(name)).unwrap(), content);
            let mode = fs::metadata(at(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "precious");
        // Two traps, the victim, and the two files: nothing is left behind.
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5);
    }

    #[test]
    fn a_failure_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("kek");
        fs::create_dir(&target).unwrap();
        replace_private_file(&target, b"new").unwrap_err();
        assert!(target.is_dir());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
