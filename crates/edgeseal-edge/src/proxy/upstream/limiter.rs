//! Which requests use the connections to an origin.
//!
//! A permit counts a request over HTTP/1.1 with its response, which has a dedicated connection
//! until the end; or a tunnel; or an HTTP/2 connection, whatever streams it has. Permits are shared
//! among the accounts by [`edgeseal_core::fairness`], and within an account among the clients'
//! sources: when all are in use, an account that has clearly fewer evicts one of the account that
//! has most. There the victim is taken from the source that has most, and is the one whose client
//! has not read for longest. A response that is not read may be evicted by anyone after
//! [`STALL_GRACE`], and before anything else an HTTP/2 connection without streams.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use edgeseal_core::fairness::{Capacity, FairLimiter};
use futures_util::task::AtomicWaker;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::super::body::BoxError;
use crate::telemetry::{self, Eviction};

/// The permits of one origin.
#[derive(Debug)]
pub(super) struct UpstreamLimiter {
    state: Mutex<State>,
    /// Notified when one is released.
    ended: Notify,
    epoch: Instant,
    connections: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    /// Those of each account that has any, by source.
    accounts: HashMap<u64, FairLimiter>,
    capacity: Capacity,
    open: BTreeMap<Id, Arc<PermitState>>,
    next: u64,
}

/// An account, a source, and a sequence number.
type Id = (u64, IpAddr, u64);

/// An account, and the source of its client.
pub(super) type PermitOwner = (u64, IpAddr);

/// A permit; dropping it releases it.
#[derive(Debug)]
pub(in crate::proxy) struct UpstreamPermit {
    limiter: Arc<UpstreamLimiter>,
    shared: Arc<PermitState>,
}

#[derive(Debug)]
struct PermitState {
    id: Id,
    /// The response body, once the headers have arrived. Gone after an eviction.
    body: Mutex<Option<Incoming>>,
    /// The task that waits for a part of the body.
    reader: AtomicWaker,
    /// Since when the client has not asked for more, in milliseconds plus one; 0: it has.
    unread_since: AtomicU64,
    evicted: CancellationToken,
    /// Whether it is an HTTP/2 connection.
    is_http2: AtomicBool,
    /// The number of its streams.
    streams: AtomicUsize,
}

/// The streams of an HTTP/2 connection.
#[derive(Clone, Debug)]
pub(super) struct StreamCounter(Arc<PermitState>);

/// A stream, counted until this is dropped.
#[derive(Debug)]
pub(in crate::proxy) struct StreamGuard(Arc<PermitState>);

/// How long a client may stall before its permit can be evicted by anyone.
const STALL_GRACE: Duration = Duration::from_secs(5);
/// Permits of a source that are examined to find the victim.
const SEARCHED: usize = 64;

impl UpstreamLimiter {
    /// At most `most` permits. One source may have all of them as long as nobody else wants any:
    /// behind a proxy all clients are one source. `connections` counts open connections, including
    /// idle ones.
    pub(super) fn new(most: usize, connections: Arc<Semaphore>) -> Arc<Self> {
        let capacity = Capacity {
            total: most,
            per_source: most,
        };
        let state = State {
            accounts: HashMap::new(),
            capacity,
            open: BTreeMap::new(),
            next: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            ended: Notify::new(),
            epoch: Instant::now(),
            connections,
        })
    }

    /// Acquires one for `owner`; `None`: not until `deadline`.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        owner: PermitOwner,
        deadline: Instant,
    ) -> Option<UpstreamPermit> {
        if let Some(permit) = self.try_acquire(owner) {
            return Some(permit);
        }
        // Rare, and large.
        Box::pin(async {
            loop {
                let mut ended = pin!(self.ended.notified());
                ended.as_mut().enable();
                if let Some(permit) = self.try_acquire(owner) {
                    return Some(permit);
                }
                // One may have stalled for long enough before one is released.
                let look = Instant::now() + STALL_GRACE / 10;
                tokio::select! {
                    () = ended => {}
                    () = sleep_until(look.min(deadline)) => {}
                }
                if Instant::now() >= deadline {
                    return None;
                }
            }
        })
        .await
    }

    /// The same, without waiting.
    pub(super) fn try_acquire(self: &Arc<Self>, owner: PermitOwner) -> Option<UpstreamPermit> {
        let now_ms = self.now_ms();
        let mut state = self.state.lock();
        let ended = state.make_room(owner, now_ms)?;
        let (account, source) = owner;
        let shared = Arc::new(PermitState::new((account, source, state.next)));
        state.next += 1;
        state.open.insert(shared.id, Arc::clone(&shared));
        drop(state);
        if let Some(ended) = ended {
            ended.evict();
            telemetry::evicted(Eviction::OriginConnection);
        }
        Some(UpstreamPermit {
            limiter: Arc::clone(self),
            shared,
        })
    }

    /// The number of permits in use.
    pub(super) fn open(&self) -> usize {
        self.state.lock().open.len()
    }

    fn end(&self, id: &Id) {
        let mut state = self.state.lock();
        // One that was evicted holds nothing any more.
        if state.open.remove(id).is_some() {
            state.release(id);
            drop(state);
            self.ended.notify_one();
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl State {
    /// Acquires a permit for `owner`, and removes a victim, if necessary; `None`: there is no
    /// capacity.
    fn make_room(&mut self, owner: PermitOwner, now_ms: u64) -> Option<Option<Arc<PermitState>>> {
        let ended = if self.open.len() < self.capacity.total {
            None
        } else {
            let id = match (self.idle(), self.eviction_candidate(owner)) {
                (Some(idle), _) => idle,
                (None, Some(payer)) => self.pick_victim(payer)?,
                (None, None) => self.stalled(now_ms)?,
            };
            self.release(&id);
            Some(self.open.remove(&id)?)
        };
        let (account, source) = owner;
        let sources = self.accounts.entry(account);
        let sources = sources.or_insert_with(|| FairLimiter::new(self.capacity));
        // It has fewer than the total.
        sources.acquire(source).ok()?;
        Some(ended)
    }

    /// The owner that loses a permit to `owner`: of the account that has most, if that is clearly
    /// more than its own has, the source that has most; otherwise such a source of its own account.
    fn eviction_candidate(&self, (account, source): PermitOwner) -> Option<PermitOwner> {
        let held = |account| self.accounts.get(account).map_or(0, FairLimiter::total);
        // Computed only when all are in use, among the accounts that use them.
        let largest = self.accounts.keys().max_by_key(|account| held(account))?;
        // With a difference of one, two accounts would evict each other in turns.
        if held(largest) > held(&account) + 1 {
            let (source, _) = self.accounts.get(largest)?.largest()?;
            return Some((*largest, source));
        }
        let sources = self.accounts.get(&account)?;
        Some((account, sources.eviction_candidate(source)?))
    }

    fn release(&mut self, (account, source, _): &Id) {
        if let Some(sources) = self.accounts.get_mut(account) {
            sources.release(*source);
            if sources.total() == 0 {
                self.accounts.remove(account);
            }
        }
    }

    /// Of the oldest permits of a source the one whose client has not read for longest; otherwise
    /// one that fewest clients use, because an HTTP/2 connection serves many, and the oldest of
    /// them.
    fn pick_victim(&self, (account, source): PermitOwner) -> Option<Id> {
        let open = (account, source, 0)..=(account, source, u64::MAX);
        let least = self.open.range(open).take(SEARCHED);
        let least = least.min_by_key(|(id, shared)| {
            let since = shared.unread_since.load(SeqCst);
            let since = if since == 0 { u64::MAX } else { since };
            (since, shared.streams.load(SeqCst), id.2)
        });
        least.map(|(id, _)| *id)
    }

    /// The oldest idle HTTP/2 connection.
    fn idle(&self) -> Option<Id> {
        let idle =
            |shared: &PermitState| shared.is_http2.load(SeqCst) && shared.streams.load(SeqCst) == 0;
        let idle = self.open.iter().filter(|(_, shared)| idle(shared));
        idle.map(|(id, _)| *id).min_by_key(|id| id.2)
    }

    /// Any whose client has stalled for [`STALL_GRACE`], the longest first.
    fn stalled(&self, now_ms: u64) -> Option<Id> {
        let limit = u64::try_from(STALL_GRACE.as_millis()).unwrap_or(u64::MAX);
        let since = |shared: &PermitState| match shared.unread_since.load(SeqCst) {
            0 => u64::MAX,
            since => since,
        };
        let (id, longest) = self.open.iter().min_by_key(|(_, shared)| since(shared))?;
        (since(longest).saturating_add(limit) <= now_ms + 1).then_some(*id)
    }
}

impl UpstreamPermit {
    /// The response headers have arrived, followed by this body.
    pub(in crate::proxy) fn set_body(&self, body: Incoming) {
        if body.is_end_stream() {
            return;
        }
        self.mark_unread();
        *self.shared.body.lock() = Some(body);
        if self.shared.evicted.is_cancelled() {
            self.shared.body.lock().take();
        }
    }

    /// The next part of the body. An error after an eviction.
    pub(in crate::proxy) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.shared.unread_since.store(0, SeqCst);
        self.shared.reader.register(cx.waker());
        let mut body = self.shared.body.lock();
        let Some(body) = body.as_mut() else {
            let reason = "the connection to the origin was evicted for another client";
            return Poll::Ready(Some(Err(reason.into())));
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = &polled
            && !body.is_end_stream()
        {
            self.mark_unread();
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        self.shared
            .body
            .lock()
            .as_ref()
            .is_some_and(Incoming::is_end_stream)
    }

    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        self.shared
            .body
            .lock()
            .as_ref()
            .map_or_else(SizeHint::default, Incoming::size_hint)
    }

    /// Turns it into the permit of an HTTP/2 connection, which has one stream so far.
    pub(super) fn mark_http2(&self) -> (StreamCounter, StreamGuard) {
        let streams = StreamCounter(Arc::clone(&self.shared));
        let first = streams.open_stream();
        self.shared.is_http2.store(true, SeqCst);
        (streams, first)
    }

    /// Waits until it is evicted.
    pub(in crate::proxy) async fn evicted(&self) {
        self.shared.evicted.cancelled().await;
    }

    /// Keeps the connection counted while this is awaited, which never ends: after a protocol
    /// upgrade nothing else counts it.
    pub(in crate::proxy) async fn hold_connection(&self) {
        let permit = self.limiter.connections.acquire().await;
        std::future::pending::<()>().await;
        drop(permit);
    }

    fn mark_unread(&self) {
        let now = self.limiter.now_ms() + 1;
        self.shared.unread_since.store(now, SeqCst);
    }
}

impl Drop for UpstreamPermit {
    fn drop(&mut self) {
        // The connection is closed first: whoever waits for the permit needs it.
        self.shared.body.lock().take();
        self.limiter.end(&self.shared.id);
    }
}

impl StreamCounter {
    /// The number of open streams.
    pub(super) fn open(&self) -> usize {
        self.0.streams.load(SeqCst)
    }

    /// Whether the connection was evicted.
    pub(super) fn is_evicted(&self) -> bool {
        self.0.evicted.is_cancelled()
    }

    pub(super) fn open_stream(&self) -> StreamGuard {
        self.0.streams.fetch_add(1, SeqCst);
        StreamGuard(Arc::clone(&self.0))
    }
}

impl StreamGuard {
    /// Whether its connection was evicted.
    pub(super) fn is_evicted(&self) -> bool {
        self.0.evicted.is_cancelled()
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, SeqCst);
    }
}

impl PermitState {
    fn new(id: Id) -> Self {
        Self {
            id,
            body: Mutex::default(),
            reader: AtomicWaker::new(),
            unread_since: AtomicU64::new(0),
            evicted: CancellationToken::new(),
            is_http2: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
        }
    }

    fn evict(&self) {
        self.evicted.cancel();
        // Dropping the body ends the connection, even if the next part is never polled.
        let body = self.body.lock().take();
        drop(body);
        self.reader.wake();
    }
}

#[cfg(test)]
mod tests;
