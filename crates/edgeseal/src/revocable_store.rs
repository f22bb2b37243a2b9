//! A store that can be revoked and restored while it is in use: another process takes it, or it
//! cannot be opened. Its holders continue when it is restored.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_store::{
    Changes, ChangesError, CommitError, Entry, EntryFilter, Fault, Key, Listing, Page, Revision,
    SharedStore, Store, Txn, Write,
};
use tokio::{
    sync::watch,
    task,
    time::{Duration, sleep},
};

use crate::node::open_store::{StoreState, error_chain};

/// Forwards every operation while the store is available; otherwise fails it with the reason.
pub(crate) struct RevocableStore {
    store: RwLock<Result<SharedStore, UnavailableStore>>,
    /// Whether the store is available: pending operations fail when it is revoked.
    available: watch::Sender<bool>,
    /// Why the last commit failed; `None` if it succeeded or was only refused.
    commit_failure: RwLock<Option<String>>,
}

/// Why the store is unavailable.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct UnavailableStore(String);

/// The reason while another process has the store.
pub(crate) const HANDED_OVER: &str = "it was handed over to another process";

impl RevocableStore {
    pub(crate) fn new(state: StoreState) -> Arc<Self> {
        let store = match state {
            StoreState::Available(store) => Ok(store),
            StoreState::Unavailable(reason) => Err(UnavailableStore(reason)),
        };
        Arc::new(Self {
            available: watch::Sender::new(store.is_ok()),
            store: RwLock::new(store),
            commit_failure: RwLock::new(None),
        })
    }

    /// Whether the store is available.
    pub(crate) fn is_available(&self) -> bool {
        *self.available.borrow()
    }

    /// Releases the store; returns once it is closed, so that another process can open it. Commits
    /// that succeeded are durable. From now on operations fail with this reason.
    pub(crate) async fn revoke(&self, reason: &str) {
        self.available.send_replace(false);
        let unavailable = Err(UnavailableStore(reason.to_owned()));
        let taken = {
            let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *store, unavailable)
        };
        let Ok(store) = taken else { return };
        // Operations in flight end by themselves, since `available` has changed.
        while Arc::strong_count(&store) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        // A panic of the store's threads is logged there.
        let _ = task::spawn_blocking(move || drop(store)).await;
    }

    /// Why the store is unavailable; empty if it is available.
    pub(crate) fn unavailable_reason(&self) -> String {
        match &*self.store.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(_) => String::new(),
            Err(UnavailableStore(reason)) => reason.clone(),
        }
    }

    /// Why the last commit of an available store failed, as on a full disk. Each sweep then tries
    /// a commit that changes nothing, so that a recovery is noticed.
    pub(crate) fn commit_failure(&self) -> Option<String> {
        let failure = self.commit_failure.read();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record_commit(&self, committed: &Result<Revision, CommitError>) {
        let reason = match committed {
            Err(CommitError::Fault(fault)) if fault.cause.is_some() => Some(error_chain(fault)),
            // A fault without a cause is about the transaction itself, and a conflict wrote nothing.
            Err(_) => return,
            Ok(_) => None,
        };
        if self.commit_failure() != reason {
            *self
                .commit_failure
                .write()
                .unwrap_or_else(PoisonError::into_inner) = reason;
        }
    }

    /// Replaces the reason. Does nothing if the store is available.
    pub(crate) fn set_unavailable_reason(&self, reason: &str) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(unavailable) = &mut *store {
            reason.clone_into(&mut unavailable.0);
        }
    }

    /// Forwards operations to this store from now on.
    pub(crate) fn restore(&self, store: SharedStore) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Ok(store);
        *self
            .commit_failure
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.available.send_replace(true);
    }

    fn store(&self) -> Result<SharedStore, Fault> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone().map_err(Fault::of("the store is unavailable"))
    }

    /// Waits until the store is revoked.
    async fn revoked(&self) -> Fault {
        // Cannot fail: `self` owns the sender.
        let _ = self
            .available
            .subscribe()
            .wait_for(|available| !available)
            .await;
        match self.store() {
            Err(fault) => fault,
            // It was restored already; an operation on the revoked store still gets no result.
            Ok(_) => Fault::new("the store was revoked"),
        }
    }
}

/// A transaction that changes nothing and is as durable as any other.
fn noop_txn() -> Txn {
    Txn {
        write: vec![Write::Delete(Key::from_stored("meta/nothing"))],
        ..Txn::default()
    }
}

#[async_trait]
impl Store for RevocableStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        let store = self.store()?;
        tokio::select! {
            entry = store.get(key) => entry,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        let store = self.store()?;
        tokio::select! {
            page = store.list(prefix, after, limit) => page,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let store = self.store()?;
        tokio::select! {
            page = store.list_reverse(prefix, before, limit) => page,
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

    async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let store = self.store()?;
        tokio::select! {
            window = store.window(prefix, skip, limit) => window,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn select(
        &self,
        prefix: &str,
        wanted: EntryFilter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let store = self.store()?;
        tokio::select! {
            window = store.select(prefix, wanted, skip, limit) => window,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        let store = self.store()?;
        tokio::select! {
            revision = store.commit(txn) => {
                self.record_commit(&revision);
                revision
            }
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
        if self.commit_failure().is_some() {
            // Its result is recorded in `commit_failure`.
            let _ = self.commit(noop_txn()).await;
        }
        let store = self.store()?;
        tokio::select! {
            swept = store.sweep(now) => swept,
            fault = self.revoked() => Err(fault),
        }
    }

    async fn lost(&self) -> Fault {
        loop {
            // Cannot fail: `self` owns the sender.
            let _ = self
                .available
                .subscribe()
                .wait_for(|available| *available)
                .await;
            let Ok(store) = self.store() else {
                task::yield_now().await;
                continue;
            };
            tokio::select! {
                fault = store.lost() => return fault,
                // Revoked for another reason: wait for the next store.
                _ = self.revoked() => {}
            }
        }
    }
}
