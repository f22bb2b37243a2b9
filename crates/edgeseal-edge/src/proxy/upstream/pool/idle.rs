//! The idle and shared connections to one origin.

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

/// The connections of one origin that can be used again.
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

/// An HTTP/2 connection, for requests of one account: none waits for data that another account
/// leaves unread.
#[derive(Debug)]
struct SharedConnection {
    account: u64,
    idle: Idle<http2::SendRequest<UpstreamBody>>,
    streams: StreamCounter,
}

/// A sender, its address, and its stream if it is shared.
pub(super) type CheckedOut = (Sender, IpAddr, Option<StreamGuard>);

/// An idle connection is closed after this long. Below the shortest usual keep-alive of origins
/// would be best (5 s), but a request without a body survives a stale connection anyway.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl IdleConnections {
    /// The first of those with fewer streams than `streams_max`: with less load the others become
    /// idle.
    pub(super) fn take_http2(
        &mut self,
        to: &Destination,
        streams_max: usize,
    ) -> Option<CheckedOut> {
        // An evicted one may take some time to end.
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
        // The one returned last is the least likely to be stale.
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

    /// Closes the longest idle HTTP/1.1 connection: its permit is needed. HTTP/2 connections are
    /// counted with those in use, and were evicted before.
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

    /// Shares it with other requests, unless another one is shared already.
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

    /// Closes connections that were idle for too long, or whose address is no longer in the DNS
    /// response. Returns whether nothing is left.
    pub(super) fn sweep(&mut self, left: Duration, now: Instant) -> bool {
        let Self {
            addresses,
            http1,
            http2,
        } = self;
        let is_fresh = |peer, since| now - since < IDLE_MAX && addresses.has(peer, left, now);
        http1.retain(|one| one.sender.is_ready() && is_fresh(one.peer, one.since));
        // One with open streams ends after the last of them.
        http2.retain(|SharedConnection { idle, .. }| {
            !idle.sender.is_closed() && is_fresh(idle.peer, idle.since)
        });
        http1.is_empty() && http2.is_empty()
    }
}
