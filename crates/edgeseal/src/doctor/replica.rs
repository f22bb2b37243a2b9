//! Checks whether the edge could serve from its replica, and whether the replica is complete.

use std::time::Duration;

use edgeseal_edge::{Edge, ReplicaError, ReplicaReport};
use edgeseal_store::Keyring;
use tokio::time::sleep;

use super::{RESTORE, Report, expected::ExpectedState};
use crate::{config::Config, node::context::edge_directory};

const REBUILD_REPLICA: &str =
    "stop Edgeseal and remove the files of the replica: it is rebuilt from the store";

/// Whether there is a replica.
pub(super) fn exists(config: &Config) -> bool {
    Edge::has_replica(&edge_directory(config))
}

/// Checks the replica, `alone` or while an edge writes it, and compares it with the bindings in the
/// store, if they are known.
pub(super) async fn examine(
    config: &Config,
    keyring: &Keyring,
    (alone, bound): (bool, Option<&ExpectedState>),
    report: &mut Report,
) {
    if !exists(config) && bound.is_some_and(|bound| !bound.domains.is_empty()) {
        let what = "there is no replica: without the store the edge would serve nothing".to_owned();
        if alone {
            report.warning(what, "have Edgeseal run once with its store");
        } else {
            report.problem(what, "restart Edgeseal with its store");
        }
    }
    let Some(found) = read_replica(config, keyring, alone, report) else {
        return;
    };
    report.checked(format!("{} domains in the edge's replica", found.domains));
    if !found.complete {
        report.problem(
            "the edge's replica is not complete: without the store the edge would serve what is in it".to_owned(),
            "have Edgeseal run once with its store",
        );
    }
    for (name, why) in &found.unusable {
        report.problem(format!("replica, {name}: {why}"), REBUILD_REPLICA);
    }
    for (name, why) in &found.quarantined {
        report.problem(
            format!("{name} is in quarantine and served from an older state: {why}"),
            RESTORE,
        );
    }
    if let Some(bound) = bound {
        compare(config, keyring, (alone, found, bound), report).await;
    }
}

fn read_replica(
    config: &Config,
    keyring: &Keyring,
    alone: bool,
    report: &mut Report,
) -> Option<ReplicaReport> {
    match edgeseal_edge::inspect_replica(&edge_directory(config), keyring, alone) {
        Ok(found) => found,
        Err(error) => {
            let what = match &error {
                ReplicaError::Corrupted { .. } => error.to_string(),
                other => format!("the edge's replica cannot be read: {other}"),
            };
            report.problem(what, REBUILD_REPLICA);
            None
        }
    }
}

/// The replica of a running edge is slightly behind, that of a killed one misses the last changes;
/// neither is empty.
async fn compare(
    config: &Config,
    keyring: &Keyring,
    (alone, mut found, bound): (bool, ReplicaReport, &ExpectedState),
    report: &mut Report,
) {
    const ATTEMPTS: usize = 20;
    const PAUSE: Duration = Duration::from_millis(100);
    let expected = bound.domains.len() as u64;
    for _ in 0..ATTEMPTS {
        if alone || found.domains >= expected {
            break;
        }
        sleep(PAUSE).await;
        match edgeseal_edge::inspect_replica(&edge_directory(config), keyring, alone) {
            Ok(Some(later)) => found = later,
            Ok(None) | Err(_) => break,
        }
    }
    if found.domains >= expected {
        return;
    }
    let what = format!(
        "the edge's replica has {} domains and the store {expected}: without the store the others would not be served",
        found.domains
    );
    if alone && found.domains > 0 {
        report.warning(what, "have Edgeseal run once with its store");
    } else {
        report.problem(what, "restart Edgeseal with its store; if that does not help, remove the files of the replica");
    }
}
