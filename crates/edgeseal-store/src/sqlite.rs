//! A store in one SQLite file, owned by one process.
//!
//! - One writer thread commits the transactions waiting in a bounded queue together: one `fsync`
//!   for many transactions (`sqlite/writer.rs`). Only it assigns revisions, in the transaction that
//!   uses them.
//! - Recently read or written values are cached in memory (`sqlite/cache.rs`).
//! - Readers are additional connections to the same file. None keeps a snapshot across calls, so
//!   that the write-ahead log can always be checkpointed (`sqlite/read.rs`).
//! - A lock file next to the database excludes other processes (`sqlite/file.rs`).
//! - Removal or replacement of open files is detected before a commit to them is acknowledged
//!   (`sqlite/file_watch.rs`).
//!
//! Any SQLite tool may read the file while it is open. [`StoreBackup`] copies it while it is in
//! use, and restores such a copy while no process owns the file.

use std::{path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task, time,
};

use crate::{
    Changes, ChangesError, CommitError, Entry, Fault, Filter, Key, Listing, Lists, Log, LogPage,
    LogRange, LogRow, Logs, Page, Revision, Source, Store, Txn,
    open::{OpenError, TOMBSTONES_KEPT},
    page_limit,
};

mod backup;
mod cache;
mod copy;
mod file;
mod file_watch;
mod logs;
mod read;
mod snapshot;
mod writer;

pub use backup::{BackupError, StoreBackup, check_restore_target};
pub use copy::{SqliteSource, SqliteTarget};
pub use snapshot::{SqliteSnapshot, open_read_only};

use cache::ReadCache;
use file_watch::FileWatch;
use read::{FeedBounds, Readers};
use writer::{Job, Writer};

/// See the [module](self).
pub struct SqliteStore {
    readers: Option<Arc<Readers>>,
    cache: Arc<ReadCache>,
    file_watch: Arc<FileWatch>,
    /// Revision ranges of earlier incarnations of the file, oldest first: from, to.
    incarnations: Vec<(Revision, Revision)>,
    /// First revision of this incarnation of the file.
    first_revision: Revision,
    head: watch::Receiver<Revision>,
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// Transactions that can wait for the writer; beyond that, callers wait.
const QUEUE: usize = 1024;
/// Rounds of [`writer::SWEEP_CHUNK`] keys in one sweep. Other commits run between rounds.
const SWEEP_ROUNDS: usize = 10;
/// How often the files are checked while nothing is committed.
const FILE_CHECK_INTERVAL: Duration = Duration::from_millis(250);

impl SqliteStore {
    /// Opens the store in this file, or creates it: the file with mode 0600, missing directories
    /// with 0700. Blocks for some milliseconds, longer after a crash.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::with_tombstone_limit(path, TOMBSTONES_KEPT)
    }

    /// As [`open`](Self::open), with the number of deletes that the change feed keeps after a
    /// sweep.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn with_tombstone_limit(
        path: impl AsRef<Path>,
        kept_deletes: usize,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let opened = file::open(path)?;
        let fault = |fault| OpenError::Fault {
            path: path.to_owned(),
            fault,
        };
        let readers = Readers::open(path).map_err(fault)?;
        let (head_sender, head) = watch::channel(opened.first_revision);
        let recent = Arc::new(ReadCache::new(opened.first_revision));
        let files = FileWatch::of(path).map_err(file::io_error(path))?;
        let files = Arc::new(files);
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Writer::new(
            opened.connection,
            opened.lock,
            Arc::clone(&files),
            (head_sender, Arc::clone(&recent)),
            kept_deletes,
        );
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(jobs))
            .map_err(|cause| fault(Fault::of("start the writer")(cause)))?;
        Ok(Self {
            readers: Some(Arc::new(readers)),
            cache: recent,
            file_watch: files,
            incarnations: opened.incarnations,
            first_revision: opened.first_revision,
            head,
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    /// Commits what is queued, checkpoints the write-ahead log and closes the file. Dropping the
    /// store does the same, but blocks the thread.
    pub async fn close(self) {
        // It can only fail if the writer panicked, which is logged.
        let _ = task::spawn_blocking(move || drop(self)).await;
    }

    fn readers(&self) -> Result<&Arc<Readers>, Fault> {
        self.file_watch.last_result()?;
        self.readers.as_ref().ok_or_else(closed)
    }

    async fn send(&self, job: Job) -> Result<(), Fault> {
        self.file_watch.last_result()?;
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(job).await.map_err(|_| closed())
    }

    async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        Readers::scan(self.readers()?, read).await
    }

    fn issued(&self, revision: Revision, head: Revision) -> bool {
        revision == Revision(0)
            || (self.first_revision..=head).contains(&revision)
            || self
                .incarnations
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&revision))
    }

    async fn check_issued(&self, after: Revision) -> Result<(), ChangesError> {
        let known = *self.head.borrow();
        if self.issued(after, known) {
            return Ok(());
        }
        // A read may have shown a commit that has not been announced yet.
        let FeedBounds { head, compacted } = self.scan(read::feed_bounds).await?;
        if self.issued(after, head) {
            return Ok(());
        }
        Err(ChangesError::Compacted { oldest: compacted })
    }
}

#[async_trait]
impl Source for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        // First: this also checks whether cached values may still be returned.
        let readers = self.readers()?;
        if let Some(entry) = self.cache.get(key) {
            return Ok(Some(entry));
        }
        let turn = self.cache.generation();
        let key = key.clone();
        let found = Readers::point(readers, move |connection| read::get(connection, &key)).await?;
        if let Some(entry) = &found {
            self.cache.insert_read(turn, entry);
        }
        Ok(found)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        /// So few keys do not wait behind a listing.
        const FEW: usize = 8;
        let readers = self.readers()?;
        if let Some(entries) = self.cache.get_many(keys) {
            return Ok(entries);
        }
        let few = keys.len() <= FEW;
        let keys = keys.to_vec();
        let read = move |connection: &rusqlite::Connection| read::get_many(connection, &keys);
        if few {
            Readers::point(readers, read).await
        } else {
            Readers::scan(readers, read).await
        }
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.scan(move |connection| read::list(connection, &prefix, after.as_ref(), limit))
            .await
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        self.check_issued(after).await?;
        self.head
            .clone()
            .wait_for(|head| *head > after)
            .await
            .map_err(Fault::of("wait for a commit"))?;
        let readers = self.readers()?;
        if let Some(changes) = self.cache.changes(after, prefixes, page_limit(limit)) {
            return Ok(changes);
        }
        let prefixes: Vec<String> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        Readers::read_changes(readers, move |connection| {
            read::changes(connection, after, &prefixes, limit)
        })
        .await?
    }

    async fn lost(&self) -> Fault {
        loop {
            let files = Arc::clone(&self.file_watch);
            // A stalled disk must not block other tasks.
            let looked = task::spawn_blocking(move || files.check()).await;
            if let Ok(Err(gone)) = looked {
                return gone.into();
            }
            time::sleep(FILE_CHECK_INTERVAL).await;
        }
    }
}

#[async_trait]
impl Lists for SqliteStore {
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let (prefix, before) = (prefix.to_owned(), before.cloned());
        self.scan(move |connection| read::list_reverse(connection, &prefix, before.as_ref(), limit))
            .await
    }

    async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        let (keys, prefixes) = (keys.to_vec(), prefixes.to_vec());
        self.scan(move |connection| read::get_and_list(connection, &keys, &prefixes, limit))
            .await
    }

    async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let prefix = prefix.to_owned();
        self.scan(move |connection| read::window(connection, &prefix, skip, limit))
            .await
    }

    async fn select(
        &self,
        prefix: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let (prefix, filter) = (prefix.to_owned(), filter.clone());
        self.scan(move |connection| read::select(connection, &prefix, &filter, skip, limit))
            .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        txn.check()?;
        let (answer, answered) = oneshot::channel();
        self.send(Job::Commit { txn, reply: answer }).await?;
        answered.await.map_err(Fault::of("await the writer"))?
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        let mut removed = 0;
        for _ in 0..SWEEP_ROUNDS {
            let (answer, answered) = oneshot::channel();
            self.send(Job::Sweep { now, reply: answer }).await?;
            let round = answered.await.map_err(Fault::of("await the writer"))??;
            removed += round;
            if round < writer::SWEEP_CHUNK {
                break;
            }
        }
        Ok(removed)
    }
}

#[async_trait]
impl Logs for SqliteStore {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        let (scope, after) = (range.scope.to_owned(), range.after.to_owned());
        let before = range.before.map(str::to_owned);
        let (log, newest_first) = (range.log, range.newest_first);
        self.scan(move |connection| {
            let range = LogRange {
                log,
                scope: &scope,
                after: &after,
                before: before.as_deref(),
                newest_first,
            };
            logs::read_log(connection, range, limit)
        })
        .await
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        let (scope, names) = (scope.to_owned(), names.to_vec());
        self.scan(move |connection| logs::get_log_rows(connection, (log, &scope), &names))
            .await
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        self.scan(move |connection| logs::audit_since(connection, after, limit))
            .await
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        let after = after.to_owned();
        self.scan(move |connection| logs::log_scopes(connection, log, &after, limit))
            .await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // Readers first: the last connection to close checkpoints the log, and only the writer may
        // do that.
        self.readers = None;
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

fn closed() -> Fault {
    Fault::new("reach the writer: it has stopped")
}

#[cfg(test)]
mod tests;
