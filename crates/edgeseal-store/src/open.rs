//! Opens a store by URL.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{Fault, SharedStore, memory::MemoryStore, random, sqlite::SqliteStore};

/// The URL of a store: its engine, and where its data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoreUrl {
    /// `sqlite:PATH`: an SQLite database in this file.
    Sqlite(PathBuf),
    /// `memory:`: in the memory of this process, and lost with it.
    Memory,
}

/// Why a text is not the URL of a store. The messages are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// It names no engine.
    #[error("{url:?} is not a store URL: use sqlite:PATH, memory: or etcd://HOST:PORT")]
    UnknownScheme {
        /// The text as given, without user and password.
        url: String,
    },
    /// It names an engine that this build does not include.
    #[error("this build has no {engine}: use sqlite:PATH or memory:")]
    NotIncluded {
        /// The engine.
        engine: &'static str,
    },
}

impl StoreUrl {
    /// The file that contains the store; `None` if it is not a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Memory => None,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(url: &str) -> Result<Self, StoreUrlError> {
        match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("etcd", _)) => Err(StoreUrlError::NotIncluded { engine: "etcd" }),
            Some(("postgres" | "postgresql", _)) => Err(StoreUrlError::NotIncluded {
                engine: "PostgreSQL",
            }),
            _ => Err(StoreUrlError::UnknownScheme {
                url: without_password(url),
            }),
        }
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = StoreUrlError;

    fn try_from(url: String) -> Result<Self, StoreUrlError> {
        url.parse()
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// Opens a store, and creates it if it does not exist.
///
/// # Errors
/// See [`OpenError`]; nothing is written to a file that is not a store of this release.
pub async fn open(url: &StoreUrl) -> Result<SharedStore, OpenError> {
    match url.clone() {
        StoreUrl::Sqlite(path) => {
            let file = path.clone();
            let store = tokio::task::spawn_blocking(move || SqliteStore::open(&file))
                .await
                .map_err(|cause| OpenError::Io {
                    path,
                    cause: io::Error::other(cause),
                })??;
            Ok(Arc::new(store))
        }
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::new())),
    }
}

/// Why a store cannot be opened. The messages are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
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

/// Deletes that the change feed keeps by default: at 100 bytes each about 10 MB, and days of a busy
/// fleet.
pub(crate) const TOMBSTONES_KEPT: usize = 100_000;

/// How far the revision jumps when a store opens: 1 to 2^32. A store restored from a backup jumps
/// by another amount than the store that it replaces did, so the revisions that followers hold from
/// that incarnation are not among its own (except with a probability of about commits / 2^32), and
/// the followers list again. 2^31 openings fit into the engines' positive 64-bit integers.
pub(crate) fn revision_jump() -> u64 {
    u64::from(u32::from_ne_bytes(random::bytes())) + 1
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
        for url in [format!("sqlite:{}", path.display()), "memory:".to_owned()] {
            let parsed: StoreUrl = url.parse().unwrap();
            assert_eq!(parsed.to_string(), url);
            open(&parsed).await.unwrap();
        }
        assert!(path.is_file());
    }

    #[test]
    fn says_what_it_does_not_know() {
        const USE: &str = "is not a store URL: use sqlite:PATH, memory: or etcd://HOST:PORT";
        for (url, message) in [
            (
                "etcd://127.0.0.1:2379",
                "this build has no etcd: use sqlite:PATH or memory:".to_owned(),
            ),
            (
                "postgres://me:secret@host/edgeseal",
                "this build has no PostgreSQL: use sqlite:PATH or memory:".to_owned(),
            ),
            (
                "redis://me:secret@host/",
                format!("\"redis://…@host/\" {USE}"),
            ),
            ("store.db", format!("\"store.db\" {USE}")),
            ("sqlite:", format!("\"sqlite:\" {USE}")),
            ("memory:x", format!("\"memory:x\" {USE}")),
        ] {
            let error = url.parse::<StoreUrl>().unwrap_err();
            assert_eq!(error.to_string(), message, "{url}");
        }
    }
}
