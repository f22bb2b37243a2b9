//! Limits of an edge, and which connections are evicted when they are reached.
//!
//! - **Connections, handshakes in progress, request headers of more than [`HEADER_BUFFER_SIZE`]
//!   bytes, and HTTP/2 requests beyond the first of each connection**: in total and per source,
//!   shared by [`edgeseal_core::fairness`]. While capacity is free, each source may use its own
//!   limit. When there is none, a newcomer replaces a connection of the source that holds most: one
//!   in a handshake or an idle one rather than one with a request in progress. If no source holds
//!   clearly more than the newcomer's, a connection that was idle for long is closed; if there is
//!   none, or the newcomer's source would itself hold most, the newcomer is closed.
//! - **Delay**: see [`queue_delay`].
//! - **Memory**: near its limit a newcomer replaces another connection by the same rules, or is
//!   closed; while the limit is exceeded, connections with incomplete request headers are closed,
//!   and connections of the sources that hold most.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use edgeseal_core::address::source_network;
use parking_lot::Mutex;
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

/// The limits of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of connections.
    pub connections: usize,
    /// The same per source: one address, or one /64 of IPv6.
    pub connections_per_source: usize,
    /// Maximum number of handshakes in progress, including clients that have sent nothing yet; one
    /// source may have half of them.
    pub handshakes: usize,
    /// Maximum number of HTTP/2 requests in progress, not counting the first of each connection.
    pub streams: usize,
    /// The same per source.
    pub streams_per_source: usize,
    /// Maximum number of HTTP/1.1 requests with headers of more than 16 KiB, each until its
    /// response is complete; one source may have half of them.
    pub large_headers: usize,
    /// Memory limit in bytes; `None`: unlimited. See [`Limits::within_memory`].
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

/// Memory of a connection: an HTTP/1.1 request and its response use about 40 KB, an idle HTTP/2
/// connection 30 KB, an idle HTTP/1.1 connection 6 KB.
const CONNECTION_BYTES: u64 = 32 * 1024;
/// Memory of a handshake.
const HANDSHAKE_BYTES: u64 = 16 * 1024;
/// Memory of an HTTP/2 request. While its client does not read a long response it may be three
/// times as much: what waits to be sent, and what was read ahead from the origin.
const STREAM_BYTES: u64 = 32 * 1024;
/// Size of HTTP/1.1 request headers, in bytes, that is included in a connection's memory.
pub(crate) const HEADER_BUFFER_SIZE: usize = 16 * 1024;
/// Maximum size of HTTP/1.1 and HTTP/2 request headers, in bytes. Headers of 20 KB are normal for
/// signed requests.
pub(crate) const HEADER_SIZE_MAX: usize = 64 * 1024;
/// Memory of headers beyond [`HEADER_BUFFER_SIZE`]: hyper doubles its buffer.
const LARGE_HEADER_BYTES: u64 = HEADER_SIZE_MAX as u64;

impl Limits {
    /// Limits that [`memory_max`](Self::memory_max) has room for: a half of it for connections, an
    /// eighth each for handshakes and streams, a sixteenth for large headers. The rest is for what
    /// is served.
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

/// Enforces the [`Limits`].
#[derive(Debug)]
pub(crate) struct Limiter {
    registry: Mutex<Registry>,
    delay: QueueDelay,
    memory_pressure: AtomicBool,
    epoch: Instant,
}

/// A connection within the limits. Dropping it releases its capacity.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limiter: Arc<Limiter>,
    slot: Arc<Slot>,
    _open: OpenConnection,
}

/// A request, from its headers until the last byte of its response was sent or dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    connection: Arc<ConnectionPermit>,
    /// Whether it counts as a stream.
    counted: bool,
}

/// Request headers of more than [`HEADER_BUFFER_SIZE`] bytes, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct LargeHeader(Arc<ConnectionPermit>);

impl Limiter {
    /// Must be called on the runtime: a task checks memory with `memory_used`.
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

    /// Acquires a connection from `source`. `handshake`: whether it is about to do a handshake.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        source: IpAddr,
        handshake: bool,
    ) -> Result<ConnectionPermit, Shed> {
        let source = source_network(source);
        let short = self.under_memory_pressure();
        let now_ms = self.now_ms();
        let slot = self
            .registry
            .lock()
            .acquire(source, handshake, short, now_ms)?;
        Ok(ConnectionPermit {
            limiter: Arc::clone(self),
            slot,
            _open: OpenConnection::new(),
        })
    }

    /// Queues a handshake; fails if handshakes have been queued for too long.
    pub(crate) async fn wait_turn(&self) -> Result<(), Shed> {
        let asked = Instant::now();
        // To the end of the runtime's queue.
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
}

impl ConnectionPermit {
    /// The handshake is complete.
    pub(crate) fn handshake_done(&self) {
        self.limiter.registry.lock().handshake_done(&self.slot);
        self.slot.idle_since(self.limiter.now_ms());
    }

    /// An HTTP/1.1 request; a connection has one at a time.
    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.slot.request_begins();
        self.in_flight(false)
    }

    /// An HTTP/2 request. The first of a connection is included in the connection.
    pub(crate) fn stream(self: &Arc<Self>) -> Result<InFlight, Shed> {
        let others = self.slot.requests();
        if others > 0 {
            if self.limiter.under_memory_pressure() {
                return Err(Shed::Memory);
            }
            self.limiter.registry.lock().stream_begins(&self.slot)?;
        }
        self.slot.request_begins();
        Ok(self.in_flight(others > 0))
    }

    /// The size of the incomplete request headers; 0: there are none.
    pub(crate) fn set_header_bytes(&self, bytes: usize) {
        self.slot.set_header_bytes(bytes);
    }

    /// The headers of an HTTP/1.1 request need more than [`HEADER_BUFFER_SIZE`].
    pub(crate) fn large_header(self: &Arc<Self>) -> Result<LargeHeader, Shed> {
        if self.limiter.under_memory_pressure() {
            return Err(Shed::Memory);
        }
        self.limiter
            .registry
            .lock()
            .large_header_begins(&self.slot)?;
        Ok(LargeHeader(Arc::clone(self)))
    }

    /// Waits until the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.slot.evicted().await;
    }

    /// Waits until no request was in progress for `limit`.
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

    /// The source of the connection, as the limits count it.
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
    /// Of its own limiter.
    pub(crate) fn for_tests(limits: Limits) -> Arc<Self> {
        let limiter = Limiter::new(limits, MemoryUse::of_this_process);
        Arc::new(limiter.acquire([192, 0, 2, 1].into(), false).unwrap())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.registry.lock().remove_connection(&self.slot);
    }
}

impl Drop for LargeHeader {
    fn drop(&mut self) {
        let ConnectionPermit { limiter, slot, .. } = &*self.0;
        limiter.registry.lock().large_header_ends(slot);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let ConnectionPermit { limiter, slot, .. } = &*self.connection;
        slot.request_ends(limiter.now_ms());
        if self.counted {
            limiter.registry.lock().stream_ends(slot);
        }
    }
}

#[cfg(test)]
mod tests;
