//! Connections to origins, kept and bounded.
//!
//! HTTP/1.1 connections are in the pool while nobody uses them; one HTTP/2 connection to a
//! destination is shared by all. To one origin there are never more connections than allowed,
//! whatever hosts it is asked for: who finds all of them in use waits.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

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
    super::body::Lent,
    dial::{Dial, NotConnected},
};

/// The connections to all origins.
#[derive(Debug)]
pub(super) struct Pool {
    dial: Dial,
    patience: Duration,
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
}

/// A connection to send one request on.
#[derive(Debug)]
pub(super) struct Line {
    sender: Sender,
    /// Whether it was used before: the origin may be about to close it.
    pub(super) reused: bool,
    tls_host: Option<Box<str>>,
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
    returned: Notify,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// In order of their return.
    http1: Vec<Idle<http1::SendRequest<Lent>>>,
    http2: Vec<Idle<http2::SendRequest<Lent>>>,
}

#[derive(Debug)]
struct Idle<S> {
    tls_host: Option<Box<str>>,
    sender: S,
    since: Instant,
}

/// An idle connection is closed after this long. Below the shortest keep-alive that is usual among
/// origins would be best (5 s), but a request without a body survives a stale connection anyway.
const IDLE_MAX: Duration = Duration::from_secs(30);
const SWEEP_EVERY: Duration = Duration::from_secs(10);

impl Pool {
    /// An empty pool. Must be called on the runtime: what is idle for too long is closed by a task.
    pub(super) fn new(dial: Dial, patience: Duration, connections_max: usize) -> Arc<Self> {
        let pool = Arc::new(Self {
            dial,
            patience,
            connections_max: connections_max.clamp(1, Semaphore::MAX_PERMITS),
            origins: Mutex::default(),
        });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// A connection to `to`: a kept one, or a new one. With `fresh` always a new one.
    pub(super) async fn line(
        &self,
        to: &Destination,
        http1_only: bool,
        fresh: bool,
    ) -> Result<Line, NotConnected> {
        let lines = self.lines(&to.authority);
        if !fresh && let Some(sender) = lines.take(to.tls_host.as_deref(), http1_only) {
            return Ok(Line {
                sender,
                reused: true,
                tls_host: to.tls_host.clone(),
                lines,
            });
        }
        // Rare, and large: on the heap, so that the many requests that take a kept connection do not
        // carry the room for it about.
        Box::pin(self.wait_or_dial(lines, to, http1_only, fresh)).await
    }

    /// A connection that comes free, or a new one as soon as it is allowed.
    async fn wait_or_dial(
        &self,
        lines: Arc<Lines>,
        to: &Destination,
        http1_only: bool,
        fresh: bool,
    ) -> Result<Line, NotConnected> {
        let line = |sender, reused| Line {
            sender,
            reused,
            tls_host: to.tls_host.clone(),
            lines: Arc::clone(&lines),
        };
        let deadline = Instant::now() + self.patience;
        let permit = loop {
            // Asked for before looking, so that what comes back in between is not missed.
            let mut returned = pin!(lines.returned.notified());
            returned.as_mut().enable();
            if !fresh && let Some(sender) = lines.take(to.tls_host.as_deref(), http1_only) {
                return Ok(line(sender, true));
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
        let sender = timeout(self.patience, connecting)
            .await
            .map_err(|_| NotConnected::TimedOut)??;
        if let Sender::Http2(sender) = &sender {
            lines.keep_http2(to.tls_host.clone(), sender.clone());
        }
        Ok(line(sender, false))
    }

    fn lines(&self, authority: &str) -> Arc<Lines> {
        let mut origins = lock(&self.origins);
        if let Some(lines) = origins.get(authority) {
            return Arc::clone(lines);
        }
        let lines = Arc::new(Lines {
            permits: Arc::new(Semaphore::new(self.connections_max)),
            returned: Notify::new(),
            kept: Mutex::default(),
        });
        origins.insert(authority.into(), Arc::clone(&lines));
        lines
    }

    fn sweep(&self, now: Instant) {
        lock(&self.origins).retain(|_, lines| {
            let nothing_kept = lines.sweep(now);
            let unused = lines.permits.available_permits() == self.connections_max;
            !(nothing_kept && unused && Arc::strong_count(lines) == 1)
        });
    }
}

async fn sweep(pool: Weak<Pool>) {
    let mut every = interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep(Instant::now());
    }
}

impl Line {
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

    /// Keeps the connection for the next request as soon as this one is through.
    pub(super) fn give_back(self) {
        // The shared HTTP/2 connection never left the pool.
        let Sender::Http1(mut sender) = self.sender else {
            return;
        };
        let (lines, tls_host) = (self.lines, self.tls_host);
        if sender.is_ready() {
            lines.keep_http1(tls_host, sender);
            return;
        }
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                lines.keep_http1(tls_host, sender);
            }
        });
    }
}

impl Lines {
    fn take(&self, tls_host: Option<&str>, http1_only: bool) -> Option<Sender> {
        let mut kept = lock(&self.kept);
        let Kept { http1, http2 } = &mut *kept;
        http2.retain(|one| !one.sender.is_closed());
        if !http1_only
            && let Some(one) = http2
                .iter_mut()
                .find(|one| one.tls_host.as_deref() == tls_host && one.sender.is_ready())
        {
            one.since = Instant::now();
            return Some(Sender::Http2(one.sender.clone()));
        }
        // The one that came back last is the least likely to be stale.
        while let Some(last) = http1
            .iter()
            .rposition(|one| one.tls_host.as_deref() == tls_host)
        {
            let idle = http1.remove(last);
            if idle.sender.is_ready() && idle.since.elapsed() < IDLE_MAX {
                return Some(Sender::Http1(idle.sender));
            }
        }
        None
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

    fn keep_http1(&self, tls_host: Option<Box<str>>, sender: http1::SendRequest<Lent>) {
        lock(&self.kept).http1.push(Idle {
            tls_host,
            sender,
            since: Instant::now(),
        });
        self.returned.notify_one();
    }

    fn keep_http2(&self, tls_host: Option<Box<str>>, sender: http2::SendRequest<Lent>) {
        let mut kept = lock(&self.kept);
        if kept.http2.iter().all(|one| one.tls_host != tls_host) {
            kept.http2.push(Idle {
                tls_host,
                sender,
                since: Instant::now(),
            });
        }
        drop(kept);
        self.returned.notify_waiters();
    }

    /// Closes what is idle for too long. Whether nothing is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut kept = lock(&self.kept);
        let Kept { http1, http2 } = &mut *kept;
        http1.retain(|one| one.sender.is_ready() && now - one.since < IDLE_MAX);
        http2.retain(|one| !one.sender.is_closed() && now - one.since < IDLE_MAX);
        http1.is_empty() && http2.is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
