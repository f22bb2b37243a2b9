//! A store that can be let go of while others still hold it: another process is to open it.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_store::{
    Changes, ChangesError, CommitError, Entry, Fault, Key, Page, Revision, SharedStore, Store, Txn,
    Wanted, Window,
};
use tokio::{
    sync::watch,
    task,
    time::{Duration, sleep},
};

/// Passes every verb on, as long as it has a store; fails them from then on.
pub(crate) struct Lease {
    store: RwLock<Option<SharedStore>>,
    /// Whether there is one: verbs that wait for the store give up when it goes.
    granted: watch::Sender<bool>,
}

const fn handed_over() -> Fault {
    Fault::new("the store was handed over to another process")
}

impl Lease {
    pub(crate) fn new(store: SharedStore) -> Arc<Self> {
        Arc::new(Self {
            store: RwLock::new(Some(store)),
            granted: watch::Sender::new(true),
        })
    }

    /// Lets go of the store; returns once it is closed, so that another process can open it. What
    /// was committed is durable.
    pub(crate) async fn revoke(&self) {
        self.granted.send_replace(false);
        let taken = self
            .store
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(store) = taken else { return };
        // Verbs under way end by themselves, now that they are told.
        while Arc::strong_count(&store) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        // A panic of the store's own threads is in the log.
        let _ = task::spawn_blocking(move || drop(store)).await;
    }

    /// Passes verbs on to this store from now on.
    pub(crate) fn grant(&self, store: SharedStore) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
        self.granted.send_replace(true);
    }

    fn store(&self) -> Result<SharedStore, Fault> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone().ok_or_else(handed_over)
    }

    /// Waits until the store is to be let go of.
    async fn revoked(&self) -> Fault {
        // The sender lives in this object.
        let _ = self.granted.subscribe().wait_for(|granted| !granted).await;
        handed_over()
    }
}

#[async_trait]
impl Store for Lease {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        // Takes some µs and waits for nobody.
        self.store()?.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        let store = self.store()?;
        tokio::select! {
            page = store.list(prefix, after, limit) => page,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn list_back(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let store = self.store()?;
        tokio::select! {
            page = store.list_back(prefix, before, limit) => page,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        let store = self.store()?;
        tokio::select! {
            entries = store.get_many(keys) => entries,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn window(&self, prefix: &str, skip: usize, limit: usize) -> Result<Window, Fault> {
        let store = self.store()?;
        tokio::select! {
            window = store.window(prefix, skip, limit) => window,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn select(
        &self,
        prefix: &str,
        wanted: Wanted,
        skip: usize,
        limit: usize,
    ) -> Result<Window, Fault> {
        let store = self.store()?;
        tokio::select! {
            window = store.select(prefix, wanted, skip, limit) => window,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        let store = self.store()?;
        tokio::select! {
            revision = store.commit(txn) => revision,
            fault = self.revoked() => Err(fault.into()),
        }
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let store = self.store()?;
        tokio::select! {
            changes = store.changes(after, prefixes, limit) => changes,
            fault = self.revoked() => Err(fault.into()),
        }
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        let store = self.store()?;
        tokio::select! {
            swept = store.sweep(now) => swept,
            fault = self.revoked() => Err(fault),
        }
    }
}
