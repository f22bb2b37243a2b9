//! The thread that writes the replica, so that serving never waits for the disk.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Batch, database::Database};
use crate::telemetry;

/// What may wait to be written, in KiB.
const BACKLOG_KIB: u32 = 64 * 1024;
/// What may wait of a full listing, in KiB: what is written together costs less, but what waits takes
/// memory that stays with the process.
const LISTING_KIB: u32 = 16 * 1024;

/// Sends batches to the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: Option<Sender<Queued>>,
    room: Arc<Semaphore>,
    listing_room: Arc<Semaphore>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

enum Queued {
    Batch(Batch, Vec<OwnedSemaphorePermit>),
    /// A batch was left out: from here on no cursor counts.
    Gap,
}

impl Writer {
    pub(super) fn start(database: Database) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let closing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closing);
        let thread = thread::Builder::new()
            .name("edgeseal-replica".to_owned())
            .spawn(move || write_all(database, &receiver, &told))?;
        Ok(Self {
            sender: Some(sender),
            room: Arc::new(Semaphore::new(BACKLOG_KIB as usize)),
            listing_room: Arc::new(Semaphore::new(LISTING_KIB as usize)),
            closing,
            thread: Some(thread),
        })
    }

    /// Has `batch` written after all batches before it. Never waits: if too much is waiting
    /// already, the batch is left out, and the replica's cursor stays where it is.
    pub(crate) fn write(&self, batch: Batch) {
        match Arc::clone(&self.room).try_acquire_many_owned(batch.size_kib()) {
            Ok(permit) => self.send(Queued::Batch(batch, vec![permit])),
            Err(_) => {
                telemetry::replica_failure();
                tracing::error!(
                    "the replica's disk is too slow: a batch is left out, and after a restart the \
                     store will be asked for it"
                );
                self.send(Queued::Gap);
            }
        }
    }

    /// Has `batch` written after all batches before it; waits while too much is waiting. For full
    /// listings, where more comes than memory may hold.
    pub(crate) async fn write_patiently(&self, batch: Batch) {
        let size = batch.size_kib();
        let (listing, all) = (Arc::clone(&self.listing_room), Arc::clone(&self.room));
        let Ok(in_listing) = listing.acquire_many_owned(size.min(LISTING_KIB)).await else {
            return;
        };
        if let Ok(in_all) = all.acquire_many_owned(size).await {
            self.send(Queued::Batch(batch, vec![in_listing, in_all]));
        }
    }

    /// Waits until all is written, and closes the file. What cannot be written now is given up.
    pub(crate) async fn close(mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so; there is nothing to add.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    #[cfg(test)]
    pub(super) const fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }

    fn send(&self, queued: Queued) {
        if let Some(sender) = &self.sender {
            // The thread ends only after the sender is gone, or by a panic that was logged.
            let _ = sender.send(queued);
        }
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
fn write_all(mut database: Database, receiver: &Receiver<Queued>, closing: &AtomicBool) {
    let mut advance = true;
    while let Ok(first) = receiver.recv() {
        let mut taken = Taken::take(first, receiver);
        let mut pause = Duration::from_millis(100);
        while let Err(error) = database.write(&taken.batches, advance) {
            telemetry::replica_failure();
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the replica cannot be written; trying again"
            );
            if closing.load(Ordering::Relaxed) {
                return;
            }
            if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) {
                // From here on no cursor counts: after a restart the store is asked for everything.
                advance = false;
                if let Err(error) = database.rebuild() {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the replica cannot be rebuilt");
                }
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(10));
        }
        taken.tell(&database);
        advance &= !taken.gap;
    }
}

/// What is written in one transaction.
#[derive(Default)]
struct Taken {
    batches: Vec<Batch>,
    permits: Vec<OwnedSemaphorePermit>,
    /// Whether a gap follows.
    gap: bool,
}

impl Taken {
    fn take(first: Queued, receiver: &Receiver<Queued>) -> Self {
        const TOGETHER: usize = 256;
        let mut taken = Self::default();
        for queued in std::iter::once(first).chain(receiver.try_iter()) {
            match queued {
                Queued::Batch(batch, permits) => {
                    taken.batches.push(batch);
                    taken.permits.extend(permits);
                }
                Queued::Gap => taken.gap = true,
            }
            if taken.gap || taken.batches.len() >= TOGETHER {
                break;
            }
        }
        taken
    }

    /// Tells those who wait that what they gave is written, and durable.
    fn tell(&mut self, database: &Database) {
        let waiting: Vec<_> = self
            .batches
            .iter_mut()
            .filter_map(|batch| batch.written.take())
            .collect();
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = database.settle() {
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
