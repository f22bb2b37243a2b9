//! The status of all edges, for the operator.

use edgeseal_core::Timestamp;
use edgeseal_store::{Revision, record::EdgeRecord, rollout::EdgeState};
use serde::Serialize;

/// Most quarantined domains, and most unproven domains, that a response names.
const NAMED_MAX: usize = 100;

/// The status of all edges.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Fleet {
    live_edges: usize,
    silent_edges: usize,
    /// Quarantined domains, summed over edges: a domain counts once for each edge.
    quarantined: u64,
    unproven: u64,
    edges: Vec<Row>,
    /// Some of the quarantined domains.
    quarantined_domains: Vec<DomainProblem>,
    /// Some of the unproven domains.
    unproven_domains: Vec<DomainProblem>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    edge_id: String,
    group: String,
    env: &'static str,
    state: String,
    revision: u64,
    reported_at: String,
    report_age_ms: i64,
    domains: u64,
    quarantined: u64,
    unproven: u64,
}

/// A domain with a problem at an edge.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DomainProblem {
    edge_id: String,
    group: String,
    domain_name: String,
    #[serde(rename = "Why")]
    reason: String,
}

impl Fleet {
    /// The status according to the edges' reports, compared with a commit if one is given.
    pub(super) fn of(
        edges: Vec<EdgeRecord>,
        min_revision: Option<Revision>,
        now: Timestamp,
    ) -> Self {
        let silent = edges.iter().filter(|edge| edge.is_silent(now)).count();
        let quarantined = edges.iter().flat_map(|edge| {
            let named = edge.quarantined.iter();
            named.map(|one| DomainProblem::of(edge, one.domain.to_string(), &one.reason))
        });
        let unproven = edges.iter().flat_map(|edge| {
            let named = edge.unproven.iter();
            named.map(|one| DomainProblem::of(edge, one.domain.to_string(), &one.reason))
        });
        Self {
            live_edges: edges.len() - silent,
            silent_edges: silent,
            quarantined: edges.iter().map(EdgeRecord::quarantined_count).sum(),
            unproven: edges.iter().map(|edge| edge.unproven_total).sum(),
            quarantined_domains: quarantined.take(NAMED_MAX).collect(),
            unproven_domains: unproven.take(NAMED_MAX).collect(),
            edges: edges
                .iter()
                .map(|edge| Row::of(edge, state(edge, min_revision, now), now))
                .collect(),
        }
    }
}

/// The worst status of an edge.
fn state(edge: &EdgeRecord, asked: Option<Revision>, now: Timestamp) -> EdgeState {
    if edge.is_silent(now) {
        EdgeState::Silent
    } else if asked.is_some_and(|asked| edge.revision < asked.0) {
        EdgeState::Behind
    } else if edge.quarantined_count() > 0 {
        EdgeState::Quarantined
    } else if edge.unproven_total > 0 {
        EdgeState::Unproven
    } else {
        EdgeState::Serving
    }
}

impl Row {
    fn of(edge: &EdgeRecord, state: EdgeState, now: Timestamp) -> Self {
        Self {
            edge_id: edge.id.clone(),
            group: edge.group.clone(),
            env: edge.environment().as_str(),
            state: state.to_string(),
            revision: edge.revision,
            reported_at: edge.at.to_string(),
            report_age_ms: edge.age_ms(now),
            domains: edge.domains,
            quarantined: edge.quarantined_count(),
            unproven: edge.unproven_total,
        }
    }
}

impl DomainProblem {
    fn of(edge: &EdgeRecord, domain_name: String, reason: &str) -> Self {
        Self {
            edge_id: edge.id.clone(),
            group: edge.group.clone(),
            domain_name,
            reason: reason.to_owned(),
        }
    }
}
