//! The edge's metrics: their names, and the fixed sets that their labels come from.

use std::sync::OnceLock;

use metrics::{Counter, counter, gauge, histogram};

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

/// Answers to visitors by class. Each counter is looked up once: this is on every request's way.
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

/// Lines of the access log that were not written; `reason` is one of a fixed set.
pub(crate) fn access_log_lost(reason: &'static str, lines: u64) {
    counter!("edgeseal_access_log_lost_total", "reason" => reason).increment(lines);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn served(revision: u64, domains: usize) {
    gauge!("edgeseal_edge_revision").set(revision as f64);
    gauge!("edgeseal_edge_domains").set(domains as f64);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn quarantined(domains: usize) {
    gauge!("edgeseal_quarantined").set(domains as f64);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are f64; exact below 2^53"
)]
pub(crate) fn unproved(domains: usize) {
    gauge!("edgeseal_unproved_domains").set(domains as f64);
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

/// How long a change took until a handshake showed it; `None`: it was not heard of as a change. A
/// time below zero says that clocks disagree: it is counted, and taken for zero.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of less than 285,000 years are exact"
)]
pub(crate) fn proof_took(ms: Option<i64>) {
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
