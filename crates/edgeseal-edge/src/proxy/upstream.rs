//! The origins' side: which origin is asked, for how long, and whether another one after it.
//!
//! # When a request is sent again
//! - An origin that cannot be connected to has seen nothing: the next one is asked, with whatever
//!   method, as long as the whole body can still be sent.
//! - A kept connection that ends before anything of the request was written: the same origin is
//!   asked again on a new one, under the same condition.
//! - An origin that says over HTTP/2 that it has not looked at the request (RFC 9113 §8.7) is asked
//!   again on a new connection, twice, and then the next one; under the same condition.
//! - An origin that took the request and broke off may have acted on it. Only what is safe (RFC 9110
//!   §9.2.1) and has no body is asked again: of the same origin if the connection was a kept one,
//!   which origins close when they like, else of the next.
//! - An origin of HTTP/1.0 gets no body in chunks: the next one is asked if it has no length in time.
//! - An origin that took the request and is silent was given its time. What is safe and has no body is
//!   asked of the next one; all of them together have [`HEAD_TIMEOUT_FACTOR`] times as long as one. Which origin gets
//!   only the rest of it is not thought silent for that.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, Method, Response,
    uri::{Authority, PathAndQuery},
};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{Timeouts, access::UpstreamTiming, body::ReplayableBody, headers};
use crate::{
    served_domain::{Origin, Origins},
    tls::OriginTls,
};

mod addresses;
mod attempt;
mod connect;
mod early_response;
mod limiter;
mod outlier;
mod pool;
mod resolve;

pub(super) use connect::ConnectPolicy;

use attempt::{AttemptError, is_retryable, is_safe_without_body};
use connect::Connector;
pub(super) use limiter::{StreamGuard, UpstreamPermit};
use outlier::{Failure, OutlierDetector, PROBE_TIMEOUT_MS};
use pool::{Destination, Pool};
use resolve::Resolver;

/// Sends requests to origins.
#[derive(Debug)]
pub(super) struct Upstream {
    pool: Arc<Pool>,
    timeouts: Timeouts,
    ports: OriginProtocolPorts,
    health: Mutex<OutlierDetector>,
    epoch: Instant,
}

/// Which ports of origins speak what; all others speak HTTP/1.1 in the clear.
#[derive(Debug)]
pub(super) struct OriginProtocolPorts {
    /// TLS, and HTTP/2 or HTTP/1.1 in it.
    pub(super) tls: Box<[u16]>,
    /// HTTP/2 in the clear, with prior knowledge (RFC 9113 §3.3).
    pub(super) h2c: Box<[u16]>,
}

/// What origins that are silent one after another get, in times of what one gets: a client waits for
/// one that is silent and for one that is slow. To connect does not count, which has a time of its own.
const HEAD_TIMEOUT_FACTOR: u32 = 2;

/// The head of a request, the same for each origin that is tried.
#[derive(Debug)]
pub(super) struct UpstreamRequestHead {
    /// Where the client comes from, as limits count it.
    pub(super) source: IpAddr,
    pub(super) method: Method,
    /// Host and port that the origin is asked for.
    pub(super) authority: Authority,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    /// Whether the protocol is to be changed, which is for HTTP/1.1 only.
    pub(super) upgrade: bool,
    /// Whether the client takes trailers.
    pub(super) trailers: bool,
    /// Whether its body may be silent for long, where the origin speaks HTTP/2 as well.
    pub(super) is_grpc: bool,
}

/// The head of an answer, and what it holds until its end.
#[derive(Debug)]
pub(super) struct UpstreamResponse {
    pub(super) response: Response<Incoming>,
    /// `None` over HTTP/2, where many share a connection.
    pub(super) permit: Option<UpstreamPermit>,
    /// `None` over HTTP/1.1.
    pub(super) stream: Option<StreamGuard>,
}

/// Why no origin answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamError {
    /// The domain has none.
    NoOrigin,
    /// Its name does not resolve, or it refuses connections.
    Unreachable,
    /// It is at an address that it may not have.
    AddressNotAllowed,
    /// In TLS it does not prove to be the host that it is asked for.
    TlsUntrusted,
    /// No connection in time.
    ConnectTimeout,
    /// All connections that are allowed to it are in use, and none came free in time.
    ConnectionLimit,
    /// It took the request and did not answer in time.
    ResponseTimeout,
    /// The client did not send the rest of its body.
    ClientTooSlow,
    /// It broke off, or what it said was no HTTP.
    BadResponse,
    /// The client's body is longer than allowed.
    TooLarge,
    /// The client broke off in the middle of its body.
    ClientAborted,
    /// It speaks HTTP/1.0, and the client's body has no length and is too long to be counted first.
    LengthRequired,
}

impl Upstream {
    /// Must be called on the runtime. To one origin there are at most `connections_max`
    /// connections.
    pub(super) fn new(
        patience: Timeouts,
        tls: OriginTls,
        ports: OriginProtocolPorts,
        rules: ConnectPolicy,
        connections_max: usize,
    ) -> Self {
        let resolver = Resolver::new(rules.dns);
        Self {
            pool: Pool::new(
                Connector::new(tls, resolver, rules),
                patience,
                connections_max,
            ),
            timeouts: patience,
            ports,
            health: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    pub(super) const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The head of the first answer. Those that failed lately are asked after all others.
    pub(super) async fn send(
        self: &Arc<Self>,
        head: &UpstreamRequestHead,
        request_body: &Arc<ReplayableBody>,
        origins: &Origins,
        trace: &mut UpstreamTiming,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let mut last = UpstreamError::NoOrigin;
        let mut left = self.timeouts.header * HEAD_TIMEOUT_FACTOR;
        for origin in self.order(origins, &head.authority) {
            let to = self.destination(origins, origin, &head.authority);
            let answer = self
                .send_to(&to, head, request_body, &mut left, trace)
                .await;
            self.record_outcome(&to, &head.authority, &answer, false);
            let failed = match answer {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let goes_on = request_body.is_replayable()
                && (failed.not_processed
                    || is_retryable(head, request_body, &failed)
                    || (failed.reason == UpstreamError::ResponseTimeout
                        && is_safe_without_body(head, request_body)));
            if !goes_on || (request_body.is_empty() && left.is_zero()) {
                return Err(failed.reason);
            }
            tracing::warn!(
                origin = %origin.authority,
                reason = ?failed.reason,
                "an origin is passed over"
            );
            last = failed.reason;
        }
        Err(last)
    }

    fn order<'a>(self: &Arc<Self>, origins: &'a Origins, asked: &Authority) -> Vec<&'a Origin> {
        // Where there is no choice, the request itself finds out.
        if !origins.has_multiple() {
            return origins.ordered(|_| true);
        }
        let now_ms = self.ms_of(Instant::now());
        let mut health = self.lock();
        health.forget_old(now_ms);
        if health.has_no_failures() {
            drop(health);
            return origins.ordered(|_| true);
        }
        let destination = |origin: &Origin| self.destination(origins, origin, asked);
        let order = origins.ordered(|origin| health.is_available(&destination(origin)));
        for origin in &order {
            let to = destination(origin);
            if health.start_probe(&to, now_ms) {
                let known = health.trial_host(&to);
                let host = probe_host(&to, known, asked);
                tokio::spawn(Arc::clone(self).probe_ejected(to, host));
            }
        }
        order
    }

    /// Asks an origin that is out, in the edge's own name.
    async fn probe_ejected(self: Arc<Self>, to: Destination, host: Authority) {
        let Some(headers) = headers::probe_request_headers(&host) else {
            return;
        };
        let head = UpstreamRequestHead {
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            method: Method::HEAD,
            authority: host,
            target: PathAndQuery::from_static("/"),
            headers,
            upgrade: false,
            trailers: false,
            is_grpc: false,
        };
        let wait = self
            .timeouts
            .header
            .min(Duration::from_millis(PROBE_TIMEOUT_MS));
        let (request_body, mut trace) =
            (Arc::new(ReplayableBody::empty()), UpstreamTiming::default());
        // On a new connection: whether there can be one is to be found out as well.
        let answer = self.attempt(&to, &head, &request_body, (true, wait), &mut trace);
        let answer = answer.await;
        self.record_outcome(&to, &head.authority, &answer, true);
    }

    fn record_outcome(
        &self,
        to: &Destination,
        host: &Authority,
        met: &Result<UpstreamResponse, AttemptError>,
        trial: bool,
    ) {
        let now_ms = self.ms_of(Instant::now());
        let mut health = self.lock();
        match met {
            Ok(answer) => {
                if health.record_success(to, host, answer.response.version(), now_ms) {
                    drop(health);
                    tracing::info!(origin = %to.authority, "origin recovered");
                }
            }
            Err(failed) => {
                let failure = Failure {
                    reason: failed.reason,
                    connected: failed.connected,
                    asked_ms: self.ms_of(failed.sent_at),
                    is_probe: trial,
                    cut_short: failed.cut_short,
                };
                if let Some(ejected_ms) = health.failed(to, host, failure, now_ms) {
                    drop(health);
                    let (origin, account) = (&to.authority, to.account_id);
                    tracing::warn!(%origin, account, ejected_ms, reason = ?failed.reason, "origin ejected");
                }
            }
        }
    }

    fn destination(&self, origins: &Origins, origin: &Origin, asked: &Authority) -> Destination {
        let h2c = self.ports.h2c.contains(&origin.port);
        let tls_host = self.ports.tls.contains(&origin.port).then(|| {
            let host = asked.host().trim_end_matches('.');
            host.to_ascii_lowercase().into_boxed_str()
        });
        Destination {
            account_id: origins.account(),
            authority: origin.authority.clone(),
            h2c: h2c && tls_host.is_none(),
            tls_host,
            private: origins.allows_private(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutlierDetector> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ms_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The host that an origin is tried with: the one that it must prove to be; else what is `known` of it, see
/// [`Health::trial_host`].
fn probe_host(to: &Destination, known: Option<&Authority>, asked: &Authority) -> Authority {
    let tls_host = to.tls_host.as_ref().and_then(|host| host.parse().ok());
    tls_host
        .or_else(|| known.cloned())
        .unwrap_or_else(|| asked.clone())
}

impl UpstreamError {
    /// The metric's label.
    const fn label(self) -> &'static str {
        match self {
            Self::NoOrigin => "no_origin",
            Self::Unreachable => "unreachable",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::TlsUntrusted => "tls_untrusted",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectionLimit => "connection_limit",
            Self::ResponseTimeout => "response_timeout",
            Self::ClientTooSlow => "client_too_slow",
            Self::BadResponse => "bad_response",
            Self::TooLarge => "too_large",
            Self::ClientAborted => "client_aborted",
            Self::LengthRequired => "length_required",
        }
    }
}
