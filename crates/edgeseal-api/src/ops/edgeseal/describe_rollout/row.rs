//! The status of a domain at one edge.

use edgeseal_core::Timestamp;
use edgeseal_store::{
    record::EdgeRecord,
    rollout::{EdgeState, RolloutStatus, StatusReason},
};
use serde::Serialize;

/// The status of the domain at an edge.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EdgeRow {
    edge_id: String,
    group: String,
    pub(super) state: String,
    /// Whether the edge reports the commit or a later one, and no problem.
    pub(super) served: bool,
    /// Whether a handshake has proven it.
    pub(super) proven: bool,
    /// The last commit that the edge has applied.
    revision: u64,
    reported_at: String,
    report_age_ms: i64,
    /// SHA-256 of the leaf that the handshake showed; empty if the handshake was refused as
    /// expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// The same for the second certificate, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    companion_fingerprint: Option<String>,
    /// The commit of the state that the handshake showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_at: Option<String>,
    /// Time from the call that made the change until the handshake. Absent if the edge loaded the
    /// state instead of receiving the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) took_ms: Option<i64>,
    /// Whether the handshake seems to precede the call, because the two clocks differ; `TookMs` is
    /// then 0.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    clock_skew: bool,
    /// Why the state is not served or not proven.
    #[serde(rename = "Why", skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl EdgeRow {
    pub(super) fn of(
        edge: &EdgeRecord,
        standing: &RolloutStatus<'_>,
        is_operator: bool,
        now: Timestamp,
    ) -> Self {
        let proof = standing.proof;
        let took = proof.and_then(|proof| proof.propagation_ms());
        Self {
            edge_id: edge.id.clone(),
            group: edge.group.clone(),
            state: standing.state.to_string(),
            served: standing.state == EdgeState::Serving,
            proven: proof.is_some(),
            revision: edge.revision,
            reported_at: edge.at.to_string(),
            report_age_ms: edge.age_ms(now),
            fingerprint: proof.map(|proof| proof.sha256.clone().unwrap_or_default()),
            companion_fingerprint: proof.and_then(|proof| proof.companion.clone()),
            proven_revision: proof.map(|proof| proof.revision),
            proven_at: proof.map(|proof| proof.at.to_string()),
            took_ms: took.map(|ms| ms.max(0)),
            clock_skew: took.is_some_and(|ms| ms < 0),
            reason: standing
                .reason
                .as_ref()
                .map(|error| reason_text(error, is_operator)),
        }
    }
}

/// The reason as a sentence. An edge's own text may name resources of other accounts, so only the
/// operator gets it.
fn reason_text(reason: &StatusReason<'_>, is_operator: bool) -> String {
    let with = |text: &str, reason: &str| {
        if is_operator {
            format!("{text}: {reason}")
        } else {
            text.to_owned()
        }
    };
    match reason {
        StatusReason::Silent { age_ms } => format!(
            "no report for {} s: the edge may have stopped, and is not waited for",
            age_ms / 1000
        ),
        StatusReason::Quarantined { reason } => with(
            "the edge cannot use the newest record and serves the last good state",
            reason,
        ),
        StatusReason::Behind => "the edge has not reported this commit yet".to_owned(),
        StatusReason::PossiblyQuarantined { total } => {
            let text = "the edge has so many domains in quarantine that its report does not name \
                        all of them; call with Prefer: wait";
            with(text, &total.to_string())
        }
        StatusReason::Unproven { reason } => {
            with("a handshake with the edge did not show it", reason)
        }
        StatusReason::Mismatch => {
            "a handshake with the edge showed another state than the stored one".to_owned()
        }
        StatusReason::NoProof => {
            "no recent handshake has proven it; call with Prefer: wait".to_owned()
        }
    }
}
