//! Opening the store: at the start, and again and again while it is away.

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
};

/// What came of opening the store.
pub(crate) enum StoreState {
    /// It is open, and it is the one of this data directory.
    Available(SharedStore),
    /// It cannot be used now, and why. What the edge has is served without it.
    Unavailable(String),
}

/// How often a store that is away is looked for.
const STORE_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl NodeContext {
    /// Opens the store, and makes it if the data directory is new. A directory that has served
    /// before is served without a store that is not there or cannot be used; none is made then, and
    /// what is there is left as it is.
    ///
    /// # Errors
    /// [`StartError`] if something is in the way that the operator chose: another process, another
    /// key, a store of another release; or anything, in a new directory.
    pub(crate) async fn open_store(&self) -> Result<StoreState, StartError> {
        if self.has_served
            && let Some(why) = self.missing_reason()
        {
            return Ok(StoreState::Unavailable(why));
        }
        let store = match edgeseal_store::open::open(&self.config.store_url()).await {
            Ok(store) => store,
            Err(error @ OpenError::Locked { .. }) => return Err(StartError::StoreInUse(error)),
            Err(error) if self.has_served && is_retryable(&error) => {
                return Ok(StoreState::Unavailable(error_chain(&error)));
            }
            Err(error) => return Err(error.into()),
        };
        match self.initialize_store(&store).await {
            Ok(()) => Ok(StoreState::Available(store)),
            Err(error) => {
                // Dropping it waits for its threads.
                let _ = task::spawn_blocking(move || drop(store)).await;
                match error {
                    BootstrapError::Store(_) | BootstrapError::StoreEmptied { .. }
                        if self.has_served =>
                    {
                        Ok(StoreState::Unavailable(error_chain(&error)))
                    }
                    error => Err(error.into()),
                }
            }
        }
    }

    /// The first account, and reports of edges that are no more.
    async fn initialize_store(&self, store: &SharedStore) -> Result<(), BootstrapError> {
        let catalog = Catalog::new(Arc::clone(store), self.keyring.clone());
        let first_life = !self.has_served;
        bootstrap::ensure_root_account(&catalog, &self.config, first_life, clock::now()).await?;
        if let Err(fault) = catalog.delete_edge_reports().await {
            // They are silent, and are shown as such.
            tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "reports of edges that are no more could not be removed"
            );
        }
        Ok(())
    }

    /// Waits until there may be a store where it should be: a file that is the same in two looks,
    /// so that nobody is about to put it there. Can be dropped at any time.
    pub(crate) async fn store_may_be_available(&self) {
        let mut before = None;
        loop {
            sleep(STORE_POLL_INTERVAL).await;
            let now = self.store_file().map(|path| file_identity(&path));
            match now {
                // Not a file: it is worth a try.
                None => return,
                Some(Some(stamp)) if before == Some(stamp) => return,
                Some(stamp) => before = stamp,
            }
        }
    }

    /// Why there is no store to be opened, if there is none.
    fn missing_reason(&self) -> Option<String> {
        let path = self.store_file()?;
        let what = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing",
            Ok(found) if found.len() == 0 => "is empty",
            _ => return None,
        };
        Some(format!(
            "{} {what}, but {} has served domains before: put the store back, it is taken up within seconds; or \
             begin anew in another directory",
            path.display(),
            self.config.data.display()
        ))
    }

    fn store_file(&self) -> Option<PathBuf> {
        let url = self.config.store_url();
        url.strip_prefix("sqlite:").map(PathBuf::from)
    }
}

/// Whether the store could be used again without a change of the configuration.
const fn is_retryable(error: &OpenError) -> bool {
    match error {
        OpenError::Unreadable { .. }
        | OpenError::DiskFull { .. }
        | OpenError::Io { .. }
        | OpenError::Fault { .. } => true,
        OpenError::UnknownScheme { .. }
        | OpenError::NoEtcd
        | OpenError::Locked { .. }
        | OpenError::NewerSchema { .. }
        | OpenError::OlderSchema { .. } => false,
    }
}

/// Tells a file from the one that was there before, and from itself with other content.
fn file_identity(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

/// An error with what caused it, on one line; causes that the text has already are left out.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
