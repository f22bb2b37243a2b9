//! How much an edge takes on, and who pays when that is exhausted.
//!
//! - **Connections, handshakes under way, request heads of more than [`HEADER_BUFFER_SIZE`] bytes, and requests
//!   over HTTP/2 beyond the first of each connection**: in all and by source, shared out by
//!   [`edgeseal_core::fairness`]. While some are free, each source takes what its own limit allows. When
//!   none is, a newcomer gets one of the source that holds most: a connection of that source is closed,
//!   one in a handshake or an idle one rather than one with a request under way. If nobody holds clearly
//!   more than the newcomer, one that somebody has left idle for long is closed; and if there is none,
//!   or the newcomer would itself hold most, the newcomer is.
//! - **Delay**: see [`delay`].
//! - **Memory**: near its ceiling a newcomer replaces another connection by the same rules, or is
//!   closed; and as long as it lasts, connections with unfinished request heads are closed, and such of
//!   the sources that hold most.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use edgeseal_core::address::source_network;
use tokio::time::{Instant, sleep};

use crate::telemetry::{OpenConnection, Shed};

mod memory;
mod queue_delay;
mod registry;
mod slot;

use queue_delay::QueueDelay;
use registry::Registry;
use slot::Slot;

pub use memory::MemoryUse;

/// How much an edge takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time at most.
    pub connections: usize,
    /// The same from one address, or one /64 of IPv6.
    pub connections_per_source: usize,
    /// Handshakes under way at most, those included whose client has not said anything; one source
    /// has half of them at most.
    pub handshakes: usize,
    /// Requests under way over HTTP/2 at most, not counting the first of each connection.
    pub streams: usize,
    /// The same from one source.
    pub streams_per_source: usize,
    /// Request heads over HTTP/1.1 of more than 16 KiB at most, until the exchange of
    /// each has ended; one source has half of them at most.
    pub large_headers: usize,
    /// Bytes of memory; `None`: any number. See [`Limits::within_memory`].
    pub memory_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_source: 4096,
            handshakes: 8192,
            streams: 65_536,
            streams_per_source: 4096,
            large_headers: 4096,
            memory_max: None,
        }
    }
}

/// What a connection may take: a request over HTTP/1.1 and its answer take about 40 KB, an idle
/// connection of HTTP/2 30 KB, one of HTTP/1.1 6 KB.
const CONNECTION_BYTES: u64 = 32 * 1024;
/// What a handshake takes.
const HANDSHAKE_BYTES: u64 = 16 * 1024;
/// What a request over HTTP/2 takes. While its client takes nothing of a long answer it may be three
/// times as much: what waits to be sent, and what was read from the origin ahead.
const STREAM_BYTES: u64 = 32 * 1024;
/// A request head over HTTP/1.1 may have so many bytes as a part of its connection.
pub(crate) const HEADER_BUFFER_SIZE: usize = 16 * 1024;
/// A request head over HTTP/1.1 or HTTP/2 has so many bytes at most. Heads of 20 KB are normal for
/// signed requests.
pub(crate) const HEADER_SIZE_MAX: usize = 64 * 1024;
/// What a head of more than [`HEADER_BUFFER_SIZE`] takes beyond it: hyper doubles its buffer.
const LARGE_HEADER_BYTES: u64 = HEADER_SIZE_MAX as u64;

impl Limits {
    /// As many of each as [`memory_max`](Self::memory_max) has room for: connections may take a half
    /// of it, handshakes and streams an eighth each, large heads a sixteenth. The rest is for what is
    /// served.
    #[must_use]
    pub fn within_memory(self) -> Self {
        let Some(most) = self.memory_max else {
            return self;
        };
        let fit =
            |share: u64, each: u64| usize::try_from((share / each).max(1)).unwrap_or(usize::MAX);
        Self {
            connections: self.connections.min(fit(most / 2, CONNECTION_BYTES)),
            handshakes: self.handshakes.min(fit(most / 8, HANDSHAKE_BYTES)),
            streams: self.streams.min(fit(most / 8, STREAM_BYTES)),
            large_headers: self.large_headers.min(fit(most / 16, LARGE_HEADER_BYTES)),
            ..self
        }
    }
}

/// Keeps to the [`Limits`].
#[derive(Debug)]
pub(crate) struct Limiter {
    registry: Mutex<Registry>,
    delay: QueueDelay,
    memory_pressure: AtomicBool,
    epoch: Instant,
}

/// A connection that was admitted. Dropped, it makes room for another.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limiter: Arc<Limiter>,
    slot: Arc<Slot>,
    _open: OpenConnection,
}

/// A request from its head until the last byte of its answer has left, or was given up.
#[derive(Debug)]
pub(crate) struct InFlight {
    connection: Arc<ConnectionPermit>,
    /// Whether it counts as a stream.
    counted: bool,
}

/// A request head of more than [`HEADER_BUFFER_SIZE`] bytes and the exchange that follows, until it is dropped.
#[derive(Debug)]
pub(crate) struct LargeHeader(Arc<ConnectionPermit>);

impl Limiter {
    /// Must be called on the runtime: memory is looked at by a task, by means of `memory_used`.
    pub(crate) fn new(limits: Limits, memory_used: fn() -> Option<MemoryUse>) -> Arc<Self> {
        let limits = limits.within_memory();
        let limiter = Arc::new(Self {
            registry: Mutex::new(Registry::new(&limits)),
            delay: QueueDelay::default(),
            memory_pressure: AtomicBool::new(false),
            epoch: Instant::now(),
        });
        if let Some(most) = limits.memory_max {
            tokio::spawn(memory::watch(Arc::downgrade(&limiter), most, memory_used));
        }
        limiter
    }

    /// Admits a connection from `source`, which is about to do a handshake or not.
    pub(crate) fn admit(
        self: &Arc<Self>,
        source: IpAddr,
        handshake: bool,
    ) -> Result<ConnectionPermit, Shed> {
        let source = source_network(source);
        let short = self.under_memory_pressure();
        let now_ms = self.now_ms();
        let slot = self.registry().admit(source, handshake, short, now_ms)?;
        Ok(ConnectionPermit {
            limiter: Arc::clone(self),
            slot,
            _open: OpenConnection::new(),
        })
    }

    /// Waits for the turn of a handshake; fails if that took too long for too long.
    pub(crate) async fn wait_turn(&self) -> Result<(), Shed> {
        let asked = Instant::now();
        // To the end of the queue of all that this process has to do.
        tokio::task::yield_now().await;
        let now = Instant::now();
        if self.delay.is_standing(now - asked, now - self.epoch) {
            return Err(Shed::Delay);
        }
        Ok(())
    }

    fn under_memory_pressure(&self) -> bool {
        self.memory_pressure.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// The handshake is over.
    pub(crate) fn handshake_done(&self) {
        self.limiter.registry().handshake_done(&self.slot);
        self.slot.idle_since(self.limiter.now_ms());
    }

    /// A request over HTTP/1.1, where there is one at a time.
    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.slot.request_begins();
        self.in_flight(false)
    }

    /// A request over HTTP/2. The first of a connection is part of the connection.
    pub(crate) fn stream(self: &Arc<Self>) -> Result<InFlight, Shed> {
        let others = self.slot.requests();
        if others > 0 {
            if self.limiter.under_memory_pressure() {
                return Err(Shed::Memory);
            }
            self.limiter.registry().stream_begins(&self.slot)?;
        }
        self.slot.request_begins();
        Ok(self.in_flight(others > 0))
    }

    /// The unfinished head of a request has so many bytes; 0: there is none.
    pub(crate) fn set_header_bytes(&self, bytes: usize) {
        self.slot.set_header_bytes(bytes);
    }

    /// The head of a request over HTTP/1.1 needs more than [`HEADER_BUFFER_SIZE`].
    pub(crate) fn large_header(self: &Arc<Self>) -> Result<LargeHeader, Shed> {
        if self.limiter.under_memory_pressure() {
            return Err(Shed::Memory);
        }
        self.limiter.registry().large_header_begins(&self.slot)?;
        Ok(LargeHeader(Arc::clone(self)))
    }

    /// Waits until the connection must be closed, since its place is needed for another source.
    pub(crate) async fn evicted(&self) {
        self.slot.evicted().await;
    }

    /// Waits until no request has been under way for `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        let mut wait = limit;
        loop {
            sleep(wait).await;
            let idle = self.slot.idle_for(self.limiter.now_ms());
            match idle.map(|idle| limit.checked_sub(idle)) {
                Some(None | Some(Duration::ZERO)) => return,
                Some(Some(rest)) => wait = rest,
                None => wait = limit,
            }
        }
    }

    /// Where the connection comes from, as limits count it.
    pub(crate) fn source(&self) -> IpAddr {
        self.slot.source()
    }

    fn in_flight(self: &Arc<Self>, counted: bool) -> InFlight {
        InFlight {
            connection: Arc::clone(self),
            counted,
        }
    }
}

#[cfg(test)]
impl ConnectionPermit {
    /// Of a limiter of its own.
    pub(crate) fn for_tests(limits: Limits) -> Arc<Self> {
        let limiter = Limiter::new(limits, MemoryUse::of_this_process);
        Arc::new(limiter.admit([192, 0, 2, 1].into(), false).unwrap())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.registry().remove_connection(&self.slot);
    }
}

impl Drop for LargeHeader {
    fn drop(&mut self) {
        let ConnectionPermit { limiter, slot, .. } = &*self.0;
        limiter.registry().large_header_ends(slot);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let ConnectionPermit { limiter, slot, .. } = &*self.connection;
        slot.request_ends(limiter.now_ms());
        if self.counted {
            limiter.registry().stream_ends(slot);
        }
    }
}

#[cfg(test)]
mod tests;
