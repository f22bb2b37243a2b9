//! Opening the store: at startup, and repeatedly while it is unavailable.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edgeseal_store::{Catalog, SharedStore, open::OpenError};
use tokio::{task, time::sleep};

use super::{StartError, context::NodeContext};
use crate::{
    bootstrap::{self, BootstrapError},
    clock,
    revocable_store::UnavailableStore,
};

/// How often a node without a store polls for it.
const STORE_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl NodeContext {
    /// Opens the store, and creates it if the data directory is new. If the directory has served
    /// before and the store is missing or cannot be used, it returns [`UnavailableStore`]; it then
    /// creates and changes nothing, and the edge serves its replica without a store.
    ///
    /// # Errors
    /// [`StartError`] for causes that the operator must resolve: another process, another key, a
    /// store of another release; and for any cause in a new directory.
    pub(crate) async fn open_store(
        &self,
    ) -> Result<Result<SharedStore, UnavailableStore>, StartError> {
        if self.has_served
            && let Some(reason) = self.missing_reason()
        {
            return Ok(Err(reason));
        }
        let store = match edgeseal_store::open::open(&self.config.store_url(), clock::now).await {
            Ok(store) => store,
            Err(error @ OpenError::Locked { .. }) => return Err(StartError::StoreInUse(error)),
            Err(error) if self.has_served && is_retryable(&error) => {
                return Ok(Err(UnavailableStore::because(&error)));
            }
            Err(error) => return Err(error.into()),
        };
        match self.initialize_store(&store).await {
            Ok(()) => Ok(Ok(store)),
            Err(error) => {
                // Dropping the store waits for its threads.
                let _ = task::spawn_blocking(move || drop(store)).await;
                match error {
                    BootstrapError::Store(_) | BootstrapError::StoreEmptied { .. }
                        if self.has_served =>
                    {
                        Ok(Err(UnavailableStore::because(&error)))
                    }
                    error => Err(error.into()),
                }
            }
        }
    }

    /// Creates the first account, and deletes reports of edges of earlier processes.
    async fn initialize_store(&self, store: &SharedStore) -> Result<(), BootstrapError> {
        let catalog = Catalog::new(Arc::clone(store), self.keyring.clone());
        let is_new = !self.has_served;
        if self.config.is_store_shared() {
            // Before anything is sealed: the store says which key seals.
            bootstrap::adopt_sealing_key(store, &self.keyring, &self.kek_sources).await?;
        }
        bootstrap::ensure_root_account(&catalog, &self.config, is_new, clock::now()).await?;
        // Reports in a shared database may be those of other processes.
        if !self.config.is_store_shared()
            && let Err(fault) = catalog.delete_edge_reports().await
        {
            // Not fatal: they are shown as silent.
            tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "reports of former edges could not be removed"
            );
        }
        Ok(())
    }

    /// Waits until there may be a store: a file that is unchanged in two polls, so that it is not
    /// being copied right now. Cancel safe.
    pub(crate) async fn store_may_be_available(&self) {
        let mut before = None;
        loop {
            sleep(STORE_POLL_INTERVAL).await;
            let now = self.store_file().map(|path| file_identity(&path));
            match now {
                // Not a file: try it.
                None => return,
                Some(Some(stamp)) if before == Some(stamp) => return,
                Some(stamp) => before = stamp,
            }
        }
    }

    /// Why there is no store to open, if there is none.
    fn missing_reason(&self) -> Option<UnavailableStore> {
        let path = self.store_file()?;
        let what = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing",
            Ok(found) if found.len() == 0 => "is empty",
            _ => return None,
        };
        Some(UnavailableStore(format!(
            "{} {what}, but {} has served domains before: restore the store, it is attached within seconds; or \
             start in another directory",
            path.display(),
            self.config.data.display()
        )))
    }

    fn store_file(&self) -> Option<PathBuf> {
        self.config.store_url().file().map(Path::to_owned)
    }
}

/// Whether the store may become usable without a change of the configuration.
const fn is_retryable(error: &OpenError) -> bool {
    match error {
        OpenError::Unreadable { .. }
        | OpenError::DiskFull { .. }
        | OpenError::Io { .. }
        | OpenError::Database { .. }
        | OpenError::Fault { .. } => true,
        OpenError::Locked { .. }
        | OpenError::OtherData { .. }
        | OpenError::NewerSchema { .. }
        | OpenError::NewerDatabase { .. }
        | OpenError::UnfinishedCopy { .. }
        | OpenError::OlderSchema { .. } => false,
    }
}

/// Changes if the file is replaced or its content changes.
fn file_identity(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}
