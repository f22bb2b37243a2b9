//! The connections to one origin that are kept for the next request.

use std::{net::IpAddr, time::Duration};

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::{
    super::{
        super::body::UpstreamBody,
        addresses::Addresses,
        connect::STREAMS_MAX,
        limiter::{StreamCounter, StreamGuard},
    },
    Destination, Sender,
};

/// The connections of one origin that may be used again.
#[derive(Debug, Default)]
pub(super) struct IdleConnections {
    pub(super) addresses: Addresses,
    /// In order of their return.
    http1: Vec<Idle<http1::SendRequest<UpstreamBody>>>,
    http2: Vec<SharedConnection>,
}

#[derive(Debug)]
struct Idle<S> {
    tls_host: Option<Box<str>>,
    peer: IpAddr,
    sender: S,
    since: Instant,
}

/// A connection of HTTP/2, for requests of one account: none waits for what another account leaves
/// unread.
#[derive(Debug)]
struct SharedConnection {
    account: u64,
    idle: Idle<http2::SendRequest<UpstreamBody>>,
    streams: StreamCounter,
}

/// A sender, where it leads to, and its stream if it is shared.
pub(super) type CheckedOut = (Sender, IpAddr, Option<StreamGuard>);

/// An idle connection is closed after this long. Below the shortest keep-alive that is usual among
/// origins would be best (5 s), but a request without a body survives a stale connection anyway.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl IdleConnections {
    /// Of those with fewer streams than `streams_max` the first: when there is less to do the others
    /// become idle.
    pub(super) fn take_http2(
        &mut self,
        to: &Destination,
        streams_max: usize,
    ) -> Option<CheckedOut> {
        // One that is to end for another may take some time to.
        let ends = |one: &SharedConnection| one.idle.sender.is_closed() || one.streams.is_evicted();
        self.http2.retain(|one| !ends(one));
        let mut able = self.http2.iter_mut().filter(|one| {
            one.account == to.account_id
                && one.idle.tls_host == to.tls_host
                && to.may_use(one.idle.peer)
                && one.idle.sender.is_ready()
        });
        let one = if streams_max == usize::MAX {
            able.min_by_key(|one| one.streams.open())?
        } else {
            able.find(|one| one.streams.open() < streams_max)?
        };
        one.idle.since = Instant::now();
        let sender = Sender::Http2(one.idle.sender.clone());
        Some((sender, one.idle.peer, Some(one.streams.open_stream())))
    }

    pub(super) fn take(&mut self, to: &Destination, http1_only: bool) -> Option<CheckedOut> {
        if !http1_only && let Some(shared) = self.take_http2(to, STREAMS_MAX) {
            return Some(shared);
        }
        let http1 = &mut self.http1;
        // The one that came back last is the least likely to be stale.
        while let Some(last) = http1
            .iter()
            .rposition(|one| one.tls_host == to.tls_host && to.may_use(one.peer))
        {
            let idle = http1.remove(last);
            if idle.sender.is_ready() && idle.since.elapsed() < IDLE_MAX {
                return Some((Sender::Http1(idle.sender), idle.peer, None));
            }
        }
        None
    }

    /// Closes the connection of HTTP/1.1 that was idle for longest: its permit is needed. Those of HTTP/2
    /// are counted with those in use, and were asked to give way before.
    pub(super) fn evict(&mut self) {
        if !self.http1.is_empty() {
            self.http1.remove(0);
        }
    }

    pub(super) fn keep_http1(
        &mut self,
        tls_host: Option<Box<str>>,
        peer: IpAddr,
        sender: http1::SendRequest<UpstreamBody>,
        left: Duration,
    ) {
        let since = Instant::now();
        if self.addresses.has(peer, left, since) {
            self.http1.push(Idle {
                tls_host,
                peer,
                sender,
                since,
            });
        }
    }

    /// Keeps it for others as well, unless there is another one for them.
    pub(super) fn keep_http2(
        &mut self,
        to: &Destination,
        peer: IpAddr,
        sender: http2::SendRequest<UpstreamBody>,
        streams: StreamCounter,
    ) {
        let is_for_others = |one: &SharedConnection| {
            one.account == to.account_id
                && one.idle.tls_host == to.tls_host
                && one.idle.peer == peer
                && one.streams.open() < STREAMS_MAX
        };
        if !self.http2.iter().any(is_for_others) {
            let idle = Idle {
                tls_host: to.tls_host.clone(),
                peer,
                sender,
                since: Instant::now(),
            };
            self.http2.push(SharedConnection {
                account: to.account_id,
                idle,
                streams,
            });
        }
    }

    /// Closes what is idle for too long, or leads where the name does not any more. Whether nothing is left.
    pub(super) fn sweep(&mut self, left: Duration, now: Instant) -> bool {
        let Self {
            addresses,
            http1,
            http2,
        } = self;
        let is_fresh = |peer, since| now - since < IDLE_MAX && addresses.has(peer, left, now);
        http1.retain(|one| one.sender.is_ready() && is_fresh(one.peer, one.since));
        // One that streams are open on ends after the last of them.
        http2.retain(|SharedConnection { idle, .. }| {
            !idle.sender.is_closed() && is_fresh(idle.peer, idle.since)
        });
        http1.is_empty() && http2.is_empty()
    }
}
