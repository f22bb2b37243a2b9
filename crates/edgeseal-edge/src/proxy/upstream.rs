//! Upstream requests: which origin is tried, for how long, and when the next one is tried.
//!
//! # When a request is retried
//! - An origin that cannot be connected to has seen nothing: the next one is tried, whatever the
//!   method, as long as the whole body can still be sent.
//! - A pooled connection that ends before anything of the request was written: the same origin is
//!   tried again on a new one, under the same condition.
//! - An origin that reports over HTTP/2 that it has not processed the request (RFC 9113 §8.7) is
//!   tried again on a new connection, twice, and then the next one; under the same condition.
//! - An origin that received the request and closed the connection may have acted on it. Only a
//!   request with a safe method (RFC 9110 §9.2.1) and without a body is retried: at the same origin
//!   if the connection was a pooled one, which origins close when they like, otherwise at the next.
//! - An HTTP/1.0 origin gets no chunked body: the next one is tried if the body has no length in
//!   time.
//! - An origin that received the request and does not respond has had its time. A request with a
//!   safe method and without a body is sent to the next one; all of them together have
//!   [`HEAD_TIMEOUT_FACTOR`] times as long as one. An origin that gets only the rest of that time
//!   is not counted as failed for it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use http::{
    HeaderMap, Method, Response,
    uri::{Authority, PathAndQuery},
};
use hyper::body::Incoming;
use parking_lot::Mutex;
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

/// Which origin ports use which protocol; all others use plaintext HTTP/1.1.
#[derive(Debug)]
pub(super) struct OriginProtocolPorts {
    /// TLS, with HTTP/2 or HTTP/1.1.
    pub(super) tls: Box<[u16]>,
    /// Plaintext HTTP/2, with prior knowledge (RFC 9113 §3.3).
    pub(super) h2c: Box<[u16]>,
}

/// Time limit for several unresponsive origins together, as a multiple of the limit of one: a
/// client waits for one that does not respond and for one that is slow. Connecting has its own time
/// limit.
const HEAD_TIMEOUT_FACTOR: u32 = 2;

/// The headers of a request, the same for each origin that is tried.
#[derive(Debug)]
pub(super) struct UpstreamRequestHead {
    /// The source of the client, as limits count it.
    pub(super) source: IpAddr,
    pub(super) method: Method,
    /// Host and port that the request is for.
    pub(super) authority: Authority,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    /// Whether it is an upgrade request, which is for HTTP/1.1 only.
    pub(super) upgrade: bool,
    /// Whether the client accepts trailers.
    pub(super) trailers: bool,
    /// Whether its body may pause for long, if the origin uses HTTP/2 as well.
    pub(super) is_grpc: bool,
}

/// The response headers, and what is held until its end.
#[derive(Debug)]
pub(super) struct UpstreamResponse {
    pub(super) response: Response<Incoming>,
    /// `None` over HTTP/2, where many requests share a connection.
    pub(super) permit: Option<UpstreamPermit>,
    /// `None` over HTTP/1.1.
    pub(super) stream: Option<StreamGuard>,
}

/// Why no origin responded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamError {
    /// The domain has none.
    NoOrigin,
    /// Its name does not resolve, or it refuses connections.
    Unreachable,
    /// Its address is not allowed.
    AddressNotAllowed,
    /// Its certificate is not valid for the requested host.
    TlsUntrusted,
    /// No connection in time.
    ConnectTimeout,
    /// All connections allowed to it are in use, and none became free in time.
    ConnectionLimit,
    /// It received the request and did not respond in time.
    ResponseTimeout,
    /// The client did not send the rest of its body.
    ClientTooSlow,
    /// It closed the connection, or its response was not valid HTTP.
    BadResponse,
    /// The client's body is longer than allowed.
    TooLarge,
    /// The client disconnected in the middle of its body.
    ClientAborted,
    /// It uses HTTP/1.0, and the client's body has no length and is too long to be buffered first.
    LengthRequired,
}

impl Upstream {
    /// Must be called on the runtime. Each origin gets at most `connections_max` connections.
    pub(super) fn new(
        timeouts: Timeouts,
        tls: OriginTls,
        ports: OriginProtocolPorts,
        rules: ConnectPolicy,
        connections_max: usize,
    ) -> Self {
        let resolver = Resolver::new(rules.dns);
        Self {
            pool: Pool::new(
                Connector::new(tls, resolver, rules),
                timeouts,
                connections_max,
            ),
            timeouts,
            ports,
            health: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    pub(super) const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The first response. Ejected origins are tried after all others.
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
                "trying next origin"
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
        let mut health = self.health.lock();
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
                let known = health.probe_host(&to);
                let host = probe_host(&to, known, asked);
                tokio::spawn(Arc::clone(self).probe_ejected(to, host));
            }
        }
        order
    }

    /// Sends the edge's own request to an ejected origin.
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
        // On a new connection, to find out whether one can be opened.
        let answer = self.attempt(&to, &head, &request_body, (true, wait), &mut trace);
        let answer = answer.await;
        self.record_outcome(&to, &head.authority, &answer, true);
    }

    fn record_outcome(
        &self,
        to: &Destination,
        host: &Authority,
        met: &Result<UpstreamResponse, AttemptError>,
        is_probe: bool,
    ) {
        let now_ms = self.ms_of(Instant::now());
        let mut health = self.health.lock();
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
                    is_probe,
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

    fn ms_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The host for a probe of an origin: the one that its certificate must be valid for; otherwise
/// what is `known`, see [`OutlierDetector::probe_host`].
fn probe_host(to: &Destination, known: Option<&Authority>, asked: &Authority) -> Authority {
    let tls_host = to.tls_host.as_ref().and_then(|host| host.parse().ok());
    tls_host
        .or_else(|| known.cloned())
        .unwrap_or_else(|| asked.clone())
}

impl UpstreamError {
    /// The label of the metric.
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
