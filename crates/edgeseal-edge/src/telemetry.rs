//! The edge's metrics: their names, and the fixed sets that their labels come from.

use metrics::{counter, gauge};

use crate::select::NoCertificate;

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// It was completed.
    Completed,
    /// No certificate answers, see [`Refusal`].
    Refused,
    /// The ClientHello or the rest did not come in time.
    TimedOut,
    /// The client broke off, or spoke no TLS that is served.
    Failed,
    /// There was too much to do.
    Shed,
}

/// Why something new is not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shed {
    /// Too many connections from one source.
    #[error("its source has too many connections")]
    ConnectionsOfSource,
    /// Too many handshakes.
    #[error("too many handshakes are under way")]
    Handshakes,
    /// Too many handshakes from one source.
    #[error("its source has too many handshakes under way")]
    HandshakesOfSource,
    /// Handshakes have to wait for too long.
    #[error("handshakes have to wait for too long")]
    Delay,
    /// Memory is short.
    #[error("memory is short")]
    Memory,
    /// It does not say whom it is for, or may not.
    #[error("no load balancer speaks for it")]
    ProxyHeader,
}

pub(crate) fn shed(why: Shed) {
    let reason = match why {
        Shed::ConnectionsOfSource => "connections_of_source",
        Shed::Handshakes => "handshakes",
        Shed::HandshakesOfSource => "handshakes_of_source",
        Shed::Delay => "delay",
        Shed::Memory => "memory",
        Shed::ProxyHeader => "proxy_header",
    };
    counter!("edgeseal_shed_total", "reason" => reason).increment(1);
}

/// A connection that could not be accepted: for want of file descriptors or otherwise.
pub(crate) fn accept_failure(for_want_of_descriptors: bool) {
    let reason = if for_want_of_descriptors {
        "descriptors"
    } else {
        "other"
    };
    counter!("edgeseal_accept_failures_total", "reason" => reason).increment(1);
}

pub(crate) fn memory_is_short(short: bool) {
    gauge!("edgeseal_memory_short").set(f64::from(u8::from(short)));
}

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// By selection.
    NoCertificate(NoCertificate),
    /// The bound certificate's key cannot be opened.
    KeyUnusable,
}

pub(crate) fn handshake(result: Handshake) {
    let result = match result {
        Handshake::Completed => "completed",
        Handshake::Refused => "refused",
        Handshake::TimedOut => "timed_out",
        Handshake::Failed => "failed",
        Handshake::Shed => "shed",
    };
    counter!("edgeseal_handshakes_total", "result" => result).increment(1);
}

pub(crate) fn refusal(reason: Refusal) {
    let reason = match reason {
        Refusal::NoCertificate(NoCertificate::NoSni) => "no_sni",
        Refusal::NoCertificate(NoCertificate::UnknownName) => "unknown_name",
        Refusal::NoCertificate(NoCertificate::Stopped) => "stopped",
        Refusal::NoCertificate(NoCertificate::HttpsOff) => "https_off",
        Refusal::KeyUnusable => "key_unusable",
    };
    counter!("edgeseal_tls_refusals_total", "reason" => reason).increment(1);
}

/// A try of an origin that brought no answer; `reason` is one of a fixed set.
pub(crate) fn origin_failure(reason: &'static str) {
    counter!("edgeseal_origin_failures_total", "reason" => reason).increment(1);
}

pub(crate) fn response(status: http::StatusCode) {
    let class = match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    counter!("edgeseal_proxy_requests_total", "class" => class).increment(1);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn served(revision: u64, domains: usize, quarantined: usize) {
    gauge!("edgeseal_edge_revision").set(revision as f64);
    gauge!("edgeseal_edge_domains").set(domains as f64);
    gauge!("edgeseal_quarantined").set(quarantined as f64);
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

pub(crate) fn proof(agrees: bool) {
    let result = if agrees { "agrees" } else { "disagrees" };
    counter!("edgeseal_proofs_total", "result" => result).increment(1);
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
