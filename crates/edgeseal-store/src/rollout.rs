//! The progress of a rollout, derived only from the reports of edges.
//!
//! Terms: an edge *serves* a state if it reports that it has applied the commit and nothing in the
//! report contradicts that. The state is *proven* there if the report also contains a handshake
//! with the edge's own listener that showed it. A report that is too old proves nothing: its edge
//! may be gone.
//!
//! Everything here is pure. Ages are differences between the clock of the edge and that of the
//! reader, which must agree to within a minute. A report from the future counts as new.

use std::fmt;

use edgeseal_core::{DomainPattern, Timestamp, domain::Environment};

use crate::{
    Revision,
    record::{EdgeRecord, Proof},
};

/// Interval between reports of an edge with nothing new.
pub const HEARTBEAT_MS: i64 = 60_000;
/// An edge is silent once three heartbeats are missing: one may be late, and a second one lost
/// while the store restarts.
pub const SILENT_AFTER_MS: i64 = 3 * HEARTBEAT_MS;
/// The store may remove the last report of an edge after a day without another.
pub const REPORT_TTL_MS: i64 = 24 * 60 * HEARTBEAT_MS;

/// The group whose edges serve the staging environment.
pub const STAGING_GROUP: &str = "staging";

/// A state of a domain that edges must serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutTarget {
    /// The domain.
    pub domain: DomainPattern,
    /// The commit; later ones satisfy it too.
    pub revision: Revision,
    /// The newest state of the domain; `None` if the domain was deleted. Must be read after the
    /// reports; otherwise they may show a later state.
    pub latest: Option<LatestState>,
}

/// The newest state of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestState {
    /// The commit.
    pub revision: Revision,
    /// When the call that made it was received.
    pub changed: Timestamp,
    /// What a handshake must show.
    pub expected: ExpectedHandshake,
}

/// What a handshake should show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedHandshake {
    /// A rejection.
    Rejected,
    /// Each of these leaves, the primary certificate's first: SHA-256 in hex.
    Leaves(Vec<String>),
    /// Unknown.
    Unknown,
}

/// The state of an edge with regard to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeState {
    /// It serves the target.
    Serving,
    /// It has not applied the commit.
    Behind,
    /// It applied the commit, but a handshake did not show it.
    Unproven,
    /// It cannot use the newest record, and serves the last good state.
    Quarantined,
    /// Its report is too old.
    Silent,
}

/// Why an edge is not known to serve a target, or why that is not proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusReason<'a> {
    /// The last report is too old.
    Silent {
        /// Its age.
        age_ms: i64,
    },
    /// The record cannot be used.
    Quarantined {
        /// What is wrong with it, as the edge reports it.
        reason: &'a str,
    },
    /// The last commit that it applied is another one.
    Behind,
    /// More domains are quarantined than the report lists; this may be one of them.
    PossiblyQuarantined {
        /// How many are.
        total: u64,
    },
    /// A handshake did not show the target.
    Unproven {
        /// What it showed, as the edge reports it.
        reason: &'a str,
    },
    /// A handshake showed something that differs from the store.
    Mismatch,
    /// No handshake was reported: bulk changes are sampled, and reports contain the latest proofs
    /// only.
    NoProof,
}

/// The status of an edge with regard to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStatus<'a> {
    /// The state.
    pub state: EdgeState,
    /// The handshake that showed the target, or a later state of the domain.
    pub proof: Option<&'a Proof>,
    /// Whether there is nothing left to wait for: it is proven, or the domain was deleted and the
    /// edge has applied that. A handshake cannot prove a deletion.
    pub settled: bool,
    /// What is missing.
    pub reason: Option<StatusReason<'a>>,
}

impl EdgeRecord {
    /// Which certificates this edge serves.
    #[must_use]
    pub fn environment(&self) -> Environment {
        if self.group == STAGING_GROUP {
            Environment::Staging
        } else {
            Environment::Production
        }
    }

    /// Age of the report; zero if it is from the future.
    #[must_use]
    pub fn age_ms(&self, now: Timestamp) -> i64 {
        now.since_ms(self.at).max(0)
    }

    /// Whether the report is too old to conclude that the edge still runs.
    #[must_use]
    pub fn is_silent(&self, now: Timestamp) -> bool {
        self.age_ms(now) > SILENT_AFTER_MS
    }

    /// How many domains are quarantined.
    #[must_use]
    pub fn quarantined_count(&self) -> u64 {
        self.quarantined_total.max(self.quarantined.len() as u64)
    }

    /// The status of this edge with regard to `target`.
    #[must_use]
    pub fn status(&self, target: &RolloutTarget, now: Timestamp) -> RolloutStatus<'_> {
        let without = |state, why| RolloutStatus {
            state,
            proof: None,
            settled: false,
            reason: Some(why),
        };
        if self.is_silent(now) {
            let age_ms = self.age_ms(now);
            return without(EdgeState::Silent, StatusReason::Silent { age_ms });
        }
        let name = &target.domain;
        if let Some(held) = self.quarantined.iter().find(|held| held.domain == *name) {
            let reason = &held.reason;
            return without(EdgeState::Quarantined, StatusReason::Quarantined { reason });
        }
        let mut proofs = self.proofs.iter();
        let newer = |proof: &&Proof| {
            proof.domain == *name && proof.revision >= target.revision.0 && proof.revision > 0
        };
        if let Some(proof) = proofs.find(newer) {
            if !target.agrees(proof) {
                return without(EdgeState::Unproven, StatusReason::Mismatch);
            }
            return RolloutStatus {
                state: EdgeState::Serving,
                proof: Some(proof),
                settled: true,
                reason: None,
            };
        }
        let of_target = |revision: u64| revision >= target.revision.0;
        let mut unproven = self.unproven.iter();
        if let Some(unproven) = unproven.find(|one| one.domain == *name && of_target(one.revision))
        {
            let reason = &unproven.reason;
            return without(EdgeState::Unproven, StatusReason::Unproven { reason });
        }
        if !of_target(self.revision) {
            return without(EdgeState::Behind, StatusReason::Behind);
        }
        if self.may_be_quarantined(name) {
            let total = self.quarantined_count();
            return without(
                EdgeState::Behind,
                StatusReason::PossiblyQuarantined { total },
            );
        }
        let is_gone = target.latest.is_none();
        RolloutStatus {
            state: EdgeState::Serving,
            proof: None,
            settled: is_gone,
            reason: (!is_gone).then_some(StatusReason::NoProof),
        }
    }

    /// Whether a domain that the report does not list may be quarantined anyway: the report lists
    /// the first ones in order.
    fn may_be_quarantined(&self, name: &DomainPattern) -> bool {
        let named = self.quarantined.len() as u64;
        self.quarantined_total > named
            && self
                .quarantined
                .last()
                .is_none_or(|last| *name > last.domain)
    }
}

impl RolloutTarget {
    /// Whether a proof agrees with the store. A proof of a state that is not the newest can no
    /// longer be compared.
    fn agrees(&self, proof: &Proof) -> bool {
        let Some(newest) = &self.latest else {
            return true;
        };
        if proof.revision != newest.revision.0 {
            return true;
        }
        match &newest.expected {
            ExpectedHandshake::Unknown => true,
            ExpectedHandshake::Rejected => proof.sha256.is_none(),
            ExpectedHandshake::Leaves(leaves) => {
                proof.sha256.iter().chain(&proof.companion).eq(leaves)
            }
        }
    }
}

impl Proof {
    /// Time from the call that made the change to the handshake that showed it. Negative if the
    /// clocks disagree by more than that; `None` if the edge found the state instead of receiving
    /// it as a change.
    #[must_use]
    pub fn propagation_ms(&self) -> Option<i64> {
        Some(self.at.since_ms(self.changed_at?))
    }
}

impl fmt::Display for EdgeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serving => "serving",
            Self::Behind => "behind",
            Self::Unproven => "unproven",
            Self::Quarantined => "quarantined",
            Self::Silent => "silent",
        })
    }
}

#[cfg(test)]
mod tests;
