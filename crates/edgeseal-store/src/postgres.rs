//! A store in PostgreSQL, shared by any number of processes.
//!
//! - One row is the lock. A batch takes it, checks its conditions, writes, and holds it until it is
//!   committed, in one round trip (`postgres/functions.sql`). So revisions become visible in order and
//!   without gaps, whichever process commits.
//! - Each process has one writer, which commits waiting transactions together
//!   (`postgres/writer.rs`), connections to read with (`postgres/read.rs`), and one that follows the
//!   head of the log (`postgres/head.rs`).
//! - A server that takes over begins a new lineage of revisions, so that those that the old one issued
//!   and lost are recognised, as with a backup that was put back.
//! - Nothing waits for ever: connecting, waiting for a connection and statements have deadlines, here
//!   and at the server.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    Changes, ChangesError, CommitError, Entry, Fault, Filter, Key, Listing, Lists, Log, LogPage,
    LogRange, LogRow, Logs, Page, Revision, Source, Store, Txn, open::TOMBSTONES_KEPT,
    reports::Reports,
};

mod batch;
mod connect;
mod copy;
mod durability;
mod head;
mod health;
mod logs;
mod read;
mod reports;
mod restore;
mod rows;
mod schema;
mod url;
mod writer;

pub use copy::PostgresCopy;
pub use health::{DatabaseHealth, examine};
pub use restore::{RestoreError, RestoreOptions, restore};
pub(crate) use schema::newer_schema;
pub use url::{PostgresUrl, PostgresUrlError};

use connect::Connector;
use durability::Durability;
use read::Readers;
use reports::PostgresReports;
use writer::{COMMIT_TIMEOUT, Job, Writer};

/// See the [module](self).
pub struct PostgresStore {
    readers: Arc<Readers>,
    head: watch::Receiver<Revision>,
    durability: Durability,
    queue: mpsc::Sender<Job>,
    follower: AbortHandle,
    kept_deletes: usize,
}

/// Transactions that can wait for the writer; beyond that, callers wait.
const QUEUE: usize = 1024;
/// Expired keys that one step of a sweep removes at most, so that commits wait for milliseconds.
const SWEEP_CHUNK: i32 = 1000;
/// Steps of one sweep.
const SWEEP_ROUNDS: usize = 10;
/// How long opening may take before a migration, and again after it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

impl PostgresStore {
    /// Opens the store, and creates or migrates its tables. `clock` tells the time of this machine.
    ///
    /// # Errors
    /// A [`Fault`] if no server takes writes, or if a later release wrote the tables.
    pub async fn open(url: PostgresUrl, clock: fn() -> Timestamp) -> Result<Self, Fault> {
        Self::with_tombstone_limit(url, clock, TOMBSTONES_KEPT).await
    }

    /// As [`open`](Self::open), with the number of deletes that the change feed keeps after a sweep.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn with_tombstone_limit(
        url: PostgresUrl,
        clock: fn() -> Timestamp,
        kept_deletes: usize,
    ) -> Result<Self, Fault> {
        let connector = Connector::new(url).map_err(Fault::of("prepare TLS for the database"))?;
        let connector = Arc::new(connector);
        let (head, seen) = watch::channel(Revision(0));
        let head = Arc::new(head);
        let (standbys, standbys_seen) = watch::channel(String::new());
        let mut writer = Writer::new(
            Arc::clone(&connector),
            Arc::clone(&head),
            standbys.clone(),
            clock,
        );
        let session = async {
            let session = connector.connect().await;
            let session = session.map_err(Fault::of("reach the database"))?;
            let current = schema::is_current(&session.client, &connector.url.schema).await;
            Ok::<_, Fault>((session, current.map_err(Fault::of("read the tables"))?))
        };
        let (session, is_current) = in_time(session).await?;
        if !is_current {
            // It has time limits of its own.
            schema::migrate(&session.client, &connector.url.schema)
                .await
                .map_err(Fault::of("prepare the tables"))?;
        }
        let started = async {
            let found = Durability::look(&session, &connector.url, (standbys, standbys_seen));
            let found = found
                .await
                .map_err(Fault::of("read the settings of the database"))?;
            writer.start().await?;
            Ok::<_, Fault>(found)
        };
        let durability = in_time(started).await?;
        let readers = Arc::new(Readers::new(&connector)?);
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(writer.run(jobs));
        let follower = tokio::spawn(head::follow(connector, head)).abort_handle();
        Ok(Self {
            readers,
            head: seen,
            durability,
            queue,
            follower,
            kept_deletes,
        })
    }
}

async fn in_time<T>(opening: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(OPEN_TIMEOUT, opening)
        .await
        .map_err(Fault::of("open the database"))?
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

#[async_trait]
impl Source for PostgresStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        let mut found = self.readers.get_many(std::slice::from_ref(key)).await?;
        Ok(found.pop().flatten())
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        self.readers.get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        self.readers.list(prefix, after, limit).await
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let mut head = self.head.clone();
        loop {
            head.mark_unchanged();
            // Only the database knows whether the revision was issued.
            let changes = self.readers.changes(after, prefixes, limit).await?;
            if changes.through > after {
                return Ok(changes);
            }
            // The head may also go back.
            head.changed()
                .await
                .map_err(Fault::of("wait for a commit"))?;
        }
    }
}

#[async_trait]
impl Lists for PostgresStore {
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        self.readers.list_reverse(prefix, before, limit).await
    }

    async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        self.readers.get_and_list(keys, prefixes, limit).await
    }

    async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        self.readers.window(prefix, skip, limit).await
    }

    async fn select(
        &self,
        prefix: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        self.readers.select(prefix, filter, skip, limit).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        txn.check()?;
        let (reply, answered) = oneshot::channel();
        let until = Instant::now() + COMMIT_TIMEOUT;
        let job = Job { txn, reply, until };
        let stopped = || Fault::new("reach the writer: it has stopped");
        timeout_at(until, self.queue.send(job))
            .await
            .map_err(|_| Fault::new("commit: the database was not reachable in time"))?
            .map_err(|_| stopped())?;
        timeout_at(until, answered)
            .await
            .map_err(|_| Fault::new("commit: whether it was done is not known"))?
            .map_err(|_| stopped())?
    }

    fn reports(&self) -> Option<Arc<dyn Reports>> {
        Some(Arc::new(PostgresReports(Arc::clone(&self.readers))))
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        let kept = i64::try_from(self.kept_deletes).unwrap_or(i64::MAX);
        let mut removed = 0;
        for _ in 0..SWEEP_ROUNDS {
            let round = self.readers.sweep(now.unix_ms(), SWEEP_CHUNK, kept).await?;
            removed += usize::try_from(round).unwrap_or_default();
            if round < SWEEP_CHUNK {
                break;
            }
        }
        Ok(removed)
    }

    fn durability_risk(&self) -> Option<String> {
        self.durability.risk()
    }
}

#[async_trait]
impl Logs for PostgresStore {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        self.readers.read_log(range, limit).await
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        self.readers.get_log_rows(log, scope, names).await
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        self.readers.audit_since(after, limit).await
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        self.readers.log_scopes(log, after, limit).await
    }
}

#[cfg(test)]
mod tests;
