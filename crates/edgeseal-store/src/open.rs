//! Opens a store by URL.

use std::{io, path::PathBuf, sync::Arc};

use aws_lc_rs::rand;

use crate::{Fault, SharedStore, memory::MemoryStore, sqlite::SqliteStore};

/// Opens the store that `url` names: `sqlite:PATH` or `memory:`.
///
/// # Errors
/// See [`OpenError`]; nothing is written to a file that is not a store of this release.
pub async fn open(url: &str) -> Result<SharedStore, OpenError> {
    let unknown = || OpenError::UnknownScheme {
        url: without_password(url),
    };
    let (scheme, rest) = url.split_once(':').ok_or_else(unknown)?;
    match scheme {
        "sqlite" if rest.is_empty() => Err(unknown()),
        "sqlite" => {
            let path = PathBuf::from(rest);
            let store = tokio::task::spawn_blocking(move || SqliteStore::open(&path))
                .await
                .map_err(|cause| OpenError::Io {
                    path: rest.into(),
                    cause: io::Error::other(cause),
                })??;
            Ok(Arc::new(store))
        }
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryStore::new())),
        "etcd" => Err(OpenError::NoEtcd),
        _ => Err(unknown()),
    }
}

/// Why a store cannot be opened. The messages are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no engine.
    #[error("{url:?} is not a store URL: use sqlite:PATH, memory: or etcd://HOST:PORT")]
    UnknownScheme {
        /// The URL as given, without user and password.
        url: String,
    },
    /// The URL names etcd, which this build does not include.
    #[error("this build has no etcd: use sqlite:PATH or memory:")]
    NoEtcd,
    /// Another process, or another part of this one, has the file open.
    #[error(
        "{} is in use by {}: one process owns the file; stop that one, or give this one another path",
        path.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The process that holds it, if known.
        holder: Option<u32>,
    },
    /// The file is not a store: another kind of file, truncated or corrupt. It was not modified.
    #[error("{} is not a store that can be read: {why}; it was left as it is", path.display())]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk is full. Existing data was not modified.
    #[error("no space left on the disk of {}", path.display())]
    DiskFull {
        /// The path that could not be written.
        path: PathBuf,
    },
    /// A later release wrote the file. It was not modified.
    #[error(
        "{} was written by a newer release (schema {found}, this one knows up to {known}); it was left as it is",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// A development version before the first release wrote the file. It was not modified.
    #[error(
        "{} was written before the first release (schema {found}, this one knows {known}); it was left as it is: move it away and start again",
        path.display()
    )]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The version that this release knows.
        known: i64,
    },
    /// A file or directory cannot be created, read or locked.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The engine failed to open.
    #[error("{}: {fault}", path.display())]
    Fault {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        fault: Fault,
    },
}

/// Deletes that the change log keeps by default: at 100 bytes each about 10 MB, and days of a busy
/// fleet.
pub(crate) const TOMBSTONES_KEPT: usize = 100_000;

/// How far the revision jumps when a store opens: 1 to 2^32. A store restored from a backup jumps
/// by another amount than the store that it replaces did, so the revisions that followers hold from
/// that incarnation are not among its own (except with a probability of about commits / 2^32), and
/// the followers list again. 2^31 openings fit into the engines' positive 64-bit integers.
pub(crate) fn revision_jump() -> Result<u64, Fault> {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).map_err(Fault::of("read random octets"))?;
    Ok(u64::from(u32::from_ne_bytes(bytes)) + 1)
}

/// For messages: hides the credentials between `//` and `@`.
fn without_password(url: &str) -> String {
    match (url.find("//"), url.rfind('@')) {
        (Some(start), Some(end)) if start + 2 < end => {
            format!("{}…{}", &url[..start + 2], &url[end..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chooses_by_scheme() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/store.db");
        open(&format!("sqlite:{}", path.display())).await.unwrap();
        assert!(path.is_file());
        open("memory:").await.unwrap();
    }

    #[tokio::test]
    async fn says_what_it_does_not_know() {
        for (url, message) in [
            (
                "etcd://127.0.0.1:2379",
                "this build has no etcd: use sqlite:PATH or memory:",
            ),
            (
                "redis://me:secret@host/",
                "\"redis://…@host/\" is not a store URL: use sqlite:PATH, memory: or etcd://HOST:PORT",
            ),
            (
                "store.db",
                "\"store.db\" is not a store URL: use sqlite:PATH, memory: or etcd://HOST:PORT",
            ),
            (
                "sqlite:",
                "\"sqlite:\" is not a store URL: use sqlite:PATH, memory: or etcd://HOST:PORT",
            ),
            (
                "memory:x",
                "\"memory:x\" is not a store URL: use sqlite:PATH, memory: or etcd://HOST:PORT",
            ),
        ] {
            let error = open(url).await.err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(message), "{url}");
        }
    }
}
