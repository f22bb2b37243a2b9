//! The store at one moment: a file in place, or a copy of a database in a temporary file.

use std::{fs, ops::Deref};

use edgeseal_store::{
    Fault, SharedStore,
    open::{OpenError, StoreUrl},
    postgres::PostgresCopy,
    sqlite::{SqliteSnapshot, StoreBackup},
};

use crate::config::Config;

/// A store that can be read, and does not change. What is read of a database is in a file next to the
/// data that has no name any more: some checks read each record several times, which over a network
/// would take hours.
pub(crate) struct StoreView {
    view: SqliteSnapshot,
    is_copy: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    /// The file of the store, or that of the copy, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database cannot be reached or read.
    #[error("{url}: {}", crate::error_chain::error_chain(fault))]
    Database {
        /// Its URL, without the password.
        url: String,
        /// Why.
        #[source]
        fault: Fault,
    },
    /// It is in the memory of a process.
    #[error("memory: is in one process: it can be neither copied nor checked")]
    InMemory,
}

impl StoreView {
    /// Opens the store of this configuration.
    ///
    /// # Errors
    /// [`ViewError`].
    pub(crate) async fn open(config: &Config) -> Result<Self, ViewError> {
        let url = match config.store_url() {
            StoreUrl::Sqlite(path) => {
                return Ok(Self {
                    view: SqliteSnapshot::open(&path)?,
                    is_copy: false,
                });
            }
            StoreUrl::Postgres(url) => url,
            StoreUrl::Memory => return Err(ViewError::InMemory),
        };
        let failed = |fault| ViewError::Database {
            url: url.to_string(),
            fault,
        };
        let source = PostgresCopy::snapshot((*url).clone())
            .await
            .map_err(failed)?;
        let directory = match fs::metadata(&config.data) {
            Ok(found) if found.is_dir() => config.data.clone(),
            _ => std::env::temp_dir(),
        };
        let copy = StoreBackup::of_database(&source, &directory.join("view.db"), &|_| {}).await?;
        // Dropping the copy removes its name; what is open remains.
        Ok(Self {
            view: copy.snapshot()?,
            is_copy: true,
        })
    }

    /// Gives the view up as a store that is read.
    pub(crate) fn into_shared(self) -> SharedStore {
        std::sync::Arc::new(self.view)
    }

    /// Whether it is a copy, which no process needs.
    pub(crate) const fn is_copy(&self) -> bool {
        self.is_copy
    }
}

impl Deref for StoreView {
    type Target = SqliteSnapshot;

    fn deref(&self) -> &SqliteSnapshot {
        &self.view
    }
}
