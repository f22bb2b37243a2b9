//! A store whose operations a test observes, or fails on demand.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_store::{
    Changes, ChangesError, CommitError, Entry, Fault, Key, Lists, Log, LogPage, LogRange, LogRow,
    Logs, Page, Revision, SharedStore, Source, Store, Txn, key::DOMAINS,
};

/// An operation that a store is about to run.
#[derive(Clone, Copy)]
pub enum Operation<'a> {
    Get(&'a Key),
    GetMany(&'a [Key]),
    GetAndList(&'a [Key], &'a [String]),
    List(&'a str),
    ReadLog(Log, &'a str),
    AuditSince,
    Commit(&'a Txn),
    Changes,
    Sweep,
}

/// What a test does before each operation, and to the answers of commits.
#[async_trait]
pub trait Observe: Send + Sync + 'static {
    /// An error fails the operation.
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault>;

    /// Waits before an operation that was not failed: what happens meanwhile happens before it.
    async fn hold(&self, _operation: Operation<'_>) {}

    /// What the caller of a commit gets, perhaps later, instead of its outcome.
    async fn answer(
        &self,
        outcome: Result<Revision, CommitError>,
    ) -> Result<Revision, CommitError> {
        outcome
    }

    fn before_commit(&self, txn: &Txn) -> Result<(), CommitError> {
        Ok(self.before(Operation::Commit(txn))?)
    }
}

/// The store.
pub struct ObservedStore<O> {
    inner: SharedStore,
    observer: O,
}

impl<O> ObservedStore<O> {
    pub fn over(inner: SharedStore, observer: O) -> Arc<Self> {
        Arc::new(Self { inner, observer })
    }
}

impl<O> Deref for ObservedStore<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.observer
    }
}

impl<O: Observe> ObservedStore<O> {
    async fn observe(&self, operation: Operation<'_>) -> Result<(), Fault> {
        self.before(operation)?;
        self.hold(operation).await;
        Ok(())
    }
}

#[async_trait]
impl<O: Observe> Source for ObservedStore<O> {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        self.observe(Operation::Get(key)).await?;
        self.inner.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        self.observe(Operation::GetMany(keys)).await?;
        self.inner.get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        self.observe(Operation::List(prefix)).await?;
        self.inner.list(prefix, after, limit).await
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        self.observe(Operation::Changes).await?;
        self.inner.changes(after, prefixes, limit).await
    }
}

#[async_trait]
impl<O: Observe> Lists for ObservedStore<O> {
    async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        self.observe(Operation::GetAndList(keys, prefixes)).await?;
        self.inner.get_and_list(keys, prefixes, limit).await
    }
}

#[async_trait]
impl<O: Observe> Store for ObservedStore<O> {
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        self.before_commit(&txn)?;
        self.hold(Operation::Commit(&txn)).await;
        self.answer(self.inner.commit(txn).await).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        self.observe(Operation::Sweep).await?;
        self.inner.sweep(now).await
    }
}

#[async_trait]
impl<O: Observe> Logs for ObservedStore<O> {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        self.before(Operation::ReadLog(range.log, range.after))?;
        self.inner.read_log(range, limit).await
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        self.before(Operation::ReadLog(log, ""))?;
        self.inner.get_log_rows(log, scope, names).await
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        self.before(Operation::AuditSince)?;
        self.inner.audit_since(after, limit).await
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        self.before(Operation::ReadLog(log, after))?;
        self.inner.log_scopes(log, after, limit).await
    }
}

/// A store that fails until it is healed.
pub type FailingStore = ObservedStore<Failing>;

/// Fails every operation until it is healed.
pub struct Failing {
    fails: AtomicBool,
    single_reads: AtomicUsize,
}

impl FailingStore {
    pub fn new(inner: &SharedStore) -> Arc<Self> {
        let failing = Failing {
            fails: AtomicBool::new(true),
            single_reads: AtomicUsize::new(0),
        };
        Self::over(Arc::clone(inner), failing)
    }
}

impl Failing {
    /// From now on operations succeed.
    pub fn heal(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }

    /// The number of reads of single domains.
    pub fn single_reads(&self) -> usize {
        self.single_reads.load(Ordering::Relaxed)
    }
}

impl Observe for Failing {
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Fault::new("failing by the test's demand"));
        }
        if let Operation::Get(key) = operation
            && key.as_str().starts_with(DOMAINS)
        {
            self.single_reads.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
