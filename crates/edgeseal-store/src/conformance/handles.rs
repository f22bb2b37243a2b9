//! Two handles on one store, taken in turn: what one process does, the other sees.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use edgeseal_core::Timestamp;

use crate::{
    Changes, ChangesError, CommitError, Entry, Fault, Filter, Key, Listing, Lists, Log, LogPage,
    LogRange, LogRow, Logs, Page, Revision, SharedStore, Source, Store, Txn,
};

/// A store that sends each operation to another one of its handles than the last.
pub(crate) struct Handles {
    handles: [SharedStore; 2],
    next: AtomicUsize,
}

impl Handles {
    pub(crate) fn of(handles: [SharedStore; 2]) -> Arc<Self> {
        let next = AtomicUsize::new(0);
        Arc::new(Self { handles, next })
    }

    fn next(&self) -> &SharedStore {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl Source for Handles {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        self.next().get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        self.next().get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        self.next().list(prefix, after, limit).await
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        self.next().changes(after, prefixes, limit).await
    }
}

#[async_trait]
impl Lists for Handles {
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        self.next().list_reverse(prefix, before, limit).await
    }

    async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        self.next().get_and_list(keys, prefixes, limit).await
    }

    async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        self.next().window(prefix, skip, limit).await
    }

    async fn select(
        &self,
        prefix: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        self.next().select(prefix, filter, skip, limit).await
    }
}

#[async_trait]
impl Logs for Handles {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        self.next().read_log(range, limit).await
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        self.next().get_log_rows(log, scope, names).await
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        self.next().audit_since(after, limit).await
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        self.next().log_scopes(log, after, limit).await
    }
}

#[async_trait]
impl Store for Handles {
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        self.next().commit(txn).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        self.next().sweep(now).await
    }
}
