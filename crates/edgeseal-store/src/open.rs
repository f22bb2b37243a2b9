//! Opens a store by URL.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Fault, Key, SharedStore,
    copy::CopyMarker,
    data_version::{self, DataVersionError},
    memory::MemoryStore,
    postgres::{PostgresStore, PostgresUrl, PostgresUrlError, newer_schema},
    random,
    sqlite::SqliteStore,
};

/// The URL of a store: its engine, and where its data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoreUrl {
    /// `sqlite:PATH`: an SQLite database in this file.
    Sqlite(PathBuf),
    /// `postgres://…`: a PostgreSQL database, shared by any number of processes.
    Postgres(Box<PostgresUrl>),
    /// `memory:`: in the memory of this process, and lost with it.
    Memory,
}

/// Why a text is not the URL of a store. The messages are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// It names no engine.
    #[error(
        "{url:?} is not a store URL: use sqlite:PATH, postgres://USER@HOST/DATABASE or memory:"
    )]
    UnknownScheme {
        /// The text as given, without user and password.
        url: String,
    },
    /// The URL of a PostgreSQL database is invalid.
    #[error("the store URL cannot be read: {0}")]
    Postgres(#[from] PostgresUrlError),
}

impl StoreUrl {
    /// The file that contains the store; `None` if it is not a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) | Self::Memory => None,
        }
    }

    /// Names the store for messages that callers of the API see: without user, password and settings.
    pub fn name(&self) -> String {
        match self {
            Self::Postgres(url) => url.name(),
            other => other.to_string(),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(url: &str) -> Result<Self, StoreUrlError> {
        match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(Box::new(url.parse()?))),
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
    /// With the password, if the URL has one.
    fn from(url: StoreUrl) -> Self {
        match url {
            StoreUrl::Postgres(url) => url.reveal().to_owned(),
            other => other.to_string(),
        }
    }
}

/// Shows no password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// Opens a store, and creates it if it does not exist. `clock` tells the time of this machine.
///
/// # Errors
/// See [`OpenError`]; nothing is written to a file that is not a store of this release.
pub async fn open(url: &StoreUrl, clock: fn() -> Timestamp) -> Result<SharedStore, OpenError> {
    let store = open_engine(url, clock).await?;
    let marker = async {
        let found = store.get(&Key::copy_marker()).await?;
        found.map(|it| CopyMarker::parse(&it.value)).transpose()
    };
    let refusal = match marker.await {
        Ok(Some(CopyMarker::Unfinished { from, .. })) => OpenError::UnfinishedCopy {
            url: url.to_string(),
            from,
        },
        Ok(Some(marker)) => {
            let reason = marker.reason();
            tracing::warn!(store = %url, reason, "the store takes no changes");
            return Ok(store);
        }
        Ok(None) => match data_version::prepare(&*store).await {
            Ok(()) => return Ok(store),
            Err(why) => OpenError::of_data(url.to_string(), why),
        },
        Err(fault) => OpenError::Database {
            url: url.to_string(),
            fault,
        },
    };
    // Dropping the store waits for its threads.
    let _ = tokio::task::spawn_blocking(move || drop(store)).await;
    Err(refusal)
}

async fn open_engine(url: &StoreUrl, clock: fn() -> Timestamp) -> Result<SharedStore, OpenError> {
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
        StoreUrl::Postgres(url) => {
            let shown = url.to_string();
            let store = PostgresStore::open(*url, clock).await;
            let store = store.map_err(|fault| match newer_schema(&fault) {
                Some((found, known)) => OpenError::NewerDatabase {
                    url: shown,
                    found,
                    known,
                },
                None => OpenError::Database { url: shown, fault },
            })?;
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
    /// Another release wrote the data, and this one cannot read it. It was not modified.
    #[error("{store} cannot be used: {why}; it was left as it is")]
    OtherData {
        /// Its URL, without the password.
        store: String,
        /// The version that was found, and what this release knows.
        why: String,
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
    /// A later release, beside which this one cannot run, changed the tables. They were not modified.
    #[error("{url} was changed by a newer release (schema {found}, this one knows up to {known})")]
    NewerDatabase {
        /// Its URL, without the password.
        url: String,
        /// Its schema version.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// A copy is not complete. It was not modified.
    #[error("{url} is an unfinished copy of {from}: finish it with edgeseal store copy first")]
    UnfinishedCopy {
        /// Its URL, without the password.
        url: String,
        /// What it is a copy of.
        from: String,
    },
    /// A database cannot be used.
    #[error("{url}: {}", fault.cause.as_ref().map_or_else(|| fault.to_string(), ToString::to_string))]
    Database {
        /// Its URL, without the password.
        url: String,
        /// Why.
        #[source]
        fault: Fault,
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

impl OpenError {
    pub(crate) fn of_data(store: String, why: DataVersionError) -> Self {
        match why {
            DataVersionError::Fault(fault) => Self::Database { url: store, fault },
            why => Self::OtherData {
                store,
                why: why.to_string(),
            },
        }
    }
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

/// How far the revision jumps when a new lineage of a replicated database begins: 2^32 to 2^33. A
/// server that takes over may lack the last commits of the one before; those that it lacks lie below
/// the jump, so none of their revisions is issued again.
pub(crate) fn lineage_step() -> u64 {
    (1 << 32) + revision_jump()
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
            open(&parsed, || Timestamp::from_unix_ms(0)).await.unwrap();
        }
        assert!(path.is_file());
    }

    #[test]
    fn says_what_it_does_not_know() {
        const USE: &str =
            "is not a store URL: use sqlite:PATH, postgres://USER@HOST/DATABASE or memory:";
        for (url, message) in [
            (
                "postgres://me:secret@host",
                "the store URL cannot be read: it has no database: use \
                 postgres://USER@HOST[:PORT][,HOST…]/DATABASE"
                    .to_owned(),
            ),
            (
                "etcd://me:secret@host/",
                format!("\"etcd://…@host/\" {USE}"),
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
