use super::*;
use crate::record::{Quarantined, Unproven, decode};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const LEAF: &str = "aa";

fn name(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

fn edge(revision: u64) -> EdgeRecord {
    EdgeRecord {
        revision,
        at: NOW,
        domains: 1,
        ..EdgeRecord::new("default", "e1")
    }
}

fn proof(revision: u64, sha256: Option<&str>) -> Proof {
    Proof {
        domain: name("a.com"),
        sha256: sha256.map(str::to_owned),
        companion: None,
        revision,
        at: NOW,
        changed_at: Some(NOW.plus_ms(-40)),
    }
}

fn target(revision: u64, newest: u64) -> RolloutTarget {
    RolloutTarget {
        domain: name("a.com"),
        revision: Revision(revision),
        latest: Some(LatestState {
            revision: Revision(newest),
            changed: NOW,
            expected: ExpectedHandshake::Leaves(vec![LEAF.to_owned()]),
        }),
    }
}

fn quarantined(domain: &str) -> Quarantined {
    Quarantined {
        domain: name(domain),
        reason: "broken".to_owned(),
    }
}

/// The state, whether it is proven, and why not.
fn status<'a>(
    edge: &'a EdgeRecord,
    target: &RolloutTarget,
    later_ms: i64,
) -> (EdgeState, bool, Option<StatusReason<'a>>) {
    let standing = edge.status(target, NOW.plus_ms(later_ms));
    assert!(standing.proof.is_none() || standing.settled);
    (standing.state, standing.settled, standing.reason)
}

#[test]
fn only_a_handshake_proves() {
    let mut edge = edge(9);
    let behind = (EdgeState::Behind, false, Some(StatusReason::Behind));
    let followed = (EdgeState::Serving, false, Some(StatusReason::NoProof));
    let proven = (EdgeState::Serving, true, None);
    assert_eq!(status(&edge, &target(10, 10), 0), behind);
    edge.revision = 10;
    assert_eq!(status(&edge, &target(10, 10), 0), followed);
    for (seen, sha256, expected) in [
        (9, Some(LEAF), followed.clone()), // for an older state
        (0, Some(LEAF), followed.clone()), // from a release without the revision
        (10, Some(LEAF), proven.clone()),
        (11, Some("zz"), proven.clone()), // for a later state, which is not compared
    ] {
        edge.proofs = vec![proof(seen, sha256)];
        assert_eq!(
            status(&edge, &target(10, 10), 0),
            expected,
            "{seen} {sha256:?}"
        );
    }
    // A domain's proof says nothing about another domain.
    edge.proofs[0].domain = name("b.com");
    assert_eq!(status(&edge, &target(10, 10), 0), followed);
    // A proof counts even if other domains hold the edge's revision back.
    edge.revision = 3;
    edge.proofs = vec![proof(10, Some(LEAF))];
    assert_eq!(status(&edge, &target(10, 10), 0), proven);
    // The target was replaced: a proof for its replacement, or for any state in between, counts
    // too.
    edge.proofs = vec![proof(11, Some("zz"))];
    assert_eq!(status(&edge, &target(10, 12), 0), proven);
    assert_eq!(status(&edge, &target(12, 12), 0), behind);
}

#[test]
fn a_proof_of_something_else_is_none() {
    let mut edge = edge(10);
    let other = (EdgeState::Unproven, false, Some(StatusReason::Mismatch));
    for sha256 in [Some("zz"), None] {
        edge.proofs = vec![proof(10, sha256)];
        assert_eq!(status(&edge, &target(10, 10), 0), other);
    }
    let mut off = target(10, 10);
    off.latest.as_mut().unwrap().expected = ExpectedHandshake::Rejected;
    assert!(
        status(&edge, &off, 0).1,
        "the handshake is rejected, as expected"
    );
    edge.proofs = vec![proof(10, Some(LEAF))];
    assert_eq!(status(&edge, &off, 0), other);
    off.latest.as_mut().unwrap().expected = ExpectedHandshake::Unknown;
    assert!(status(&edge, &off, 0).1);
}

#[test]
fn both_of_two_certificates_are_proven_or_nothing_is() {
    let mut edge = edge(10);
    let mut two = target(10, 10);
    let leaves = vec![LEAF.to_owned(), "cc".to_owned()];
    two.latest.as_mut().unwrap().expected = ExpectedHandshake::Leaves(leaves);
    for (sha256, companion, expected) in [
        (Some(LEAF), Some("cc"), true),
        (Some(LEAF), None, false),
        (Some("cc"), None, false),
        (Some("cc"), Some(LEAF), false),
        (Some(LEAF), Some("zz"), false),
        (None, None, false),
    ] {
        edge.proofs = vec![Proof {
            companion: companion.map(str::to_owned),
            ..proof(10, sha256)
        }];
        let proven = status(&edge, &two, 0).1;
        assert_eq!(proven, expected, "{sha256:?} {companion:?}");
    }
    // A companion different from the store's is not a proof either.
    edge.proofs[0] = Proof {
        companion: Some("cc".to_owned()),
        ..proof(10, Some(LEAF))
    };
    assert!(!status(&edge, &target(10, 10), 0).1);
}

#[test]
fn silence_proves_nothing() {
    let mut edge = edge(10);
    edge.proofs = vec![proof(10, Some(LEAF))];
    assert!(status(&edge, &target(10, 10), SILENT_AFTER_MS).1);
    let age_ms = SILENT_AFTER_MS + 1;
    let silent = (
        EdgeState::Silent,
        false,
        Some(StatusReason::Silent { age_ms }),
    );
    assert_eq!(status(&edge, &target(10, 10), age_ms), silent);
    // The edge's clock is ahead.
    assert!(status(&edge, &target(10, 10), -10 * SILENT_AFTER_MS).1);
}

#[test]
fn quarantine_and_failed_proofs_are_told() {
    let mut edge = edge(10);
    edge.quarantined = vec![quarantined("a.com")];
    let held = StatusReason::Quarantined { reason: "broken" };
    let held = (EdgeState::Quarantined, false, Some(held));
    assert_eq!(status(&edge, &target(10, 10), 0), held);
    assert_eq!(
        edge.quarantined_count(),
        1,
        "from a release without a total"
    );

    edge.quarantined.clear();
    let unproven = Unproven {
        domain: name("a.com"),
        reason: "the alert internal_error".to_owned(),
        revision: 10,
        since: NOW,
    };
    let reason = "the alert internal_error";
    edge.unproven = vec![unproven];
    let failed = StatusReason::Unproven { reason };
    let failed = (EdgeState::Unproven, false, Some(failed));
    assert_eq!(status(&edge, &target(10, 10), 0), failed);
    assert_eq!(status(&edge, &target(11, 11), 0).0, EdgeState::Behind);
    edge.proofs = vec![proof(10, Some(LEAF))];
    assert!(
        status(&edge, &target(10, 10), 0).1,
        "the proof counts despite the failure"
    );
}

/// The report names 2 of 5: a domain that sorts after these may be one of the other 3.
#[test]
fn domains_beyond_a_truncated_list_are_not_assumed_healthy() {
    let mut edge = edge(10);
    edge.quarantined_total = 5;
    for (named, expected) in [
        (["b.com", "c.com"], EdgeState::Serving),
        (["0.com", "1.com"], EdgeState::Behind),
    ] {
        edge.quarantined = named.map(quarantined).to_vec();
        assert_eq!(status(&edge, &target(10, 10), 0).0, expected, "{named:?}");
    }
    let why = status(&edge, &target(10, 10), 0).2;
    assert_eq!(why, Some(StatusReason::PossiblyQuarantined { total: 5 }));
    edge.proofs = vec![proof(10, Some(LEAF))];
    assert!(status(&edge, &target(10, 10), 0).1);
}

#[test]
fn deleted_domains_settle_without_a_proof() {
    let edge = edge(10);
    let mut gone = target(10, 10);
    gone.latest = None;
    assert_eq!(status(&edge, &gone, 0), (EdgeState::Serving, true, None));
    gone.revision = Revision(11);
    assert_eq!(status(&edge, &gone, 0).0, EdgeState::Behind);
}

#[test]
fn clocks_that_disagree_are_seen() {
    assert_eq!(proof(10, None).propagation_ms(), Some(40));
    let mut proof = proof(10, None);
    proof.changed_at = Some(NOW.plus_ms(5000));
    assert_eq!(proof.propagation_ms(), Some(-5000));
    proof.changed_at = None;
    assert_eq!(proof.propagation_ms(), None);
}

#[test]
fn reports_of_the_release_before_read() {
    let old = r#"{"v":1,"id":"e","group":"staging","revision":7,"at":1800000000000,"domains":1,
        "quarantined":[],"proofs":[{"domain":"a.com","sha256":"aa"}]}"#;
    let edge: EdgeRecord = decode(old.as_bytes()).unwrap();
    assert_eq!(edge.environment(), Environment::Staging);
    let look = status(&edge, &target(7, 7), 0);
    assert_eq!(
        look,
        (EdgeState::Serving, false, Some(StatusReason::NoProof))
    );
}
