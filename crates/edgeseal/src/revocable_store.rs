//! A store that can be away: another process has it, or it could not be opened. Whoever holds it goes
//! on when it is there again.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_store::{
    Changes, ChangesError, CommitError, Entry, EntryFilter, Fault, Key, Page, Revision,
    SharedStore, Store, Txn, Window, Write,
};
use tokio::{
    sync::watch,
    task,
    time::{Duration, sleep},
};

use crate::node::open_store::{StoreState, error_chain};

/// Passes every verb on, as long as it has a store; fails them otherwise, and says why.
pub(crate) struct RevocableStore {
    store: RwLock<Result<SharedStore, UnavailableStore>>,
    /// Whether there is one: verbs that wait for the store give up when it goes.
    available: watch::Sender<bool>,
    /// Why the last commit failed; `None` if it did not, or was only refused.
    commit_failure: RwLock<Option<String>>,
}

/// Why there is no store.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct UnavailableStore(String);

/// Why there is no store while another process has it.
pub(crate) const HANDED_OVER: &str = "it was handed over to another process";

impl RevocableStore {
    pub(crate) fn new(opening: StoreState) -> Arc<Self> {
        let store = match opening {
            StoreState::Available(store) => Ok(store),
            StoreState::Unavailable(why) => Err(UnavailableStore(why)),
        };
        Arc::new(Self {
            available: watch::Sender::new(store.is_ok()),
            store: RwLock::new(store),
            commit_failure: RwLock::new(None),
        })
    }

    /// Whether there is a store.
    pub(crate) fn is_available(&self) -> bool {
        *self.available.borrow()
    }

    /// Lets go of the store; returns once it is closed, so that another process can open it. What
    /// was committed is durable. From now on verbs fail, and this is why.
    pub(crate) async fn revoke(&self, why: &str) {
        self.available.send_replace(false);
        let away = Err(UnavailableStore(why.to_owned()));
        let taken = {
            let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *store, away)
        };
        let Ok(store) = taken else { return };
        // Verbs under way end by themselves, now that they are told.
        while Arc::strong_count(&store) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        // A panic of the store's own threads is in the log.
        let _ = task::spawn_blocking(move || drop(store)).await;
    }

    /// Why there is no store; empty if there is one.
    pub(crate) fn unavailable_reason(&self) -> String {
        match &*self.store.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(_) => String::new(),
            Err(UnavailableStore(why)) => why.clone(),
        }
    }

    /// Why the store, which is there, takes no changes: why the last one failed, as on a full disk. With
    /// each sweep another one is tried, so that a store that takes them again is noticed.
    pub(crate) fn commit_failure(&self) -> Option<String> {
        let refuses = self.commit_failure.read();
        refuses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record_commit(&self, committed: &Result<Revision, CommitError>) {
        let why = match committed {
            Err(CommitError::Fault(fault)) if fault.cause.is_some() => Some(error_chain(fault)),
            // Without a cause it is the change that cannot be taken; and a conflict was only read.
            Err(_) => return,
            Ok(_) => None,
        };
        if self.commit_failure() != why {
            *self
                .commit_failure
                .write()
                .unwrap_or_else(PoisonError::into_inner) = why;
        }
    }

    /// Says why there is no store. If there is one, nothing changes.
    pub(crate) fn set_unavailable_reason(&self, why: &str) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(away) = &mut *store {
            why.clone_into(&mut away.0);
        }
    }

    /// Passes verbs on to this store from now on.
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
        store.clone().map_err(Fault::of("the store is away"))
    }

    /// Waits until the store is to be let go of.
    async fn revoked(&self) -> Fault {
        // The sender lives in this object.
        let _ = self
            .available
            .subscribe()
            .wait_for(|granted| !granted)
            .await;
        match self.store() {
            Err(fault) => fault,
            // It is there again already; what was asked of the other one is not answered.
            Ok(_) => Fault::new("the store went away"),
        }
    }
}

/// A change that leaves nothing, and is as durable as any other.
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
        wanted: EntryFilter,
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
            // What comes of it is noted.
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
            // The sender lives in this object.
            let _ = self
                .available
                .subscribe()
                .wait_for(|granted| *granted)
                .await;
            let Ok(store) = self.store() else {
                task::yield_now().await;
                continue;
            };
            tokio::select! {
                fault = store.lost() => return fault,
                // Let go of, for whatever reason: the next one may be lost.
                _ = self.revoked() => {}
            }
        }
    }
}
