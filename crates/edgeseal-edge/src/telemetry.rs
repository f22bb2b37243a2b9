//! The edge's metrics: their names, and the fixed sets that their labels come from.

use std::sync::OnceLock;

use metrics::{Counter, counter, gauge, histogram};

use crate::select::NoCertificate;

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeResult {
    /// It was completed.
    Completed,
    /// There is no certificate for it, see [`RejectReason`].
    Refused,
    /// The ClientHello or the rest did not arrive in time.
    TimedOut,
    /// The client disconnected, or used no TLS that is served.
    Failed,
    /// The edge was overloaded.
    Shed,
}

/// Why a connection, handshake or stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shed {
    /// Too many connections, and no source holds more than its own.
    #[error("there are too many connections")]
    Connections,
    /// Too many connections from one source.
    #[error("its source has too many connections")]
    ConnectionsPerSource,
    /// Too many handshakes.
    #[error("too many handshakes are in progress")]
    Handshakes,
    /// Too many handshakes from one source.
    #[error("its source has too many handshakes in progress")]
    HandshakesPerSource,
    /// Too many streams, and no source holds more than its own.
    #[error("there are too many streams")]
    Streams,
    /// Too many streams from one source.
    #[error("its source has too many streams")]
    StreamsPerSource,
    /// Too many long request headers, and no source holds more than its own.
    #[error("there are too many long request headers")]
    LargeHeaders,
    /// Too many long request headers from one source.
    #[error("its source sends too many long request headers")]
    LargeHeadersPerSource,
    /// Handshakes are queued for too long.
    #[error("handshakes are queued for too long")]
    Delay,
    /// Memory use is above the limit.
    #[error("memory use is above the limit")]
    Memory,
    /// The PROXY protocol header is missing, invalid or from an untrusted peer.
    #[error("no valid PROXY protocol header from a trusted proxy")]
    ProxyHeader,
}

pub(crate) fn shed(reason: Shed) {
    let reason = match reason {
        Shed::Connections => "connections",
        Shed::ConnectionsPerSource => "connections_per_source",
        Shed::Handshakes => "handshakes",
        Shed::HandshakesPerSource => "handshakes_per_source",
        Shed::Streams => "streams",
        Shed::StreamsPerSource => "streams_per_source",
        Shed::LargeHeaders => "large_headers",
        Shed::LargeHeadersPerSource => "large_headers_per_source",
        Shed::Delay => "delay",
        Shed::Memory => "memory",
        Shed::ProxyHeader => "proxy_header",
    };
    counter!("edgeseal_shed_total", "reason" => reason).increment(1);
}

/// The exhausted resource for which a connection is evicted: its source holds most of it, or the
/// connection was idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// Connections.
    Connection,
    /// Handshakes.
    Handshake,
    /// Streams.
    Stream,
    /// Long request headers.
    LargeHeader,
    /// Connections or handshakes, and no source holds most: it was idle for longest.
    Idle,
    /// Memory.
    Memory,
    /// Connections to an origin. What ends is a request, tunnel or HTTP/2 connection to it.
    OriginConnection,
}

pub(crate) fn evicted(reason: Eviction) {
    let reason = match reason {
        Eviction::Connection => "connections",
        Eviction::Handshake => "handshakes",
        Eviction::Stream => "streams",
        Eviction::LargeHeader => "large_headers",
        Eviction::Idle => "idle",
        Eviction::Memory => "memory",
        Eviction::OriginConnection => "origin_connections",
    };
    counter!("edgeseal_connections_evicted_total", "reason" => reason).increment(1);
}

/// Counts a connection that could not be accepted: no file descriptors, or another error.
pub(crate) fn accept_failure(for_want_of_descriptors: bool) {
    let reason = if for_want_of_descriptors {
        "descriptors"
    } else {
        "other"
    };
    counter!("edgeseal_accept_failures_total", "reason" => reason).increment(1);
}

pub(crate) fn memory_pressure(short: bool) {
    gauge!("edgeseal_memory_pressure").set(f64::from(u8::from(short)));
}

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectReason {
    /// No certificate was selected.
    NoCertificate(NoCertificate),
    /// The bound certificate's key cannot be opened.
    KeyUnusable,
}

pub(crate) fn handshake(result: HandshakeResult) {
    let result = match result {
        HandshakeResult::Completed => "completed",
        HandshakeResult::Refused => "refused",
        HandshakeResult::TimedOut => "timed_out",
        HandshakeResult::Failed => "failed",
        HandshakeResult::Shed => "shed",
    };
    counter!("edgeseal_handshakes_total", "result" => result).increment(1);
}

/// Counts a completed handshake, full or resumed.
pub(crate) fn session(resumed: bool) {
    let kind = if resumed { "resumed" } else { "full" };
    counter!("edgeseal_tls_sessions_total", "kind" => kind).increment(1);
}

/// The key that seals session tickets: its age, and whether all edges have it.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn ticket_key(age_ms: i64, shared: bool) {
    gauge!("edgeseal_ticket_key_age_seconds").set(age_ms as f64 / 1000.0);
    gauge!("edgeseal_ticket_key_shared").set(f64::from(u8::from(shared)));
}

pub(crate) fn handshake_rejected(reason: RejectReason) {
    let reason = match reason {
        RejectReason::NoCertificate(NoCertificate::NoSni) => "no_sni",
        RejectReason::NoCertificate(NoCertificate::UnknownName) => "unknown_name",
        RejectReason::NoCertificate(NoCertificate::Stopped) => "stopped",
        RejectReason::NoCertificate(NoCertificate::HttpsOff) => "https_off",
        RejectReason::KeyUnusable => "key_unusable",
    };
    counter!("edgeseal_tls_refusals_total", "reason" => reason).increment(1);
}

/// A type of ACME challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChallengeType {
    /// A page (RFC 8555 §8.3).
    Http01,
    /// A certificate (RFC 8737).
    TlsAlpn01,
}

/// Whether a challenge of a domain was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChallengeOutcome {
    /// In memory.
    Held,
    /// In the store.
    LookedUp,
    /// Nowhere.
    Unknown,
    /// Not looked up: there are too many lookups.
    TooMany,
    /// Not looked up: the store failed.
    StoreFailed,
}

/// Counts a request for a challenge of a domain.
pub(crate) fn challenge_answer(kind: ChallengeType, outcome: ChallengeOutcome) {
    let kind = match kind {
        ChallengeType::Http01 => "http-01",
        ChallengeType::TlsAlpn01 => "tls-alpn-01",
    };
    let outcome = match outcome {
        ChallengeOutcome::Held => "held",
        ChallengeOutcome::LookedUp => "looked_up",
        ChallengeOutcome::Unknown => "unknown",
        ChallengeOutcome::TooMany => "too_many",
        ChallengeOutcome::StoreFailed => "store_failed",
    };
    counter!("edgeseal_acme_answers_total", "type" => kind, "outcome" => outcome).increment(1);
}

/// The number of challenges in memory.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn challenges(held: usize) {
    gauge!("edgeseal_acme_challenges").set(held as f64);
}

/// Counts an attempt at an origin that returned no response; `reason` is one of a fixed set.
pub(crate) fn origin_failure(reason: &'static str) {
    counter!("edgeseal_origin_failures_total", "reason" => reason).increment(1);
}

/// Counts responses to clients by class. Each counter is looked up once: this runs for every
/// request.
#[derive(Default)]
pub(crate) struct Responses([OnceLock<Counter>; 5]);

impl Responses {
    pub(crate) fn count(&self, status: http::StatusCode) {
        const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let counter = self.0[class]
            .get_or_init(|| counter!("edgeseal_proxy_requests_total", "class" => CLASSES[class]));
        counter.increment(1);
    }
}

impl std::fmt::Debug for Responses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responses").finish_non_exhaustive()
    }
}

/// Counts lines of the access log that were not written; `reason` is one of a fixed set.
pub(crate) fn access_log_lost(reason: &'static str, lines: u64) {
    counter!("edgeseal_access_log_lost_total", "reason" => reason).increment(lines);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn revision_applied(revision: u64, domains: usize) {
    gauge!("edgeseal_edge_revision").set(revision as f64);
    gauge!("edgeseal_edge_domains").set(domains as f64);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn quarantined(domains: usize) {
    gauge!("edgeseal_quarantined_domains").set(domains as f64);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn unproven(domains: usize) {
    gauge!("edgeseal_unproven_domains").set(domains as f64);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn key_cache_size(keys: usize) {
    gauge!("edgeseal_key_cache_size").set(keys as f64);
}

pub(crate) fn key_cache(hit: bool) {
    if hit {
        counter!("edgeseal_key_cache_hits_total").increment(1);
    } else {
        counter!("edgeseal_key_cache_misses_total").increment(1);
    }
}

pub(crate) fn proof(matches: bool) {
    let result = if matches { "match" } else { "mismatch" };
    counter!("edgeseal_proofs_total", "result" => result).increment(1);
}

/// Time from a change until a handshake showed it; `None`: it was not received as a change. A
/// negative time means that clocks disagree: it is counted, and recorded as zero.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of less than 285,000 years are exact"
)]
pub(crate) fn proof_latency(ms: Option<i64>) {
    let Some(ms) = ms else { return };
    if ms < 0 {
        counter!("edgeseal_proof_clock_skew_total").increment(1);
    }
    histogram!("edgeseal_proof_seconds").record(ms.max(0) as f64 / 1000.0);
}

pub(crate) fn replica_failure() {
    counter!("edgeseal_replica_failures_total").increment(1);
}

/// One open connection; counted until dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(());

impl OpenConnection {
    pub(crate) fn new() -> Self {
        gauge!("edgeseal_connections").increment(1.0);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        gauge!("edgeseal_connections").decrement(1.0);
    }
}
