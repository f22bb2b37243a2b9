//! Pooled connections to origins, bounded in number.
//!
//! HTTP/1.1 connections are in the pool while they are idle; an HTTP/2 connection to a destination
//! is shared by up to [`STREAMS_MAX`] requests, and then there is another one. One origin never has
//! more connections than allowed, for all hosts together: a request that finds all of them in use
//! waits, or evicts one of the largest user ([`UpstreamLimiter`]). Connections to addresses that
//! are no longer in the origin's DNS response are closed after a while.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use edgeseal_core::address::is_public;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, interval, sleep_until, timeout},
};

use super::{
    super::{Timeouts, body::UpstreamBody},
    connect::{ConnectError, Connector, NewConnection, STREAMS_MAX},
    limiter::{StreamCounter, StreamGuard, UpstreamLimiter, UpstreamPermit},
};

mod idle;

use idle::{CheckedOut, IdleConnections};

/// The connections to all origins.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    timeouts: Timeouts,
    connections_max: usize,
    origins: Mutex<HashMap<Box<str>, Arc<OriginPool>>>,
}

/// The destination of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    /// The account that owns the origin.
    pub(super) account_id: u64,
    /// `host:port` of the origin.
    pub(super) authority: Box<str>,
    /// The host that its certificate must be valid for; `None` without TLS.
    pub(super) tls_host: Option<Box<str>>,
    /// Whether it uses plaintext HTTP/2.
    pub(super) h2c: bool,
    /// Whether its address may be private.
    pub(super) private: bool,
}

/// A connection to send one request on.
#[derive(Debug)]
pub(super) struct PooledConnection {
    sender: Sender,
    /// Whether it was used before: the origin may be about to close it.
    pub(super) reused: bool,
    /// `None` over HTTP/2, where many requests share a connection.
    pub(super) permit: Option<UpstreamPermit>,
    /// `None` over HTTP/1.1.
    pub(super) stream: Option<StreamGuard>,
    tls_host: Option<Box<str>>,
    peer: IpAddr,
    origin_pool: Arc<OriginPool>,
}

#[derive(Debug)]
pub(super) enum Sender {
    Http1(http1::SendRequest<UpstreamBody>),
    Http2(http2::SendRequest<UpstreamBody>),
}

/// The connections to one origin.
#[derive(Debug)]
struct OriginPool {
    permits: Arc<Semaphore>,
    limiter: Arc<UpstreamLimiter>,
    returned: Notify,
    idle: Mutex<IdleConnections>,
    /// For a pooled connection whose address is no longer in the DNS response.
    stale_address_timeout: Duration,
}

const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Names resolved concurrently.
const NAMES_AT_ONCE: usize = 16;

impl Pool {
    /// An empty pool. Must be called on the runtime: a task closes idle connections.
    pub(super) fn new(
        connector: Connector,
        timeouts: Timeouts,
        connections_max: usize,
    ) -> Arc<Self> {
        let pool = Arc::new(Self {
            connector,
            timeouts,
            connections_max: connections_max.clamp(1, Semaphore::MAX_PERMITS),
            origins: Mutex::default(),
        });
        let every = SWEEP_EVERY.min(timeouts.stale_address / 2);
        tokio::spawn(sweep(Arc::downgrade(&pool), every));
        pool
    }

    /// A connection to `to` for a client of `source`: a pooled one, or a new one. With `fresh`
    /// always a new one.
    pub(super) async fn checkout(
        &self,
        to: &Destination,
        http1_only: bool,
        fresh: bool,
        source: IpAddr,
    ) -> Result<PooledConnection, ConnectError> {
        let origin_pool = self.origin_pool(&to.authority);
        if !fresh
            && !http1_only
            && let Some(shared) = origin_pool.take_http2(to, STREAMS_MAX)
        {
            return Ok(used(origin_pool, to, shared, true));
        }
        let deadline = Instant::now() + self.timeouts.connect;
        let owner = (to.account_id, source);
        let upstream_permit = match origin_pool.limiter.try_acquire(owner) {
            Some(upstream_permit) => upstream_permit,
            None => {
                // Rather one that has too many streams than none.
                if !fresh
                    && !http1_only
                    && let Some(shared) = origin_pool.take_http2(to, usize::MAX)
                {
                    return Ok(used(origin_pool, to, shared, true));
                }
                let begun = origin_pool.limiter.acquire(owner, deadline).await;
                begun.ok_or(ConnectError::ConnectionLimit)?
            }
        };
        if !fresh && let Some(taken) = origin_pool.take(to, http1_only) {
            return Ok(used(origin_pool, to, taken, true).with(upstream_permit));
        }
        // Rare, and large: on the heap, so that the many requests that use a pooled connection do
        // not reserve space for it.
        let connected = self.wait_or_connect(
            origin_pool,
            to,
            http1_only,
            (fresh, deadline),
            upstream_permit,
        );
        Box::pin(connected).await
    }

    /// A connection that is returned, or a new one as soon as it is allowed.
    async fn wait_or_connect(
        &self,
        origin_pool: Arc<OriginPool>,
        to: &Destination,
        http1_only: bool,
        (fresh, deadline): (bool, Instant),
        upstream_permit: UpstreamPermit,
    ) -> Result<PooledConnection, ConnectError> {
        let permit = loop {
            // Registered before the check, so that a return in between is not missed.
            let mut returned = pin!(origin_pool.returned.notified());
            returned.as_mut().enable();
            if !fresh && let Some(taken) = origin_pool.take(to, http1_only) {
                return Ok(used(Arc::clone(&origin_pool), to, taken, true).with(upstream_permit));
            }
            if origin_pool.permits.available_permits() == 0 {
                origin_pool.idle.lock().evict();
            }
            tokio::select! {
                biased;
                permit = Arc::clone(&origin_pool.permits).acquire_owned() => {
                    break permit.map_err(|_| ConnectError::ConnectionLimit)?;
                }
                () = returned => {}
                () = sleep_until(deadline) => return Err(ConnectError::ConnectionLimit),
            }
        };
        let deadline = Instant::now() + self.timeouts.connect;
        let NewConnection {
            sender,
            peer,
            resolution: answer,
            http2_permit: keeps,
        } = self
            .connector
            .connect(to, http1_only, permit, deadline)
            .await?;
        if let Some(answer) = answer {
            origin_pool.resolved(&answer.addresses, answer.valid_until);
        }
        let (Sender::Http2(shared), Some(keeps)) = (&sender, keeps) else {
            return Ok(used(origin_pool, to, (sender, peer, None), false).with(upstream_permit));
        };
        let (streams, stream) = upstream_permit.mark_http2();
        origin_pool.keep_http2(to, peer, shared.clone(), streams);
        // If the connection has ended already, the permit is dropped.
        let _ = keeps.send(upstream_permit);
        let taken = (sender, peer, Some(stream));
        Ok(used(origin_pool, to, taken, false))
    }

    fn origin_pool(&self, authority: &str) -> Arc<OriginPool> {
        let mut origins = self.origins.lock();
        if let Some(origin_pool) = origins.get(authority) {
            return Arc::clone(origin_pool);
        }
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let origin_pool = Arc::new(OriginPool {
            limiter: UpstreamLimiter::new(self.connections_max, Arc::clone(&permits)),
            permits,
            returned: Notify::new(),
            idle: Mutex::default(),
            stale_address_timeout: self.timeouts.stale_address,
        });
        origins.insert(authority.into(), Arc::clone(&origin_pool));
        origin_pool
    }

    fn sweep(&self, now: Instant) {
        self.origins.lock().retain(|_, origin_pool| {
            let nothing_kept = origin_pool
                .idle
                .lock()
                .sweep(self.timeouts.stale_address, now);
            let unused = origin_pool.permits.available_permits() == self.connections_max
                && origin_pool.limiter.open() == 0;
            !(nothing_kept && unused && Arc::strong_count(origin_pool) == 1)
        });
    }

    /// Resolves again the names whose responses have expired. Those that fail keep their addresses:
    /// a DNS outage closes no connections.
    async fn resolve_again(&self) {
        let now = Instant::now();
        let due: Vec<_> = {
            let origins = self.origins.lock();
            let due = origins
                .iter()
                .filter(|(_, origin_pool)| origin_pool.is_due(now));
            due.map(|(authority, origin_pool)| (authority.clone(), Arc::clone(origin_pool)))
                .collect()
        };
        let asking = stream::iter(due).for_each_concurrent(
            NAMES_AT_ONCE,
            async |(authority, origin_pool)| {
                let asked = timeout(self.timeouts.connect, self.connector.resolve(&authority));
                if let Ok(Some(Ok(answer))) = asked.await {
                    origin_pool.resolved(&answer.addresses, answer.valid_until);
                }
            },
        );
        asking.await;
    }
}

fn used(
    origin_pool: Arc<OriginPool>,
    to: &Destination,
    (sender, peer, stream): CheckedOut,
    reused: bool,
) -> PooledConnection {
    PooledConnection {
        sender,
        reused,
        permit: None,
        stream,
        tls_host: to.tls_host.clone(),
        peer,
        origin_pool,
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

impl PooledConnection {
    /// Over HTTP/1.1 it has the connection for itself.
    fn with(self, upstream_permit: UpstreamPermit) -> Self {
        let upstream_permit = (!self.is_http2()).then_some(upstream_permit);
        Self {
            permit: upstream_permit,
            ..self
        }
    }

    /// Whether it uses HTTP/2.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Whether it uses TLS.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls_host.is_some()
    }

    /// Sends a request. The error returns it if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<UpstreamBody>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Returns the connection to the pool as soon as this request is complete.
    pub(super) fn return_to_pool(self) {
        // The shared HTTP/2 connection never left the pool.
        let Sender::Http1(mut sender) = self.sender else {
            return;
        };
        let (origin_pool, tls_host, peer) = (self.origin_pool, self.tls_host, self.peer);
        if sender.is_ready() {
            origin_pool.keep_http1(tls_host, peer, sender);
            return;
        }
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                origin_pool.keep_http1(tls_host, peer, sender);
            }
        });
    }
}

impl Destination {
    /// Whether a connection to this address may be used: it may have been opened for a domain that
    /// may connect where this one may not.
    /// where this one may not.
    fn may_use(&self, peer: IpAddr) -> bool {
        self.private || is_public(peer)
    }
}

impl OriginPool {
    fn take_http2(&self, to: &Destination, streams_max: usize) -> Option<CheckedOut> {
        self.idle.lock().take_http2(to, streams_max)
    }

    fn take(&self, to: &Destination, http1_only: bool) -> Option<CheckedOut> {
        self.idle.lock().take(to, http1_only)
    }

    /// The origin's name has these addresses until then.
    fn resolved(&self, addresses: &[IpAddr], valid_until: Instant) {
        let (now, left) = (Instant::now(), self.stale_address_timeout);
        let mut kept = self.idle.lock();
        kept.addresses.answer(addresses, valid_until, left, now);
    }

    /// Whether its name should be resolved again.
    fn is_due(&self, now: Instant) -> bool {
        self.idle.lock().addresses.is_due(now)
    }

    fn keep_http2(
        &self,
        to: &Destination,
        peer: IpAddr,
        sender: http2::SendRequest<UpstreamBody>,
        streams: StreamCounter,
    ) {
        self.idle.lock().keep_http2(to, peer, sender, streams);
        self.returned.notify_waiters();
    }

    fn keep_http1(
        &self,
        tls_host: Option<Box<str>>,
        peer: IpAddr,
        sender: http1::SendRequest<UpstreamBody>,
    ) {
        let left = self.stale_address_timeout;
        self.idle.lock().keep_http1(tls_host, peer, sender, left);
        self.returned.notify_one();
    }
}
