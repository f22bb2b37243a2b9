//! One connection.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use edgeseal_core::fairness::ConnectionUsage;
use tokio_util::sync::CancellationToken;

/// A source, and a number in the order of arrival.
pub(super) type Id = (IpAddr, u64);

/// A connection as the registry tracks it.
#[derive(Debug)]
pub(super) struct Slot {
    id: Id,
    requests: AtomicUsize,
    /// Whether it has completed a request.
    served: AtomicBool,
    /// Bytes of incomplete request headers.
    header_bytes: AtomicUsize,
    idle_since_ms: AtomicU64,
    evicted: CancellationToken,
}

impl Slot {
    pub(super) fn new(id: Id) -> Self {
        Self {
            id,
            requests: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            header_bytes: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(0),
            evicted: CancellationToken::new(),
        }
    }

    pub(super) const fn id(&self) -> Id {
        self.id
    }

    pub(super) const fn source(&self) -> IpAddr {
        self.id.0
    }

    /// Requests in progress.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub(super) fn request_begins(&self) {
        self.requests.fetch_add(1, SeqCst);
    }

    pub(super) fn request_ends(&self, now_ms: u64) {
        self.idle_since(now_ms);
        self.served.store(true, SeqCst);
        self.requests.fetch_sub(1, SeqCst);
    }

    /// If no request is in progress, the connection is idle from now on.
    pub(super) fn idle_since(&self, now_ms: u64) {
        self.idle_since_ms.store(now_ms, SeqCst);
    }

    /// For how long no request was in progress; `None` while one is.
    pub(super) fn idle_for(&self, now_ms: u64) -> Option<Duration> {
        let idle_ms = now_ms.saturating_sub(self.idle_since_ms.load(SeqCst));
        (self.requests() == 0).then(|| Duration::from_millis(idle_ms))
    }

    pub(super) fn usage(&self, now_ms: u64) -> ConnectionUsage {
        ConnectionUsage {
            served: self.served.load(SeqCst),
            idle: self.idle_for(now_ms),
        }
    }

    /// The size of the incomplete request headers.
    pub(super) fn set_header_bytes(&self, bytes: usize) {
        self.header_bytes.store(bytes, SeqCst);
    }

    /// The size of the incomplete request headers.
    pub(super) fn header_bytes(&self) -> usize {
        self.header_bytes.load(SeqCst)
    }

    /// Waits until the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    pub(super) fn evict(&self) {
        self.evicted.cancel();
    }
}
