//! Whether a visitor takes what is there for it.
//!
//! While a visitor reads nothing, nothing of the answer is asked for, so the answer itself cannot
//! notice. Therefore each connection counts the answers of which a part was handed over and the next
//! was not asked for. If there are some, and none of them moves for too long, the visitor is gone or
//! means harm, and the connection is cut. On HTTP/2 one answer that moves keeps all of them: a player
//! on pause is no attack. Silence of an origin is not the visitor's and does not count.

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

/// What one connection's visitor takes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Flow(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: Duration,
    /// Answers that wait for the visitor.
    offered: AtomicUsize,
    epoch: Instant,
    /// When one of them moved.
    moved_ms: AtomicU64,
    watched: AtomicBool,
    stalled: Notify,
}

/// The offers of one answer, one at a time.
#[derive(Debug)]
pub(super) struct Offers {
    flow: Flow,
    offered: Option<Offered>,
}

/// A part of an answer that waits for the visitor until this is dropped.
#[derive(Debug)]
pub(super) struct Offered(Flow);

impl Flow {
    /// Of a visitor who may take nothing for `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self(Arc::new(Shared {
            limit,
            offered: AtomicUsize::new(0),
            epoch: Instant::now(),
            moved_ms: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            stalled: Notify::new(),
        }))
    }

    /// For how long the visitor may take nothing.
    pub(crate) fn limit(&self) -> Duration {
        self.0.limit
    }

    /// Waits until the visitor has taken nothing for too long.
    pub(crate) async fn stalled(&self) {
        self.0.stalled.notified().await;
    }

    pub(super) fn offers(&self) -> Offers {
        Offers {
            flow: self.clone(),
            offered: None,
        }
    }

    /// A part was handed over.
    pub(super) fn offer(&self) -> Offered {
        let shared = &self.0;
        shared.moves();
        shared.offered.fetch_add(1, SeqCst);
        if !shared.watched.swap(true, SeqCst) {
            tokio::spawn(watch(Arc::downgrade(shared)));
        }
        Offered(self.clone())
    }
}

impl Offers {
    /// A part was handed over, and there is more.
    pub(super) fn offer(&mut self) {
        self.offered = Some(self.flow.offer());
    }

    /// A part was offered, and the visitor does not take it yet.
    pub(super) fn wait(&mut self) {
        if self.offered.is_none() {
            self.offer();
        }
    }

    /// The next part is asked for.
    pub(super) fn taken(&mut self) {
        self.offered = None;
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.0.0.moves();
        self.0.0.offered.fetch_sub(1, SeqCst);
    }
}

impl Shared {
    fn moves(&self) {
        self.moved_ms.store(self.now_ms(), SeqCst);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn still_for(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.moved_ms.load(SeqCst)))
    }

    /// Whether there is nothing to watch. An offer that comes at this moment has either seen that
    /// there is no watch any more, or is seen here.
    fn rests(&self) -> bool {
        if self.offered.load(SeqCst) > 0 {
            return false;
        }
        self.watched.store(false, SeqCst);
        self.offered.load(SeqCst) == 0 || self.watched.swap(true, SeqCst)
    }
}

async fn watch(shared: Weak<Shared>) {
    loop {
        let left = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if shared.rests() {
                return;
            }
            let left = shared.limit.saturating_sub(shared.still_for());
            if left.is_zero() {
                shared.stalled.notify_one();
                return;
            }
            left
        };
        sleep(left).await;
    }
}
