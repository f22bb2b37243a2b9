//! Reports of edges.

use edgeseal_core::{DomainPattern, Timestamp, alarm::DiskUse};
use serde::{Deserialize, Serialize};

/// The report of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRecord {
    /// Its name.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Every change up to this revision is applied.
    pub revision: u64,
    /// Every change of a challenge up to this revision is applied; 0 in reports of releases that
    /// answer none.
    #[serde(default)]
    pub challenge_revision: u64,
    /// When it reported.
    pub at: Timestamp,
    /// The number of domains that it serves.
    pub domains: u64,
    /// Records that it cannot use and for which it serves the last good state: the first ones in
    /// order of their names.
    pub quarantined: Vec<Quarantined>,
    /// The total number of them; 0 in reports of releases that listed all.
    #[serde(default)]
    pub quarantined_total: u64,
    /// Domains for which a handshake showed something unexpected, or nothing: the first ones in
    /// order of their names.
    #[serde(default)]
    pub unproven: Vec<Unproven>,
    /// The total number of them.
    #[serde(default)]
    pub unproven_total: u64,
    /// Leaves that it read from real handshakes with its own listener, latest first. Not all of
    /// them: a report is limited in size, and bulk changes are sampled.
    pub proofs: Vec<Proof>,
    /// The disk of its data directory, if it could be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskUse>,
}

impl EdgeRecord {
    /// The report of an edge that has not applied anything yet.
    #[must_use]
    pub fn new(group: &str, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            group: group.to_owned(),
            revision: 0,
            challenge_revision: 0,
            at: Timestamp::default(),
            domains: 0,
            quarantined: Vec::new(),
            quarantined_total: 0,
            unproven: Vec::new(),
            unproven_total: 0,
            proofs: Vec::new(),
            disk: None,
        }
    }
}

/// A record that an edge cannot use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The domain.
    pub domain: DomainPattern,
    /// Why.
    #[serde(rename = "why")]
    pub reason: String,
}

/// A domain for which a handshake with the edge's own listener did not show the expected state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    /// The domain.
    pub domain: DomainPattern,
    /// What the handshake showed instead.
    #[serde(rename = "why")]
    pub reason: String,
    /// The commit of the expected state.
    pub revision: u64,
    /// When it was first not shown, by the edge's clock.
    pub since: Timestamp,
}

/// A leaf read from a real handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The domain.
    pub domain: DomainPattern,
    /// SHA-256 of the leaf in hex, or `None` if the handshake was rejected, as it must be while
    /// HTTPS is off.
    pub sha256: Option<String>,
    /// SHA-256 in hex of the leaf served to clients of the other key algorithm, if a domain has two
    /// certificates. `sha256` is then that of the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<String>,
    /// The commit of the state that was shown; 0 in reports of releases that did not write it.
    #[serde(default)]
    pub revision: u64,
    /// When it was read, by the edge's clock.
    #[serde(default)]
    pub at: Timestamp,
    /// When the call that made the change was received, by the API's clock; absent if the edge did
    /// not receive this state as a change but found it, for example at start.
    #[serde(rename = "changed", default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}
