//! Checks the nodes on a database by what they report of themselves.

use std::collections::BTreeSet;

use edgeseal_store::nodes::{NodeList, NodeRecord, NodeStatus};

use super::Report;
use crate::node::describe_twin;

/// An edge that lacks a commit for so long does not get on.
const LAG_MAX_MS: i64 = 60_000;

pub(super) fn judge(list: &NodeList, report: &mut Report) {
    if list.nodes.is_empty() {
        return;
    }
    let (live, all) = (list.live().count(), list.nodes.len());
    report.checked(format!("{live} live nodes of {all}"));
    for silent in list.nodes.iter().filter(|node| !node.is_live()) {
        let what = match silent.age_ms {
            Some(age_ms) => format!("{} is silent since {} s", name(&silent.node), age_ms / 1000),
            None => format!(
                "node {} is silent since {} s or longer: the database has lost its report, or it is one of another \
                 release",
                silent.node.id,
                list.collected_ms / 1000
            ),
        };
        report.warning(
            what,
            "start it again; if it is not to come back, it is forgotten an hour after its last report",
        );
    }
    let sealing: BTreeSet<&str> = list.live().map(|it| it.node.sealing.as_str()).collect();
    for NodeStatus { node, .. } in list.live() {
        if !node.twin.is_empty() {
            report.problem(
                describe_twin(&node.id, &node.host, &node.twin),
                "each needs a data directory of its own",
            );
        }
        if node.lag_ms > LAG_MAX_MS {
            report.problem(
                format!(
                    "the edge of {} lacks a commit since {} s",
                    name(node),
                    node.lag_ms / 1000
                ),
                "see the log of that node",
            );
        }
        let has = |key: &str| key.is_empty() || node.keys.iter().any(|known| known == key);
        for key in sealing.iter().filter(|key| !has(key)) {
            report.problem(
                format!(
                    "{} lacks key-encryption key {key}, with which others seal",
                    name(node)
                ),
                "add the key to its file",
            );
        }
    }
}

fn name(node: &NodeRecord) -> String {
    format!("node {} on {}", node.id, node.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_nodes_is_named() {
        let node = |id: &str, age_ms, lag_ms, sealing: &str, keys: &[&str]| NodeStatus {
            node: NodeRecord {
                id: id.to_owned(),
                host: "host".to_owned(),
                lag_ms,
                sealing: sealing.to_owned(),
                keys: keys.iter().map(|&key| key.to_owned()).collect(),
                ..NodeRecord::default()
            },
            age_ms: Some(age_ms),
            ..NodeStatus::default()
        };
        let mut report = Report::default();
        let mut twin = node("four", 300, 0, "new", &["new", "old"]);
        twin.node.twin = "copy (API 192.0.2.1:7080)".to_owned();
        let mut unknown = node("five", 0, 0, "", &[]);
        unknown.age_ms = None;
        let list = NodeList {
            nodes: vec![
                node("one", 300, 0, "new", &["new", "old"]),
                node("two", 900, 61_000, "old", &["old"]),
                node("three", 90_000, 0, "gone", &["gone"]),
                twin,
                unknown,
            ],
            collected_ms: 30_000,
        };
        judge(&list, &mut report);
        let problems: Vec<&str> = report.problems.iter().map(|it| &*it.summary).collect();
        assert_eq!(
            problems,
            [
                "the edge of node two on host lacks a commit since 61 s",
                "node two on host lacks key-encryption key new, with which others seal",
                "two processes run as node four, on host and on copy (API 192.0.2.1:7080): stop the one whose data \
                 directory is a copy, remove node-id from that directory, and start it again",
            ]
        );
        let warnings: Vec<&str> = report.warnings.iter().map(|it| &*it.summary).collect();
        assert_eq!(
            warnings,
            [
                "node three on host is silent since 90 s",
                "node five is silent since 30 s or longer: the database has lost its report, or it is one of another \
                 release",
            ]
        );
    }
}
