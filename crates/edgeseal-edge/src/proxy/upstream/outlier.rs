//! Outlier detection: which origins are ejected for a while. A pure state machine, fed with the
//! outcomes of requests.
//!
//! [`failure_scope`] defines what a failure says, and about what. That an address cannot be
//! connected to applies to everyone. Everything else applies to one account and one TLS name only:
//! anyone who may add a domain can point it at another's origin, where it fails by itself.
//!
//! A destination that fails [`FAILURES_MAX`] times in a row, or does not respond within the whole
//! time limit, is ejected for [`FIRST_MS`], doubled up to [`LONGEST_MS`] with each failed probe. A
//! probe is the edge's own request, for a host that got a response before: no client's request
//! decides whether an origin recovers. If there is none, it is for the host whose request caused
//! the ejection and the host of the next client in turns: below a wildcard, clients can name hosts
//! that the origin does not serve, and neither an earlier nor a current client should decide alone.
//! A response to anyone resets the state. Ejection never refuses a request: when all others fail,
//! an ejected origin is tried anyway.

use std::{collections::HashMap, hash::Hash};

use http::{Version, uri::Authority};

use super::{UpstreamError, pool::Destination};

/// Consecutive failures that eject an origin.
const FAILURES_MAX: u32 = 3;
/// First ejection time.
const FIRST_MS: u64 = 2_000;
/// Maximum ejection time.
const LONGEST_MS: u64 = 60_000;
/// How long a probe may take, before another one may begin.
pub(super) const PROBE_TIMEOUT_MS: u64 = 10_000;
/// For this long after a response, an aborted request counts against the request, not the origin.
const LATELY_MS: u64 = 10_000;
/// A failure of an unused destination is forgotten after this time.
const FORGOTTEN_AFTER_MS: u64 = 10 * 60_000;
/// Interval at which old entries are removed.
const FORGET_EVERY_MS: u64 = 60_000;
/// Interval at which the host of the last response is recorded.
const NOTE_EVERY_MS: u64 = 1_000;
/// Maximum number of entries of each kind: 65,536 destinations of 200 bytes are 13 MB.
const KNOWN_MAX: usize = 65_536;

/// The recent outcomes of requests.
#[derive(Debug, Default)]
pub(super) struct OutlierDetector {
    /// By authority, separately for origins with and without access to private addresses: a name
    /// can have both.
    addresses: [Outliers<Box<str>>; 2],
    destinations: Outliers<Destination>,
    answered: HashMap<Destination, LastSuccess>,
    /// When `answered` was last swept.
    swept_ms: u64,
    /// When the failures were last swept.
    forgot_ms: u64,
}

/// Recent failures.
#[derive(Debug)]
struct Outliers<K>(HashMap<K, OutlierState>);

#[derive(Debug, Default)]
struct OutlierState {
    failures: u32,
    failed_ms: u64,
    ejected_until_ms: u64,
    /// Since when a probe runs.
    probe_started_ms: Option<u64>,
    trials: u32,
    /// Of the request that caused the ejection, as in [`LastSuccess`].
    host: Option<Authority>,
}

/// The last response of a destination.
#[derive(Debug)]
struct LastSuccess {
    at_ms: u64,
    /// The host that got the response. Only without TLS: with TLS the destination contains the
    /// host.
    host: Option<Authority>,
    noted_ms: u64,
    /// Whether it was an HTTP/1.0 response.
    http10: bool,
}

/// A failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: UpstreamError,
    /// Whether the TCP connection was established.
    pub(super) connected: bool,
    /// When the request was sent.
    pub(super) asked_ms: u64,
    /// Whether it was a probe.
    pub(super) is_probe: bool,
    /// Whether its time limit was shorter than usual.
    pub(super) cut_short: bool,
}

/// What a failure applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureScope {
    /// Only the domain, its client or the edge.
    None,
    /// Everyone who connects to the address.
    Address,
    /// The requests of one account for one TLS name.
    Destination {
        /// Whether one failure is enough.
        at_once: bool,
    },
}

/// What `failure` applies to, if the last response of the destination was at `answered_ms`.
const fn failure_scope(failure: Failure, answered_ms: Option<u64>, now_ms: u64) -> FailureScope {
    const COUNTED: FailureScope = FailureScope::Destination { at_once: false };
    match failure.reason {
        UpstreamError::Unreachable | UpstreamError::ConnectTimeout if !failure.connected => {
            FailureScope::Address
        }
        UpstreamError::Unreachable
        | UpstreamError::ConnectTimeout
        | UpstreamError::TlsUntrusted => COUNTED,
        UpstreamError::BadResponse => match answered_ms {
            // A request that the origin refuses to serve is the client's fault.
            Some(at) if !failure.is_probe && now_ms < at.saturating_add(LATELY_MS) => {
                FailureScope::None
            }
            _ => COUNTED,
        },
        UpstreamError::ResponseTimeout if failure.cut_short && !failure.is_probe => {
            FailureScope::None
        }
        UpstreamError::ResponseTimeout => match answered_ms {
            Some(at) if !failure.is_probe && at >= failure.asked_ms => FailureScope::None,
            _ => FailureScope::Destination { at_once: true },
        },
        // That an address is not allowed says nothing to accounts for which it is, and a reached
        // limit is not a failure.
        UpstreamError::NoOrigin
        | UpstreamError::AddressNotAllowed
        | UpstreamError::ConnectionLimit
        | UpstreamError::ClientTooSlow
        | UpstreamError::TooLarge
        | UpstreamError::ClientAborted
        | UpstreamError::LengthRequired => FailureScope::None,
    }
}

impl OutlierDetector {
    /// Whether there are no recent failures.
    pub(super) fn has_no_failures(&self) -> bool {
        self.addresses.iter().all(|ones| ones.0.is_empty()) && self.destinations.0.is_empty()
    }

    /// Periodically forgets old failures.
    pub(super) fn forget_old(&mut self, now_ms: u64) {
        if now_ms >= self.forgot_ms + FORGET_EVERY_MS {
            self.forgot_ms = now_ms;
            for addresses in &mut self.addresses {
                addresses.forget_old(now_ms);
            }
            self.destinations.forget_old(now_ms);
        }
    }

    /// Whether requests may go there.
    pub(super) fn is_available(&self, to: &Destination) -> bool {
        self.addresses(to).is_available(&to.authority) && self.destinations.is_available(to)
    }

    /// Whether it is ejected and should be probed now. Then this returns true once, until the probe
    /// has ended.
    pub(super) fn start_probe(&mut self, to: &Destination, now_ms: u64) -> bool {
        if self.is_available(to) {
            return false;
        }
        let address = self.addresses_mut(to).start_probe(&to.authority, now_ms);
        // Both: one probe decides about both.
        self.destinations.start_probe(to, now_ms) | address
    }

    /// The host for the probe that has begun, where the destination itself does not contain it.
    /// `None`: the next client's.
    pub(super) fn probe_host(&self, to: &Destination) -> Option<&Authority> {
        let answered = self.answered.get(to);
        let answered = answered.and_then(|answered| answered.host.as_ref());
        answered.or_else(|| {
            let state = self.destinations.0.get(to)?;
            state.host.as_ref().filter(|_| state.trials % 2 == 1)
        })
    }

    /// Whether its last response was HTTP/1.0, which has no chunked coding (RFC 9112 §6.1).
    pub(super) fn speaks_http10(&self, to: &Destination) -> bool {
        self.answered
            .get(to)
            .is_some_and(|answered| answered.http10)
    }

    /// It responded for `host`, in `version`. Returns whether this ends an ejection.
    pub(super) fn record_success(
        &mut self,
        to: &Destination,
        host: &Authority,
        version: Version,
        now_ms: u64,
    ) -> bool {
        self.note_answer(to, host, version, now_ms);
        if self.has_no_failures() {
            return false;
        }
        let address = self.addresses_mut(to).recover(&to.authority);
        self.destinations.recover(to) | address
    }

    /// A request for `host` failed. Returns the ejection time, if this ejects it.
    pub(super) fn failed(
        &mut self,
        to: &Destination,
        host: &Authority,
        failure: Failure,
        now_ms: u64,
    ) -> Option<u64> {
        let answered_ms = self.answered.get(to).map(|answered| answered.at_ms);
        let scope = failure_scope(failure, answered_ms, now_ms);
        if failure.connected && failure.is_probe {
            self.addresses_mut(to).recover(&to.authority);
        }
        match scope {
            FailureScope::None => None,
            FailureScope::Address => {
                let ones = self.addresses_mut(to);
                ones.failed(&to.authority, failure.is_probe, false, now_ms)
            }
            FailureScope::Destination { at_once } => {
                let out_ms = self
                    .destinations
                    .failed(to, failure.is_probe, at_once, now_ms)?;
                let state = self.destinations.0.get_mut(to);
                if let Some(state) = state.filter(|state| state.host.is_none())
                    && to.tls_host.is_none()
                {
                    state.host = copy(host);
                }
                Some(out_ms)
            }
        }
    }

    fn addresses(&self, to: &Destination) -> &Outliers<Box<str>> {
        &self.addresses[usize::from(to.private)]
    }

    fn addresses_mut(&mut self, to: &Destination) -> &mut Outliers<Box<str>> {
        &mut self.addresses[usize::from(to.private)]
    }

    fn note_answer(&mut self, to: &Destination, host: &Authority, version: Version, now_ms: u64) {
        let http10 = version <= Version::HTTP_10;
        if let Some(answered) = self.answered.get_mut(to) {
            answered.at_ms = now_ms;
            answered.http10 = http10;
            if now_ms >= answered.noted_ms + NOTE_EVERY_MS {
                answered.noted_ms = now_ms;
                if answered.host.as_ref().is_some_and(|known| known != host) {
                    answered.host = copy(host);
                }
            }
            return;
        }
        if self.answered.len() >= KNOWN_MAX {
            if now_ms < self.swept_ms + NOTE_EVERY_MS {
                return;
            }
            self.swept_ms = now_ms;
            self.answered
                .retain(|_, answered| now_ms < answered.at_ms + LATELY_MS);
            if self.answered.len() >= KNOWN_MAX {
                return;
            }
        }
        let host = if to.tls_host.is_none() {
            copy(host)
        } else {
            None
        };
        let answered = LastSuccess {
            at_ms: now_ms,
            host,
            noted_ms: now_ms,
            http10,
        };
        self.answered.insert(to.clone(), answered);
    }
}

/// A copy: a parsed value shares the buffer of all the headers.
fn copy(host: &Authority) -> Option<Authority> {
    Authority::try_from(host.as_str().as_bytes()).ok()
}

impl<K> Default for Outliers<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash> Outliers<K> {
    fn is_available(&self, key: &K) -> bool {
        self.0.get(key).is_none_or(|state| !state.is_ejected())
    }

    fn start_probe(&mut self, key: &K, now_ms: u64) -> bool {
        let Some(state) = self.0.get_mut(key) else {
            return false;
        };
        let running = state
            .probe_started_ms
            .is_some_and(|since| now_ms < since + PROBE_TIMEOUT_MS);
        if !state.is_ejected() || running || now_ms < state.ejected_until_ms {
            return false;
        }
        state.probe_started_ms = Some(now_ms);
        state.trials = state.trials.wrapping_add(1);
        true
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.0
            .retain(|_, state| now_ms < state.failed_ms + FORGOTTEN_AFTER_MS);
    }

    /// Returns whether it was ejected.
    fn recover(&mut self, key: &K) -> bool {
        self.0.remove(key).is_some_and(|state| state.is_ejected())
    }

    fn failed(&mut self, key: &K, is_probe: bool, at_once: bool, now_ms: u64) -> Option<u64> {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(key) {
            self.0.retain(|_, state| now_ms < state.ejected_until_ms);
            if self.0.len() >= KNOWN_MAX {
                return None;
            }
        }
        let state = self.0.entry(key.clone()).or_default();
        // Requests that went there anyway, or were in flight, say nothing new.
        if state.is_ejected() && !is_probe {
            return None;
        }
        state.failed_ms = now_ms;
        state.failures = state.failures.saturating_add(1);
        if at_once {
            state.failures = state.failures.max(FAILURES_MAX);
        }
        state.probe_started_ms = None;
        let over = state.failures.checked_sub(FAILURES_MAX)?;
        let out_ms = (FIRST_MS << over.min(16)).min(LONGEST_MS);
        state.ejected_until_ms = now_ms + out_ms;
        Some(out_ms)
    }
}

impl OutlierState {
    const fn is_ejected(&self) -> bool {
        self.failures >= FAILURES_MAX
    }
}

#[cfg(test)]
mod tests;
