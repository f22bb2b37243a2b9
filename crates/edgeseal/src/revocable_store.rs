//! A store that can be revoked and restored while it is in use: another process takes it, or it
//! cannot be opened. Its holders continue when it is restored.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_store::{
    Changes, ChangesError, CommitError, Entry, Fault, Filter, Key, Listing, Lists, Log, LogPage,
    LogRange, LogRow, Logs, Page, Reports, Revision, SharedStore, Source, Store, Txn, Write,
};
use tokio::{
    sync::watch,
    task,
    time::{Duration, sleep},
};

use crate::error_chain::error_chain;

/// Forwards every operation while the store is available; otherwise fails it with the reason.
pub(crate) struct RevocableStore {
    store: RwLock<Result<SharedStore, UnavailableStore>>,
    /// Whether the store is available: pending operations fail when it is revoked.
    available: watch::Sender<bool>,
    /// Why the last commit failed; `None` if it succeeded or was only refused.
    commit_failure: RwLock<Option<String>>,
}

/// Why the store is unavailable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UnavailableStore(pub(crate) String);

impl UnavailableStore {
    /// Unavailable because of this error and its causes.
    pub(crate) fn because(error: &dyn std::error::Error) -> Self {
        Self(error_chain(error))
    }
}

/// The reason while another process has the store.
pub(crate) const HANDED_OVER: &str = "it was handed over to another process";

impl RevocableStore {
    pub(crate) fn new(store: Result<SharedStore, UnavailableStore>) -> Arc<Self> {
        Arc::new(Self {
            available: watch::Sender::new(store.is_ok()),
            store: RwLock::new(store),
            commit_failure: RwLock::new(None),
        })
    }

    /// Replaces the store, or the reason why there is none. Returns once the previous store is
    /// closed, so that another process can open it; commits that succeeded there are durable.
    pub(crate) async fn replace(&self, store: Result<SharedStore, UnavailableStore>) {
        let is_available = store.is_ok();
        // Operations in flight end by this.
        self.available.send_replace(false);
        let previous = {
            let mut current = self.store.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, store)
        };
        if is_available {
            self.set_commit_failure(None);
            self.available.send_replace(true);
        }
        let Ok(previous) = previous else { return };
        while Arc::strong_count(&previous) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        // A panic of the store's threads is logged there.
        let _ = task::spawn_blocking(move || drop(previous)).await;
    }

    /// Releases the store: from now on operations fail with this reason. See
    /// [`replace`](Self::replace).
    pub(crate) async fn revoke(&self, reason: &str) {
        let reason = UnavailableStore(reason.to_owned());
        self.replace(Err(reason)).await;
    }

    /// Why the store is unavailable; `None` if it is available.
    pub(crate) fn unavailable_reason(&self) -> Option<UnavailableStore> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.as_ref().err().cloned()
    }

    /// Logs why the store is unavailable, if it is and `logged` is another reason.
    pub(crate) fn log_unavailable(&self, logged: Option<&UnavailableStore>) {
        if let Some(reason) = self.unavailable_reason()
            && logged != Some(&reason)
        {
            tracing::error!(
                %reason,
                "the store is unavailable: the edge serves its last good state, the API refuses every call; polling \
                 for the store"
            );
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
            // The store works: it is being moved, and this server still serves what it holds.
            Err(CommitError::Fault(fault)) if fault.read_only().is_some() => return,
            Err(CommitError::Fault(fault)) if fault.cause.is_some() => Some(error_chain(fault)),
            // A fault without a cause is about the transaction itself, and a conflict wrote
            // nothing.
            Err(_) => return,
            Ok(_) => None,
        };
        if self.commit_failure() != reason {
            self.set_commit_failure(reason);
        }
    }

    fn set_commit_failure(&self, reason: Option<String>) {
        let failure = self.commit_failure.write();
        *failure.unwrap_or_else(PoisonError::into_inner) = reason;
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

    /// The result of an operation, unless the store is revoked first.
    async fn unless_revoked<T, E: From<Fault>>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            result = operation => result,
            fault = self.revoked() => Err(fault.into()),
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
impl Source for RevocableStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.get(key)).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.get_many(keys)).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.list(prefix, after, limit)).await
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let store = self.store()?;
        self.unless_revoked(store.changes(after, prefixes, limit))
            .await
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

#[async_trait]
impl Lists for RevocableStore {
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.list_reverse(prefix, before, limit))
            .await
    }

    async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        let store = self.store()?;
        self.unless_revoked(store.get_and_list(keys, prefixes, limit))
            .await
    }

    async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.window(prefix, skip, limit)).await
    }

    async fn select(
        &self,
        prefix: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.select(prefix, filter, skip, limit))
            .await
    }
}

#[async_trait]
impl Store for RevocableStore {
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        let store = self.store()?;
        let commit = async {
            let committed = store.commit(txn).await;
            self.record_commit(&committed);
            committed
        };
        self.unless_revoked(commit).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        if self.commit_failure().is_some() {
            // Its result is recorded in `commit_failure`.
            let _ = self.commit(noop_txn()).await;
        }
        let store = self.store()?;
        self.unless_revoked(store.sweep(now)).await
    }

    fn durability_risk(&self) -> Option<String> {
        self.store().ok()?.durability_risk()
    }

    fn reports(&self) -> Option<Arc<dyn Reports>> {
        self.store().ok()?.reports()
    }
}

#[async_trait]
impl Logs for RevocableStore {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.read_log(range, limit)).await
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.get_log_rows(log, scope, names))
            .await
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.audit_since(after, limit)).await
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        let store = self.store()?;
        self.unless_revoked(store.log_scopes(log, after, limit))
            .await
    }
}
