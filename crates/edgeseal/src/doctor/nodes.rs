//! Checks the nodes on a database by what they report of themselves.

use std::collections::BTreeSet;

use edgeseal_store::nodes::{NodeRecord, NodeStatus};

use super::Report;

/// An edge that lacks a commit for so long does not get on.
const LAG_MAX_MS: i64 = 60_000;

pub(super) fn judge(nodes: &[NodeStatus], report: &mut Report) {
    if nodes.is_empty() {
        return;
    }
    let live = || nodes.iter().filter(|node| node.is_live());
    report.checked(format!("{} live nodes of {}", live().count(), nodes.len()));
    for silent in nodes.iter().filter(|node| !node.is_live()) {
        report.warning(
            format!("{} is silent since {} s", name(&silent.node), silent.age_ms / 1000),
            "start it again; if it is not to come back, it is forgotten an hour after its last report",
        );
    }
    let sealing: BTreeSet<&str> = live().map(|it| it.node.sealing.as_str()).collect();
    for NodeStatus { node, .. } in live() {
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
            age_ms,
        };
        let mut report = Report::default();
        let nodes = [
            node("one", 300, 0, "new", &["new", "old"]),
            node("two", 900, 61_000, "old", &["old"]),
            node("three", 90_000, 0, "gone", &["gone"]),
        ];
        judge(&nodes, &mut report);
        let problems: Vec<&str> = report.problems.iter().map(|it| &*it.summary).collect();
        assert_eq!(
            problems,
            [
                "the edge of node two on host lacks a commit since 61 s",
                "node two on host lacks key-encryption key new, with which others seal",
            ]
        );
        let warnings: Vec<&str> = report.warnings.iter().map(|it| &*it.summary).collect();
        assert_eq!(warnings, ["node three on host is silent since 90 s"]);
    }
}
