//! How far a change has come: what follows from the reports of edges, and no more than that.
//!
//! Terms: an edge *serves* a state if it says that it has followed the commit and nothing it says
//! speaks against it. The state is *proved* there if the report also holds a handshake with the
//! edge's own listener that showed it. A report that is too old proves nothing: who wrote it may be
//! gone.
//!
//! Everything here is pure. Ages are differences between two clocks, that of the edge and that of
//! whoever asks: they are to be right to within a minute. A report from the future counts as new.

use std::fmt;

use edgeseal_core::{DomainPattern, Timestamp, domain::Environment};

use crate::{
    Revision,
    record::{EdgeRecord, Proof},
};

/// Between two reports of an edge that has nothing new to say.
pub const HEARTBEAT_MS: i64 = 60_000;
/// An edge is silent once three heartbeats are missing: one may be late, a second one lost to a
/// store that is restarted.
pub const SILENT_AFTER_MS: i64 = 3 * HEARTBEAT_MS;
/// What an edge said last may be forgotten after a day without another word.
pub const REPORT_TTL_MS: i64 = 24 * 60 * HEARTBEAT_MS;

/// The group whose edges serve staged certificates.
pub const STAGING_GROUP: &str = "staging";

/// A state of a domain that edges are to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutTarget {
    /// The domain.
    pub domain: DomainPattern,
    /// The commit; later ones are as good.
    pub revision: Revision,
    /// The newest state of the domain; `None` if the domain is gone. Must have been read after the
    /// reports: else they may show a later one.
    pub latest: Option<LatestState>,
}

/// The newest state of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestState {
    /// The commit.
    pub revision: Revision,
    /// When the call came that made it.
    pub changed: Timestamp,
    /// What a handshake must show.
    pub expected: ExpectedHandshake,
}

/// What a handshake shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedHandshake {
    /// A refusal.
    Rejected,
    /// Each of these leaves, the first certificate's first: SHA-256 in hex.
    Leaves(Vec<String>),
    /// It cannot be said.
    Unknown,
}

/// What an edge is to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeState {
    /// It serves it.
    Serving,
    /// It has not come that far.
    Behind,
    /// It followed, but a handshake did not show it.
    Unproved,
    /// It cannot use the newest record, and serves the last good state.
    Quarantined,
    /// Its report is too old.
    Silent,
}

/// Why an edge is not known to serve a target, or why that is not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusReason<'a> {
    /// The last report is so old.
    Silent {
        /// Its age.
        age_ms: i64,
    },
    /// The record cannot be used.
    Quarantined {
        /// What is wrong with it, in the words of the edge.
        reason: &'a str,
    },
    /// Another commit is the last that it followed.
    Behind,
    /// So many domains are quarantined that the report does not name all of them; this may be one.
    PossiblyQuarantined {
        /// How many are.
        total: u64,
    },
    /// A handshake did not show it.
    Unproved {
        /// What was seen, in the words of the edge.
        reason: &'a str,
    },
    /// A handshake showed something that the store does not say.
    Mismatch,
    /// No handshake was reported: a sample is read in bulk, and reports keep the latest proofs only.
    NoProof,
}

/// How an edge stands to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStatus<'a> {
    /// In a word.
    pub state: EdgeState,
    /// The handshake that shows the target, or a later state of the domain.
    pub proof: Option<&'a Proof>,
    /// Whether nothing is left to wait for: it is proved, or the domain is gone and the edge has
    /// followed that. What is gone cannot be read from a handshake.
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

    /// Age of the report; none if it is from the future.
    #[must_use]
    pub fn age_ms(&self, now: Timestamp) -> i64 {
        now.since_ms(self.at).max(0)
    }

    /// Whether the report is too old to believe that the edge still runs.
    #[must_use]
    pub fn is_silent(&self, now: Timestamp) -> bool {
        self.age_ms(now) > SILENT_AFTER_MS
    }

    /// How many domains are quarantined.
    #[must_use]
    pub fn quarantined_count(&self) -> u64 {
        self.quarantined_total.max(self.quarantined.len() as u64)
    }

    /// How this edge stands to `target`.
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
                return without(EdgeState::Unproved, StatusReason::Mismatch);
            }
            return RolloutStatus {
                state: EdgeState::Serving,
                proof: Some(proof),
                settled: true,
                reason: None,
            };
        }
        let of_target = |revision: u64| revision >= target.revision.0;
        let mut unproved = self.unproved.iter();
        if let Some(unproved) = unproved.find(|one| one.domain == *name && of_target(one.revision))
        {
            let reason = &unproved.reason;
            return without(EdgeState::Unproved, StatusReason::Unproved { reason });
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

    /// Whether the domain, which the report does not name as quarantined, may be all the same: the
    /// ones that are named are the first in order.
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
    /// Whether a proof says what the store says. A proof of a state that is not the newest cannot be
    /// compared any more.
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
    /// From the call that made the change until the handshake that showed it. Negative if the two
    /// clocks disagree by more than that; `None` if the edge found the state rather than being told
    /// of it.
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
            Self::Unproved => "unproved",
            Self::Quarantined => "quarantined",
            Self::Silent => "silent",
        })
    }
}

#[cfg(test)]
mod tests;
