//! The thread that writes the replica, so that serving never waits for the disk.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use edgeseal_core::{Backoff, DomainPattern};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::{Batch, CursorUpdate, database::Database};
use crate::telemetry;

/// Maximum size of pending batches, in KiB.
const BACKLOG_KIB: u32 = 64 * 1024;
/// Maximum size of pending batches of a full listing, in KiB: larger transactions cost less, but
/// the memory of pending batches stays with the process.
const LISTING_KIB: u32 = 16 * 1024;

/// How long a change waits to be written, before it is served anyway.
const COMMIT_WAIT: Duration = Duration::from_millis(250);
/// Maximum number of skipped domains that are remembered; beyond, everything is rewritten.
const SKIPPED_MAX: usize = 100_000;

/// Sends batches to the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: Option<Sender<Command>>,
    budget: Arc<Semaphore>,
    listing_budget: Arc<Semaphore>,
    state: Arc<State>,
    skipped: Mutex<Skipped>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by the thread and its senders.
#[derive(Debug, Default)]
struct State {
    closing: AtomicBool,
    /// The last write failed, or took too long.
    failing: AtomicBool,
    /// Rows in the file were lost.
    lost_rows: AtomicBool,
}

/// What is missing in the file.
#[derive(Debug, Default)]
struct Skipped {
    domains: BTreeSet<DomainPattern>,
    too_many: bool,
    ticket_keys: bool,
}

/// What is to be written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backfill {
    /// Nothing.
    Nothing,
    /// These domains, or some of them.
    Domains(Vec<DomainPattern>),
    /// Everything.
    Everything,
}

/// Whether cursors are written from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CursorMode {
    /// No: a batch was skipped.
    Frozen,
    /// Yes: everything skipped was sent.
    Advancing,
}

enum Command {
    Batch(Box<Batch>, Vec<OwnedSemaphorePermit>),
    Cursor(CursorMode),
}

impl Writer {
    pub(super) fn start(database: Database) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let state = Arc::<State>::default();
        let told = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("edgeseal-replica".to_owned())
            .spawn(move || write_all(database, &receiver, &told))?;
        Ok(Self {
            sender: Some(sender),
            budget: Arc::new(Semaphore::new(BACKLOG_KIB as usize)),
            listing_budget: Arc::new(Semaphore::new(LISTING_KIB as usize)),
            state,
            skipped: Mutex::default(),
            thread: Some(thread),
        })
    }

    /// Queues `batch` after all batches before it. Never waits: if too much is pending already, the
    /// batch is skipped, its domains are remembered ([`pending_backfill`](Self::pending_backfill)),
    /// and the replica's cursor does not advance until they are written. Returns whether it was
    /// queued.
    pub(crate) fn try_write(&self, batch: Batch) -> bool {
        match Arc::clone(&self.budget).try_acquire_many_owned(batch.size_kib()) {
            Ok(permit) => {
                self.send(Command::Batch(Box::new(batch), vec![permit]));
                true
            }
            Err(_) => {
                telemetry::replica_failure();
                if self.skipped.lock().add(&batch) {
                    tracing::error!(
                        "the replica's disk is too slow: changes are skipped in the replica until \
                         there is room for them"
                    );
                    self.send(Command::Cursor(CursorMode::Frozen));
                }
                false
            }
        }
    }

    /// Like [`try_write`](Self::try_write), but returns when the batch is committed, so that a
    /// process which is killed from now on has it at the next start. Waits only while writes
    /// succeed, and for 250 ms at most.
    pub(crate) async fn write_committed(&self, mut batch: Batch) {
        let (told, committed) = oneshot::channel();
        batch.on_commit = Some(told);
        let failing = self.state.failing.load(Ordering::Relaxed);
        if self.try_write(batch) && !failing && timeout(COMMIT_WAIT, committed).await.is_err() {
            self.state.failing.store(true, Ordering::Relaxed);
            tracing::warn!(
                "the replica's disk is slow: changes are served before they are written"
            );
        }
    }

    /// What is missing in the file, if there is capacity for it now; of domains `most` at a time.
    pub(crate) fn pending_backfill(&self, most: usize) -> Backfill {
        if self.budget.available_permits() < BACKLOG_KIB as usize / 2 {
            return Backfill::Nothing;
        }
        let skipped = self.skipped.lock();
        if skipped.too_many || self.state.lost_rows.load(Ordering::Relaxed) {
            Backfill::Everything
        } else if skipped.is_nothing() {
            Backfill::Nothing
        } else {
            Backfill::Domains(skipped.domains.iter().take(most).cloned().collect())
        }
    }

    /// These domains were sent, as the store has them now. If nothing else is missing, the cursor
    /// advances to `reached` once they are written.
    pub(crate) fn backfilled(&self, domains: &[DomainPattern], reached: CursorUpdate) {
        let mut skipped = self.skipped.lock();
        for domain in domains {
            skipped.domains.remove(domain);
        }
        if skipped.domains.is_empty() && !skipped.too_many {
            *skipped = Skipped::default();
            drop(skipped);
            self.send(Command::Cursor(CursorMode::Advancing));
            self.try_write(Batch {
                cursor: reached,
                ..Batch::default()
            });
            tracing::info!("the replica is complete again");
        }
    }

    /// Everything is sent from now on.
    pub(crate) fn start_full_rewrite(&self) {
        *self.skipped.lock() = Skipped::default();
        self.state.lost_rows.store(false, Ordering::Relaxed);
        self.send(Command::Cursor(CursorMode::Advancing));
    }

    /// Whether ticket keys were skipped.
    pub(crate) fn skipped_ticket_keys(&self) -> bool {
        self.skipped.lock().ticket_keys
    }

    /// Queues `batch` after all batches before it; waits while too much is pending. For full
    /// listings, which may exceed the memory limit.
    pub(crate) async fn write_with_backpressure(&self, batch: Batch) {
        let size = batch.size_kib();
        let (listing, all) = (Arc::clone(&self.listing_budget), Arc::clone(&self.budget));
        let Ok(in_listing) = listing.acquire_many_owned(size.min(LISTING_KIB)).await else {
            return;
        };
        if let Ok(in_all) = all.acquire_many_owned(size).await {
            self.send(Command::Batch(Box::new(batch), vec![in_listing, in_all]));
        }
    }

    /// Waits until everything is written, and closes the file. What cannot be written now is
    /// dropped.
    pub(crate) async fn close(mut self) {
        self.state.closing.store(true, Ordering::Relaxed);
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has logged it.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    #[cfg(test)]
    pub(super) const fn room(&self) -> &Arc<Semaphore> {
        &self.budget
    }

    fn send(&self, queued: Command) {
        if let Some(sender) = &self.sender {
            // The thread ends only after the sender is gone, or by a panic that was logged.
            let _ = sender.send(queued);
        }
    }
}

impl Skipped {
    /// Remembers the domains of a skipped batch. Returns whether it is the first one.
    fn add(&mut self, batch: &Batch) -> bool {
        let first = self.is_nothing();
        let put = batch.put.iter().map(|row| &row.name);
        let quarantined = batch.quarantine.iter().map(|(name, _)| name);
        for name in put.chain(&batch.remove).chain(quarantined) {
            if self.domains.len() >= SKIPPED_MAX {
                self.too_many = true;
                break;
            }
            self.domains.insert(name.clone());
        }
        self.ticket_keys |= batch.ticket_keys.is_some();
        first && !self.is_nothing()
    }

    fn is_nothing(&self) -> bool {
        self.domains.is_empty() && !self.too_many && !self.ticket_keys
    }
}

impl Batch {
    /// Its approximate memory use, at least 1 and at most the maximum of pending batches.
    fn size_kib(&self) -> u32 {
        let rows = self.put.iter().map(|row| {
            let materials = row.material.iter().chain(&row.companion);
            let materials: usize = materials.map(|(_, value)| value.len()).sum();
            256 + row.record.len() + materials
        });
        let issuers = self.issuers.iter().map(|(_, der)| der.len());
        let resealed = self.resealed.iter().map(|(_, value)| value.len());
        let ticket_keys = self.ticket_keys.as_ref().map_or(0, Vec::len);
        let others = 256 * (ticket_keys + self.remove.len() + self.quarantine.len());
        let bytes = rows.chain(issuers).chain(resealed).sum::<usize>() + others;
        u32::try_from(bytes / 1024 + 1)
            .unwrap_or(BACKLOG_KIB)
            .min(BACKLOG_KIB)
    }
}

/// Writes pending batches in one transaction, repeatedly. A failed transaction is retried until it
/// succeeds or the edge ends: skipping it would leave a gap.
fn write_all(mut database: Database, receiver: &Receiver<Command>, state: &State) {
    const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(10));
    let mut advance = true;
    while let Ok(first) = receiver.recv() {
        let mut taken = WriteGroup::take(first, receiver);
        let mut retries = 0;
        while let Err(error) = database.write(&taken.batches, advance) {
            state.failing.store(true, Ordering::Relaxed);
            telemetry::replica_failure();
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the replica cannot be written; retrying"
            );
            if state.closing.load(Ordering::Relaxed) {
                return;
            }
            if error.is_corruption() {
                // From here on cursors are ignored until everything was rewritten.
                advance = false;
                state.lost_rows.store(true, Ordering::Relaxed);
                if let Err(error) = database.rebuild() {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the replica cannot be rebuilt: it is reopened");
                    database.schedule_reopen();
                }
            }
            thread::sleep(BACKOFF.delay(retries));
            retries += 1;
        }
        if !taken.batches.is_empty() {
            state.failing.store(false, Ordering::Relaxed);
        }
        taken.notify(&database);
        if let Some(mode) = taken.then {
            advance = mode == CursorMode::Advancing;
        }
    }
}

/// The batches of one transaction.
#[derive(Default)]
struct WriteGroup {
    batches: Vec<Batch>,
    permits: Vec<OwnedSemaphorePermit>,
    /// The cursor mode after them.
    then: Option<CursorMode>,
}

impl WriteGroup {
    fn take(first: Command, receiver: &Receiver<Command>) -> Self {
        const TOGETHER: usize = 256;
        let mut taken = Self::default();
        for queued in std::iter::once(first).chain(receiver.try_iter()) {
            match queued {
                Command::Batch(batch, permits) => {
                    taken.batches.push(*batch);
                    taken.permits.extend(permits);
                }
                Command::Cursor(mode) => taken.then = Some(mode),
            }
            if taken.then.is_some() || taken.batches.len() >= TOGETHER {
                break;
            }
        }
        taken
    }

    /// Notifies the senders that their batches are committed, or durable.
    fn notify(&mut self, database: &Database) {
        for batch in &mut self.batches {
            if let Some(committed) = batch.on_commit.take() {
                let _ = committed.send(()); // the receiver may be gone
            }
        }
        let waiting: Vec<_> = self
            .batches
            .iter_mut()
            .filter_map(|batch| batch.on_durable.take())
            .collect();
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = database.checkpoint() {
            // The sender's wait fails, and it asks again.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the replica's WAL cannot be checkpointed"
            );
            return;
        }
        for written in waiting {
            let _ = written.send(());
        }
    }
}
