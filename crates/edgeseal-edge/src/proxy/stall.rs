//! Whether a client reads its responses.
//!
//! While a client does not read, its response bodies are not polled, so they cannot notice it.
//! Therefore each connection counts the responses of which a part was written and the next was not
//! polled. If there are any, and none of them makes progress for too long, the client is gone or
//! malicious, and the connection is closed. On HTTP/2 one response with progress keeps all of them:
//! a paused player is no attack. Time spent waiting for the origin does not count.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// Monitors one connection's client. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct StallMonitor(Arc<StallState>);

#[derive(Debug)]
struct StallState {
    timeout: Duration,
    /// Responses that wait for the client.
    pending: AtomicUsize,
    epoch: Instant,
    /// Time of the last progress.
    last_progress_ms: AtomicU64,
    watched: AtomicBool,
    stalled: Notify,
}

/// The pending writes of one response, one at a time.
#[derive(Debug)]
pub(super) struct PendingWrites {
    flow: StallMonitor,
    offered: Option<PendingWrite>,
}

/// A part of a response that waits for the client until this is dropped.
#[derive(Debug)]
pub(super) struct PendingWrite(StallMonitor);

impl StallMonitor {
    /// For a client that may stall for `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self(Arc::new(StallState {
            timeout: limit,
            pending: AtomicUsize::new(0),
            epoch: Instant::now(),
            last_progress_ms: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            stalled: Notify::new(),
        }))
    }

    /// How long the client may stall.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Waits until the client has stalled for too long.
    pub(crate) async fn stalled(&self) {
        self.0.stalled.notified().await;
    }

    pub(super) fn pending_writes(&self) -> PendingWrites {
        PendingWrites {
            flow: self.clone(),
            offered: None,
        }
    }

    /// A part was written.
    pub(super) fn pending_write(&self) -> PendingWrite {
        let shared = &self.0;
        shared.note_progress();
        shared.pending.fetch_add(1, SeqCst);
        if !shared.watched.swap(true, SeqCst) {
            tokio::spawn(watch(Arc::downgrade(shared)));
        }
        PendingWrite(self.clone())
    }
}

impl PendingWrites {
    /// A part was written, and more follows.
    pub(super) fn set_pending(&mut self) {
        self.offered = Some(self.flow.pending_write());
    }

    /// A part is ready, and the client does not accept it yet.
    pub(super) fn set_blocked(&mut self) {
        if self.offered.is_none() {
            self.set_pending();
        }
    }

    /// The next part is polled.
    pub(super) fn clear(&mut self) {
        self.offered = None;
    }
}

impl Drop for PendingWrite {
    fn drop(&mut self) {
        self.0.0.note_progress();
        self.0.0.pending.fetch_sub(1, SeqCst);
    }
}

impl StallState {
    fn note_progress(&self) {
        self.last_progress_ms.store(self.now_ms(), SeqCst);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn stalled_for(&self) -> Duration {
        Duration::from_millis(
            self.now_ms()
                .saturating_sub(self.last_progress_ms.load(SeqCst)),
        )
    }

    /// Whether there is nothing to watch. A write that begins concurrently either sees that the
    /// watch has ended, or is seen here.
    fn stop_if_idle(&self) -> bool {
        if self.pending.load(SeqCst) > 0 {
            return false;
        }
        self.watched.store(false, SeqCst);
        self.pending.load(SeqCst) == 0 || self.watched.swap(true, SeqCst)
    }
}

async fn watch(shared: Weak<StallState>) {
    loop {
        let left = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if shared.stop_if_idle() {
                return;
            }
            let left = shared.timeout.saturating_sub(shared.stalled_for());
            if left.is_zero() {
                shared.stalled.notify_one();
                return;
            }
            left
        };
        sleep(left).await;
    }
}
