//! Connections to origins, kept and bounded.
//!
//! HTTP/1.1 connections are in the pool while nobody uses them; one HTTP/2 connection to a
//! destination is shared by all. To one origin there are never more connections than allowed,
//! whatever hosts it is asked for: who finds all of them in use waits, or gets one of whoever has
//! most ([`Exchanges`]). Connections to addresses that the
//! origin's name has left are closed after a while ([`Addresses`]).

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use edgeseal_core::address::is_public;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, interval, sleep_until, timeout},
};

use super::{
    super::{Patience, body::Lent},
    addresses::Addresses,
    dial::{Dial, Dialled, NotConnected},
    exchange::{Exchange, Exchanges},
};

/// The connections to all origins.
#[derive(Debug)]
pub(super) struct Pool {
    dial: Dial,
    patience: Patience,
    epoch: Instant,
    connections_max: usize,
    origins: Mutex<HashMap<Box<str>, Arc<Lines>>>,
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// `host:port` of the origin.
    pub(super) authority: Box<str>,
    /// The host that it must prove to be; `None` without TLS.
    pub(super) tls_host: Option<Box<str>>,
    /// Whether it speaks HTTP/2 in the clear.
    pub(super) h2c: bool,
    /// Whether it may be at an address that is not public.
    pub(super) private: bool,
}

/// A connection to send one request on.
#[derive(Debug)]
pub(super) struct Line {
    sender: Sender,
    /// Whether it was used before: the origin may be about to close it.
    pub(super) reused: bool,
    /// `None` over HTTP/2, where many share a connection.
    pub(super) exchange: Option<Exchange>,
    tls_host: Option<Box<str>>,
    peer: IpAddr,
    epoch: Instant,
    lines: Arc<Lines>,
}

#[derive(Debug)]
pub(super) enum Sender {
    Http1(http1::SendRequest<Lent>),
    Http2(http2::SendRequest<Lent>),
}

/// The connections to one origin.
#[derive(Debug)]
struct Lines {
    permits: Arc<Semaphore>,
    exchanges: Arc<Exchanges>,
    returned: Notify,
    kept: Mutex<Kept>,
    /// When it answered last, in milliseconds of the pool's time, plus one; 0: never.
    answered: AtomicU64,
    /// For a kept connection to an address that its name has left.
    left_address: Duration,
}

#[derive(Debug, Default)]
struct Kept {
    addresses: Addresses,
    /// In order of their return.
    http1: Vec<Idle<http1::SendRequest<Lent>>>,
    http2: Vec<Idle<http2::SendRequest<Lent>>>,
}

#[derive(Debug)]
struct Idle<S> {
    tls_host: Option<Box<str>>,
    peer: IpAddr,
    sender: S,
    since: Instant,
}

/// An idle connection is closed after this long. Below the shortest keep-alive that is usual among
/// origins would be best (5 s), but a request without a body survives a stale connection anyway.
const IDLE_MAX: Duration = Duration::from_secs(30);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Names that are asked about at once.
const NAMES_AT_ONCE: usize = 16;

impl Pool {
    /// An empty pool. Must be called on the runtime: what is idle for too long is closed by a task.
    pub(super) fn new(dial: Dial, patience: Patience, connections_max: usize) -> Arc<Self> {
        let pool = Arc::new(Self {
            dial,
            patience,
            epoch: Instant::now(),
            connections_max: connections_max.clamp(1, Semaphore::MAX_PERMITS),
            origins: Mutex::default(),
        });
        let every = SWEEP_EVERY.min(patience.left_address / 2);
        tokio::spawn(sweep(Arc::downgrade(&pool), every));
        pool
    }

    /// A connection to `to` for a visitor of `source`: a kept one, or a new one. With `fresh` always a
    /// new one.
    pub(super) async fn line(
        &self,
        to: &Destination,
        http1_only: bool,
        fresh: bool,
        source: IpAddr,
    ) -> Result<Line, NotConnected> {
        let lines = self.lines(&to.authority);
        if !fresh
            && !http1_only
            && let Some(shared) = lines.take_http2(to)
        {
            return Ok(self.used(lines, to, shared, true));
        }
        let deadline = Instant::now() + self.patience.connect;
        let exchange = lines.exchanges.begin(source, deadline).await;
        let exchange = exchange.ok_or(NotConnected::Busy)?;
        if !fresh && let Some(taken) = lines.take(to, http1_only) {
            return Ok(self.used(lines, to, taken, true).with(exchange));
        }
        // Rare, and large: on the heap, so that the many requests that take a kept connection do not
        // carry the room for it about.
        let dialled = self.wait_or_dial(lines, to, http1_only, (fresh, deadline));
        Ok(Box::pin(dialled).await?.with(exchange))
    }

    fn used(
        &self,
        lines: Arc<Lines>,
        to: &Destination,
        (sender, peer): (Sender, IpAddr),
        reused: bool,
    ) -> Line {
        Line {
            sender,
            reused,
            exchange: None,
            tls_host: to.tls_host.clone(),
            peer,
            epoch: self.epoch,
            lines,
        }
    }

    /// A connection that comes free, or a new one as soon as it is allowed.
    async fn wait_or_dial(
        &self,
        lines: Arc<Lines>,
        to: &Destination,
        http1_only: bool,
        (fresh, deadline): (bool, Instant),
    ) -> Result<Line, NotConnected> {
        let permit = loop {
            // Asked for before looking, so that what comes back in between is not missed.
            let mut returned = pin!(lines.returned.notified());
            returned.as_mut().enable();
            if !fresh && let Some(taken) = lines.take(to, http1_only) {
                return Ok(self.used(Arc::clone(&lines), to, taken, true));
            }
            if lines.permits.available_permits() == 0 {
                lines.evict();
            }
            tokio::select! {
                biased;
                permit = Arc::clone(&lines.permits).acquire_owned() => {
                    break permit.map_err(|_| NotConnected::Busy)?;
                }
                () = returned => {}
                () = sleep_until(deadline) => return Err(NotConnected::Busy),
            }
        };
        let connecting = self.dial.connect(to, http1_only, permit);
        let Dialled {
            sender,
            peer,
            answer,
        } = timeout(self.patience.connect, connecting)
            .await
            .map_err(|_| NotConnected::TimedOut)??;
        if let Some(answer) = answer {
            lines.resolved(&answer.addresses, answer.valid_until);
        }
        if let Sender::Http2(sender) = &sender {
            lines.keep_http2(to.tls_host.clone(), peer, sender.clone());
        }
        Ok(self.used(lines, to, (sender, peer), false))
    }

    fn lines(&self, authority: &str) -> Arc<Lines> {
        let mut origins = lock(&self.origins);
        if let Some(lines) = origins.get(authority) {
            return Arc::clone(lines);
        }
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let lines = Arc::new(Lines {
            exchanges: Exchanges::new(self.connections_max, Arc::clone(&permits)),
            permits,
            returned: Notify::new(),
            kept: Mutex::default(),
            answered: AtomicU64::new(0),
            left_address: self.patience.left_address,
        });
        origins.insert(authority.into(), Arc::clone(&lines));
        lines
    }

    fn sweep(&self, now: Instant) {
        lock(&self.origins).retain(|_, lines| {
            let nothing_kept = lines.sweep(now);
            let unused = lines.permits.available_permits() == self.connections_max
                && lines.exchanges.open() == 0;
            !(nothing_kept && unused && Arc::strong_count(lines) == 1)
        });
    }

    /// Asks again about the names whose answers do not hold any more. Those that fail keep what they have:
    /// a DNS that is away closes no connections.
    async fn resolve_again(&self) {
        let now = Instant::now();
        let due: Vec<_> = {
            let origins = lock(&self.origins);
            let due = origins.iter().filter(|(_, lines)| lines.is_due(now));
            due.map(|(authority, lines)| (authority.clone(), Arc::clone(lines)))
                .collect()
        };
        let asking =
            stream::iter(due).for_each_concurrent(NAMES_AT_ONCE, async |(authority, lines)| {
                let asked = timeout(self.patience.connect, self.dial.resolve(&authority));
                if let Ok(Some(Ok(answer))) = asked.await {
                    lines.resolved(&answer.addresses, answer.valid_until);
                }
            });
        asking.await;
    }
}

async fn sweep(pool: Weak<Pool>, every: Duration) {
    let mut every = interval(every);
    loop {
        every.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.resolve_again().await;
        pool.sweep(Instant::now());
    }
}

impl Line {
    /// One over HTTP/1.1 has the connection for itself.
    fn with(self, exchange: Exchange) -> Self {
        let exchange = (!self.is_http2()).then_some(exchange);
        Self { exchange, ..self }
    }

    /// Whether it speaks HTTP/2.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Whether it is in TLS.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls_host.is_some()
    }

    /// Sends a request. The error gives it back if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Lent>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Lent>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Notes that the origin answers.
    pub(super) fn note_answer(&self) {
        let now = Instant::now() - self.epoch;
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let now = now.saturating_add(1);
        self.lines.answered.fetch_max(now, Ordering::Relaxed);
    }

    /// Whether the origin has answered anybody since then.
    pub(super) fn answered_since(&self, then: Instant) -> bool {
        let answered = self.lines.answered.load(Ordering::Relaxed);
        let answered = answered.checked_sub(1).map(Duration::from_millis);
        answered.is_some_and(|answered| self.epoch + answered >= then)
    }

    /// Keeps the connection for the next request as soon as this one is through.
    pub(super) fn give_back(self) {
        // The shared HTTP/2 connection never left the pool.
        let Sender::Http1(mut sender) = self.sender else {
            return;
        };
        let (lines, tls_host, peer) = (self.lines, self.tls_host, self.peer);
        if sender.is_ready() {
            lines.keep_http1(tls_host, peer, sender);
            return;
        }
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                lines.keep_http1(tls_host, peer, sender);
            }
        });
    }
}

impl Destination {
    /// Whether a connection to there may be used, which may have been opened for a domain that may go
    /// where this one may not.
    fn may_use(&self, peer: IpAddr) -> bool {
        self.private || is_public(peer)
    }
}

impl Lines {
    fn take_http2(&self, to: &Destination) -> Option<(Sender, IpAddr)> {
        let mut kept = lock(&self.kept);
        kept.http2.retain(|one| !one.sender.is_closed());
        let one = kept.http2.iter_mut().find(|one| {
            one.tls_host == to.tls_host && to.may_use(one.peer) && one.sender.is_ready()
        })?;
        one.since = Instant::now();
        Some((Sender::Http2(one.sender.clone()), one.peer))
    }

    fn take(&self, to: &Destination, http1_only: bool) -> Option<(Sender, IpAddr)> {
        if !http1_only && let Some(shared) = self.take_http2(to) {
            return Some(shared);
        }
        let mut kept = lock(&self.kept);
        let http1 = &mut kept.http1;
        // The one that came back last is the least likely to be stale.
        while let Some(last) = http1
            .iter()
            .rposition(|one| one.tls_host == to.tls_host && to.may_use(one.peer))
        {
            let idle = http1.remove(last);
            if idle.sender.is_ready() && idle.since.elapsed() < IDLE_MAX {
                return Some((Sender::Http1(idle.sender), idle.peer));
            }
        }
        None
    }

    /// The origin's name has these addresses until then.
    fn resolved(&self, addresses: &[IpAddr], valid_until: Instant) {
        let (now, left) = (Instant::now(), self.left_address);
        let mut kept = lock(&self.kept);
        kept.addresses.answer(addresses, valid_until, left, now);
    }

    /// Whether its name should be asked about again.
    fn is_due(&self, now: Instant) -> bool {
        lock(&self.kept).addresses.is_due(now)
    }

    /// Closes the connection that was idle for longest: its permit is needed for another host.
    fn evict(&self) {
        let mut kept = lock(&self.kept);
        if !kept.http1.is_empty() {
            kept.http1.remove(0);
        } else if !kept.http2.is_empty() {
            // One that streams are open on ends after the last of them.
            kept.http2.remove(0);
        }
    }

    fn keep_http1(
        &self,
        tls_host: Option<Box<str>>,
        peer: IpAddr,
        sender: http1::SendRequest<Lent>,
    ) {
        let since = Instant::now();
        let mut kept = lock(&self.kept);
        if kept.addresses.has(peer, self.left_address, since) {
            kept.http1.push(Idle {
                tls_host,
                peer,
                sender,
                since,
            });
        }
        drop(kept);
        self.returned.notify_one();
    }

    fn keep_http2(
        &self,
        tls_host: Option<Box<str>>,
        peer: IpAddr,
        sender: http2::SendRequest<Lent>,
    ) {
        let mut kept = lock(&self.kept);
        let same = |one: &Idle<_>| one.tls_host == tls_host && one.peer == peer;
        if !kept.http2.iter().any(same) {
            kept.http2.push(Idle {
                tls_host,
                peer,
                sender,
                since: Instant::now(),
            });
        }
        drop(kept);
        self.returned.notify_waiters();
    }

    /// Closes what is idle for too long, or leads where the name does not any more. Whether nothing is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut kept = lock(&self.kept);
        let Kept {
            addresses,
            http1,
            http2,
        } = &mut *kept;
        let left = self.left_address;
        let is_fresh = |peer, since| now - since < IDLE_MAX && addresses.has(peer, left, now);
        http1.retain(|one| one.sender.is_ready() && is_fresh(one.peer, one.since));
        // One that streams are open on ends after the last of them.
        http2.retain(|one| !one.sender.is_closed() && is_fresh(one.peer, one.since));
        http1.is_empty() && http2.is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
