//! The thread that writes the replica, so that serving never waits for the disk.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use edgeseal_core::DomainPattern;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::{Batch, CursorUpdate, database::Database};
use crate::telemetry;

/// What may wait to be written, in KiB.
const BACKLOG_KIB: u32 = 64 * 1024;
/// What may wait of a full listing, in KiB: what is written together costs less, but what waits takes
/// memory that stays with the process.
const LISTING_KIB: u32 = 16 * 1024;

/// For a change to be written, before it is served anyway.
const COMMIT_WAIT: Duration = Duration::from_millis(250);
/// Domains that were left out and are remembered at most; beyond, everything is to be rewritten.
const LEFT_OUT_MAX: usize = 100_000;

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

/// What the thread and those who send to it tell each other.
#[derive(Debug, Default)]
struct State {
    closing: AtomicBool,
    /// The last write failed, or took too long.
    failing: AtomicBool,
    /// Rows were lost in the file.
    lost_rows: AtomicBool,
}

/// What the file lacks.
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

enum Command {
    Batch(Box<Batch>, Vec<OwnedSemaphorePermit>),
    /// A batch was left out: from here on no cursor counts.
    FreezeCursor,
    /// All that was left out was sent: from here on cursors count again.
    ResumeCursor,
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

    /// Has `batch` written after all batches before it. Never waits: if too much is waiting already,
    /// the batch is left out, what it was about is remembered ([`pending_backfill`](Self::lacking)), and the
    /// replica's cursor stays where it is until that is written. Whether it is to be written.
    pub(crate) fn try_write(&self, batch: Batch) -> bool {
        match Arc::clone(&self.budget).try_acquire_many_owned(batch.size_kib()) {
            Ok(permit) => {
                self.send(Command::Batch(Box::new(batch), vec![permit]));
                true
            }
            Err(_) => {
                telemetry::replica_failure();
                if self.skipped().add(&batch) {
                    tracing::error!(
                        "the replica's disk is too slow: changes are left out of the replica until \
                         there is room for them"
                    );
                    self.send(Command::FreezeCursor);
                }
                false
            }
        }
    }

    /// As [`write`](Self::write); returns when the batch is in the file, so that a process which is
    /// killed from now on has it at the next start. Waits for that only as long as the disk does its
    /// part, and for 250 ms at most.
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

    /// What the file lacks and there is room for now; of domains `most` at a time.
    pub(crate) fn pending_backfill(&self, most: usize) -> Backfill {
        if self.budget.available_permits() < BACKLOG_KIB as usize / 2 {
            return Backfill::Nothing;
        }
        let left_out = self.skipped();
        if left_out.too_many || self.state.lost_rows.load(Ordering::Relaxed) {
            Backfill::Everything
        } else if left_out.is_nothing() {
            Backfill::Nothing
        } else {
            Backfill::Domains(left_out.domains.iter().take(most).cloned().collect())
        }
    }

    /// These domains were sent, as the store has them now. If that was all, the file is as far as
    /// `reached` once it is written.
    pub(crate) fn backfilled(&self, domains: &[DomainPattern], reached: CursorUpdate) {
        let mut left_out = self.skipped();
        for domain in domains {
            left_out.domains.remove(domain);
        }
        if left_out.domains.is_empty() && !left_out.too_many {
            *left_out = Skipped::default();
            drop(left_out);
            self.send(Command::ResumeCursor);
            self.try_write(Batch {
                cursor: reached,
                ..Batch::default()
            });
            tracing::info!("the replica has everything again");
        }
    }

    /// Everything is sent from now on.
    pub(crate) fn start_full_rewrite(&self) {
        *self.skipped() = Skipped::default();
        self.state.lost_rows.store(false, Ordering::Relaxed);
        self.send(Command::ResumeCursor);
    }

    /// Whether ticket keys were left out.
    pub(crate) fn skipped_ticket_keys(&self) -> bool {
        self.skipped().ticket_keys
    }

    /// Has `batch` written after all batches before it; waits while too much is waiting. For full
    /// listings, where more comes than memory may hold.
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

    /// Waits until all is written, and closes the file. What cannot be written now is given up.
    pub(crate) async fn close(mut self) {
        self.state.closing.store(true, Ordering::Relaxed);
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so; there is nothing to add.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    #[cfg(test)]
    pub(super) const fn room(&self) -> &Arc<Semaphore> {
        &self.budget
    }

    fn skipped(&self) -> MutexGuard<'_, Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, queued: Command) {
        if let Some(sender) = &self.sender {
            // The thread ends only after the sender is gone, or by a panic that was logged.
            let _ = sender.send(queued);
        }
    }
}

impl Skipped {
    /// Remembers what a batch was about. Whether it is the first one.
    fn add(&mut self, batch: &Batch) -> bool {
        let first = self.is_nothing();
        let put = batch.put.iter().map(|row| &row.name);
        let quarantined = batch.quarantine.iter().map(|(name, _)| name);
        for name in put.chain(&batch.remove).chain(quarantined) {
            if self.domains.len() >= LEFT_OUT_MAX {
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
    /// About what it takes in memory, at least 1 and at most what may wait at all.
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

/// Takes what is waiting, writes it in one transaction, and again. A transaction that fails is
/// tried again until it succeeds or the edge ends: leaving it out would leave a hole.
fn write_all(mut database: Database, receiver: &Receiver<Command>, state: &State) {
    let mut advance = true;
    while let Ok(first) = receiver.recv() {
        let mut taken = WriteGroup::take(first, receiver);
        let mut pause = Duration::from_millis(100);
        while let Err(error) = database.write(&taken.batches, advance) {
            state.failing.store(true, Ordering::Relaxed);
            telemetry::replica_failure();
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the replica cannot be written; trying again"
            );
            if state.closing.load(Ordering::Relaxed) {
                return;
            }
            if error.is_corruption() {
                // From here on no cursor counts until everything was rewritten.
                advance = false;
                state.lost_rows.store(true, Ordering::Relaxed);
                if let Err(error) = database.rebuild() {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the replica cannot be rebuilt: it is reopened");
                    database.schedule_reopen();
                }
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(10));
        }
        if !taken.batches.is_empty() {
            state.failing.store(false, Ordering::Relaxed);
        }
        taken.notify(&database);
        match taken.then {
            Some(CursorMode::Gap) => advance = false,
            Some(CursorMode::Whole) => advance = true,
            None => {}
        }
    }
}

/// Whether cursors count from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CursorMode {
    Gap,
    Whole,
}

/// What is written in one transaction.
#[derive(Default)]
struct WriteGroup {
    batches: Vec<Batch>,
    permits: Vec<OwnedSemaphorePermit>,
    /// What follows.
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
                Command::FreezeCursor => taken.then = Some(CursorMode::Gap),
                Command::ResumeCursor => taken.then = Some(CursorMode::Whole),
            }
            if taken.then.is_some() || taken.batches.len() >= TOGETHER {
                break;
            }
        }
        taken
    }

    /// Tells those who wait that what they gave is written, or durable.
    fn notify(&mut self, database: &Database) {
        for batch in &mut self.batches {
            if let Some(committed) = batch.on_commit.take() {
                let _ = committed.send(()); // who asked may have gone on
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
            // Who waits is told nothing, and asks again.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the replica's log cannot be folded back"
            );
            return;
        }
        for written in waiting {
            let _ = written.send(());
        }
    }
}
