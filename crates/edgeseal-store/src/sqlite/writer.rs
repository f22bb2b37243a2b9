//! The one writer: commits all queued transactions together.

use std::{borrow::Cow, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use rusqlite::{
    CachedStatement, Connection, OptionalExtension as _, Transaction, TransactionBehavior, params,
};
use tokio::sync::{mpsc::Receiver, oneshot, watch};

use super::{
    cache::ReadCache,
    file::{BUSY_TIMEOUT, Lock, WAL_LIMIT_BYTES, revision},
    file_watch::FileWatch,
    logs::LogStatements,
};
use crate::{
    CommitError, Expect, Fault, Key, Log, LogWrite, Revision, Txn, Write,
    copy::{COPY_MARKER, ReadOnly},
    key::LISTING_PREFIX,
};

/// A request to the writer.
pub(super) enum Job {
    Commit {
        txn: Txn,
        reply: oneshot::Sender<Result<Revision, CommitError>>,
    },
    Sweep {
        now: Timestamp,
        reply: oneshot::Sender<Result<usize, Fault>>,
    },
}

pub(super) struct Writer {
    // Order matters: the connection closes before the lock opens.
    connection: Connection,
    _lock: Lock,
    file_watch: Arc<FileWatch>,
    head: watch::Sender<Revision>,
    cache: Arc<ReadCache>,
    tombstone_limit: usize,
}

/// The revision of a transaction, or the key at which it conflicts.
type Verdict = Result<Revision, Key>;

type Waiting = (Txn, oneshot::Sender<Result<Revision, CommitError>>);

/// Transactions that share one `fsync`, which by then is a small part of their cost.
const BATCH: usize = 256;
/// Expired keys that one job removes at most, some milliseconds.
pub(super) const SWEEP_CHUNK: usize = 1000;
/// How long a checkpoint waits for readers of a log that is too long, while commits wait. Only
/// readers that began before all of it was checkpointed read the log: milliseconds each. If one
/// takes longer, such as a backup, the next sweep tries again.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(100);
/// Most deletes that one job compacts.
const COMPACT_CHUNK: i64 = 2000;

impl Writer {
    pub(super) fn new(
        connection: Connection,
        lock: Lock,
        files: Arc<FileWatch>,
        (head, recent): (watch::Sender<Revision>, Arc<ReadCache>),
        kept_deletes: usize,
    ) -> Self {
        Self {
            connection,
            _lock: lock,
            file_watch: files,
            head,
            cache: recent,
            tombstone_limit: kept_deletes,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, mut jobs: Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut waiting = Vec::new();
            let mut sweeps = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Commit { txn, reply: answer } => waiting.push((txn, answer)),
                    Job::Sweep { now, reply: answer } => sweeps.push((now, answer)),
                }
                let full = waiting.len() >= BATCH;
                next = if full { None } else { jobs.try_recv().ok() };
            }
            self.commit(waiting);
            for (now, answer) in sweeps {
                // The caller may have been dropped; this holds for every reply here.
                let _ = answer.send(self.sweep(now));
            }
        }
        if self.file_watch.check().is_err() {
            self.abandon_files();
        }
    }

    fn commit(&mut self, waiting: Vec<Waiting>) {
        // Nothing is written to files that were removed.
        if let Err(gone) = self.file_watch.check() {
            return fail_all(waiting, &gone);
        }
        match self.try_commit(&waiting) {
            // Nor is a commit to such a file acknowledged or announced to followers.
            Ok(_) if self.file_watch.check().is_err() => {
                self.cache.invalidate();
                if let Err(gone) = self.file_watch.last_result() {
                    fail_all(waiting, &gone);
                }
            }
            Ok((head, Err(read_only))) => {
                self.publish_head(head);
                fail_all(waiting, &read_only);
            }
            Ok((head, Ok(results))) => {
                // Followers first: a caller may ask for changes as soon as it has its reply.
                self.publish_head(head);
                for ((_, answer), result) in waiting.into_iter().zip(results) {
                    let _ = answer.send(result.map_err(|key| CommitError::Conflict { key }));
                }
            }
            Err(cause) => {
                self.cache.invalidate();
                tracing::error!(error = %cause, transactions = waiting.len(), "commit failed");
                fail_all(waiting, &Arc::new(cause));
                // A COMMIT that failed may still have happened.
                if let Ok(head) = head_of(&self.connection) {
                    self.publish_head(head);
                }
            }
        }
    }

    /// All transactions in one of SQLite's. The head is read afresh each time, so that a failure
    /// leaves nothing to repair.
    fn try_commit(
        &mut self,
        waiting: &[Waiting],
    ) -> rusqlite::Result<(Revision, Result<Vec<Verdict>, ReadOnly>)> {
        let batch = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = head_of(&batch)?;
        if let Some(marker) = marker_of(&batch)? {
            return Ok((before, Err(ReadOnly::of_marker(&marker))));
        }
        let mut head = before;
        let mut results = Vec::with_capacity(waiting.len());
        let mut written = Vec::new();
        let mut statements = Statements::of(&batch)?;
        for (txn, _) in waiting {
            results.push(match statements.resolve(txn)? {
                Err(key) => Err(key),
                Ok(writes) => {
                    for (write, revision) in txn.numbered_log(head) {
                        statements.apply_log(write, revision)?;
                    }
                    head.0 += txn.revisions();
                    for write in writes {
                        if statements.apply(&write, head)? {
                            written.push((head, write));
                        }
                    }
                    Ok(head)
                }
            });
        }
        drop(statements);
        if head != before {
            batch
                .prepare_cached("UPDATE log SET head = ?1")?
                .execute([head.0.cast_signed()])?;
            self.cache
                .begin(written.iter().map(|(_, write)| write.key()));
            batch.commit()?;
            self.cache.commit((before, head), &written);
        }
        Ok((head, Ok(results)))
    }

    fn publish_head(&self, head: Revision) {
        self.head.send_if_modified(|known| {
            let newer = head > *known;
            *known = head.max(*known);
            newer
        });
    }

    fn sweep(&mut self, now: Timestamp) -> Result<usize, Fault> {
        self.file_watch.check()?;
        let removed = self.remove_expired(now).map_err(|cause| {
            self.cache.invalidate();
            Fault::of("forget expired keys and old deletes")(cause)
        })?;
        // Commits checkpoint the log, but it restarts only when no reader uses it.
        if self.file_watch.log_bytes() > WAL_LIMIT_BYTES {
            self.checkpoint(CHECKPOINT_TIMEOUT)
                .map_err(Fault::of("fold the write-ahead log back"))?;
        }
        Ok(removed)
    }

    /// Checkpoints what no reader needs any more, and truncates the log if that is all of it; waits
    /// for readers as long as this, and commits wait too. Returns whether the log is empty.
    fn checkpoint(&self, patience: Duration) -> rusqlite::Result<bool> {
        self.connection.busy_timeout(patience)?;
        let is_empty = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map(|busy: i64| busy == 0);
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        is_empty
    }

    /// The files were removed or renamed. The log is checkpointed, so that a renamed database is
    /// complete and its log is not read with another database at the same path.
    fn abandon_files(&self) {
        match self.checkpoint(BUSY_TIMEOUT) {
            Ok(true) => return,
            Ok(false) => tracing::error!("somebody still reads the file that is gone"),
            Err(cause) => tracing::error!(error = %cause, "the write-ahead log does not fold back"),
        }
        match self.file_watch.set_log_aside() {
            Ok(aside) => tracing::error!(path = %aside.display(), "the log was set aside"),
            Err(cause) => tracing::error!(error = %cause, "the log cannot be set aside"),
        }
    }

    fn remove_expired(&mut self, now: Timestamp) -> rusqlite::Result<usize> {
        let sweep = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let expired: Vec<Key> = sweep
            .prepare_cached(
                "DELETE FROM entry WHERE id IN (
                     SELECT id FROM entry WHERE expires < ?1 ORDER BY expires LIMIT ?2)
                 RETURNING key",
            )?
            .query_map(params![now.unix_ms(), SWEEP_CHUNK as i64], |row| {
                Ok(Key::from_stored(row.get_ref(0)?.as_str()?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for key in expired.iter().filter(|key| is_listed(key)) {
            sweep.prepare_cached(UNLIST)?.execute([key.as_str()])?;
        }
        let compacted = compact(&sweep, self.tombstone_limit)?;
        if !expired.is_empty() || compacted.is_some() {
            self.cache.begin(expired.iter());
            sweep.commit()?;
            self.cache.swept(&expired, compacted);
        }
        Ok(expired.len())
    }
}

/// Fails all waiting transactions with the same cause.
fn fail_all<E>(waiting: Vec<Waiting>, cause: &E)
where
    E: std::error::Error + Clone + Send + Sync + 'static,
{
    for (_, answer) in waiting {
        let fault = Fault::of("commit")(cause.clone());
        let _ = answer.send(Err(fault.into()));
    }
}

fn head_of(connection: &Connection) -> rusqlite::Result<Revision> {
    connection
        .prepare_cached("SELECT head FROM log")?
        .query_row([], |row| Ok(revision(row.get(0)?)))
}

/// Why the store takes no changes, if it takes none. Another process writes the marker.
fn marker_of(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached(VALUE)?
        .query_row([COPY_MARKER], |row| row.get(0))
        .optional()
}

/// The statements of a batch. None of them has triggers (see the schema): each changes one row or
/// none, so that SQLite keeps no journal to roll a single one back.
struct Statements<'a> {
    changed: CachedStatement<'a>,
    value: CachedStatement<'a>,
    put: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    list: CachedStatement<'a>,
    unlist: CachedStatement<'a>,
    audit: LogStatements<'a>,
    history: LogStatements<'a>,
}

const CHANGED: &str = "SELECT changed FROM entry WHERE key = ?1 AND value IS NOT NULL";
const VALUE: &str = "SELECT value FROM entry WHERE key = ?1 AND value IS NOT NULL";
const PUT: &str = "
    INSERT INTO entry (key, value, changed, expires) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value,
        changed = excluded.changed,
        expires = excluded.expires";
const DELETE: &str = "
    UPDATE entry SET value = NULL, changed = ?2, expires = NULL
    WHERE key = ?1 AND value IS NOT NULL";
const LIST: &str = "
    INSERT INTO listed VALUES (?1, ?2, ?3)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed";
const UNLIST: &str = "DELETE FROM listed WHERE key = ?1";

fn is_listed(key: &Key) -> bool {
    key.as_str().starts_with(LISTING_PREFIX)
}

impl<'a> Statements<'a> {
    fn of(batch: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            changed: batch.prepare_cached(CHANGED)?,
            value: batch.prepare_cached(VALUE)?,
            put: batch.prepare_cached(PUT)?,
            delete: batch.prepare_cached(DELETE)?,
            list: batch.prepare_cached(LIST)?,
            unlist: batch.prepare_cached(UNLIST)?,
            audit: LogStatements::of(batch, Log::Audit)?,
            history: LogStatements::of(batch, Log::History)?,
        })
    }

    /// What the transaction writes, or the key of the first condition that does not hold.
    fn resolve<'t>(&mut self, txn: &'t Txn) -> rusqlite::Result<Result<Vec<Cow<'t, Write>>, Key>> {
        if let Some(key) = self.first_conflict(&txn.expect)? {
            return Ok(Err(key));
        }
        let mut writes = Vec::with_capacity(txn.write.len());
        for write in &txn.write {
            let resolved = match write {
                Write::Add { key, .. } => {
                    let value = self.value.query_row([key.as_str()], |row| row.get(0));
                    let value: Option<Vec<u8>> = value.optional()?;
                    write.resolve(value.as_deref())
                }
                other => Some(Cow::Borrowed(other)),
            };
            match resolved {
                Some(write) => writes.push(write),
                None => return Ok(Err(write.key().clone())),
            }
        }
        Ok(Ok(writes))
    }

    fn first_conflict(&mut self, expect: &[Expect]) -> rusqlite::Result<Option<Key>> {
        for (key, wanted) in expect.iter().map(Expect::parts) {
            let found = self
                .changed
                .query_row([key.as_str()], |row| Ok(revision(row.get(0)?)))
                .optional()?;
            if found != wanted {
                return Ok(Some(key.clone()));
            }
        }
        Ok(None)
    }

    fn apply_log(&mut self, write: &LogWrite, revision: Revision) -> rusqlite::Result<()> {
        let (log, ..) = write.place();
        let statements = match log {
            Log::Audit => &mut self.audit,
            Log::History => &mut self.history,
        };
        statements.apply(write, revision)
    }

    /// Whether it changed anything.
    fn apply(&mut self, write: &Write, revision: Revision) -> rusqlite::Result<bool> {
        let changed = revision.0.cast_signed();
        let name = write.key().as_str();
        let rows = match write {
            Write::Put { value, expires, .. } => {
                let expires = expires.map(Timestamp::unix_ms);
                if is_listed(write.key()) {
                    self.list.execute(params![name, &value[..], changed])?;
                }
                self.put
                    .execute(params![name, &value[..], changed, expires])?
            }
            // A key that never existed leaves no tombstone.
            Write::Delete(key) => {
                if is_listed(key) {
                    self.unlist.execute([name])?;
                }
                self.delete.execute(params![name, changed])?
            }
            // `resolve` has replaced it.
            Write::Add { .. } => 0,
        };
        Ok(rows > 0)
    }
}

/// Compacts the oldest deletes beyond those to keep, whole commits only; returns up to where.
fn compact(sweep: &Transaction<'_>, kept: usize) -> rusqlite::Result<Option<Revision>> {
    let deletes: i64 = sweep
        .prepare_cached("SELECT count(*) FROM entry INDEXED BY entry_deleted WHERE value IS NULL")?
        .query_row([], |row| row.get(0))?;
    let excess = deletes - i64::try_from(kept).unwrap_or(i64::MAX);
    if excess <= 0 {
        return Ok(None);
    }
    let floor: i64 = sweep
        .prepare_cached(
            "SELECT changed FROM entry INDEXED BY entry_deleted
             WHERE value IS NULL ORDER BY changed LIMIT 1 OFFSET ?1",
        )?
        .query_row([excess.min(COMPACT_CHUNK) - 1], |row| row.get(0))?;
    sweep
        .prepare_cached(
            "DELETE FROM entry INDEXED BY entry_deleted WHERE value IS NULL AND changed <= ?1",
        )?
        .execute([floor])?;
    sweep
        .prepare_cached("UPDATE log SET compacted = ?1")?
        .execute([floor])?;
    Ok(Some(revision(floor)))
}
