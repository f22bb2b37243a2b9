//! The processes on a store, as they report themselves once a second.

use edgeseal_core::{Timestamp, rate::RateUse};
use serde::{Deserialize, Serialize};

use crate::{
    Fault, record,
    reports::{Member, Report, ReportSnapshot, RunId},
};

/// Time between two reports of a process.
pub const REPORT_INTERVAL_MS: i64 = 1000;
/// A process is taken to be alive until it has missed this time: several reports, so that one that
/// waits for a fail-over of the database is not taken to be gone.
pub const LIVE_MS: i64 = 5 * REPORT_INTERVAL_MS;

/// What a process reports of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRecord {
    /// Its name: `DATA/node-id`.
    pub id: String,
    /// The name of its machine.
    pub host: String,
    /// Its release.
    pub version: String,
    /// What it does: `serve` (everything) or `api`.
    pub role: String,
    /// Address of its API.
    pub api: String,
    /// Address of its health and metrics.
    pub admin: String,
    /// Address of its edge; empty if it has none.
    pub https: String,
    /// When it started, by its clock.
    pub started: Timestamp,
    /// The last commit that it has applied: its edge, if it has one.
    pub revision: u64,
    /// The difference to the newest commit, about the number of those that it lacks.
    pub lag: u64,
    /// How long it has lacked a newer commit, in milliseconds; 0 if it lacks none.
    pub lag_ms: i64,
    /// The leases that it holds.
    pub leases: Vec<String>,
    /// How far its clock is ahead of the store's, in milliseconds.
    pub clock_offset_ms: i64,
    /// Ids of its key-encryption keys; the first one seals.
    pub keys: Vec<String>,
    /// Id of the key under which it seals; empty while it may still store what it sealed under
    /// another one.
    pub sealing: String,
    /// Where another process is that reports under the same id; empty if there is none.
    pub twin: String,
    /// What it used of the rate limits of accounts.
    pub rates: Vec<RateUse>,
}

/// A process with its last report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// The report. Only the id is known of a process that has not reported since the store lost all
    /// reports, or whose report is one of a release that this one cannot read.
    pub node: NodeRecord,
    /// Which process wrote it, of those that used this id.
    pub run: RunId,
    /// The age of the report in milliseconds; `None` if nothing is known of the process.
    pub age_ms: Option<i64>,
}

/// The processes on a store, as of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeList {
    /// Ordered by id.
    pub nodes: Vec<NodeStatus>,
    /// Milliseconds since the first report after the store lost all of them.
    pub collected_ms: i64,
}

impl NodeList {
    /// The processes of a snapshot.
    #[must_use]
    pub fn of(snapshot: &ReportSnapshot) -> Self {
        Self {
            nodes: snapshot.members.iter().map(NodeStatus::of).collect(),
            collected_ms: snapshot.collected_ms,
        }
    }

    /// The processes that are taken to be alive.
    pub fn live(&self) -> impl Iterator<Item = &NodeStatus> {
        self.nodes.iter().filter(|node| node.is_live())
    }

    /// Whether every process that lives is listed. A fail-over may lose the newest members, and each
    /// process needs a moment to reach the other server.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.collected_ms > LIVE_MS
    }

    /// The processes that may lack a key. One that is silent or unknown may only be slow: it counts
    /// until it withdraws or is forgotten.
    pub fn lacking<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a NodeStatus> {
        let nodes = self.nodes.iter();
        nodes.filter(move |it| !it.speaks_for_all() || !it.has_key(key))
    }

    /// Whether all processes that are alive seal under a key, and under no other.
    #[must_use]
    pub fn all_seal_with(&self, key: &str) -> bool {
        self.live()
            .all(|it| it.speaks_for_all() && it.node.sealing == key)
    }
}

impl NodeStatus {
    fn of(member: &Member) -> Self {
        let unknown = || NodeRecord {
            id: member.name.clone(),
            ..NodeRecord::default()
        };
        let Some(report) = &member.report else {
            return Self {
                node: unknown(),
                ..Self::default()
            };
        };
        let decoded = NodeRecord::decode(report);
        Self {
            run: report.run,
            age_ms: decoded.is_ok().then_some(report.age_ms),
            node: decoded.unwrap_or_else(|_| unknown()),
        }
    }

    /// Whether the process is taken to be alive.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.age_ms.is_some_and(|age_ms| age_ms <= LIVE_MS)
    }

    fn has_key(&self, key: &str) -> bool {
        self.node.keys.iter().any(|known| known == key)
    }

    /// Whether there is no other process with this id, of which the report says nothing.
    fn speaks_for_all(&self) -> bool {
        self.node.twin.is_empty()
    }
}

impl NodeRecord {
    /// The report, to be written.
    ///
    /// # Errors
    /// A [`Fault`] if it cannot be encoded.
    pub fn encode(&self) -> Result<bytes::Bytes, Fault> {
        record::encode(self)
    }

    /// Reads a report.
    ///
    /// # Errors
    /// A [`Fault`] if it is none, or one of another release.
    pub fn decode(report: &Report) -> Result<Self, Fault> {
        record::decode(&report.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, node: Option<(NodeRecord, i64)>) -> Member {
        let report = node.map(|(node, age_ms)| Report {
            run: RunId(1),
            value: node.encode().unwrap(),
            age_ms,
        });
        Member {
            name: name.to_owned(),
            report,
        }
    }

    fn node(id: &str, sealing: &str, keys: &[&str]) -> NodeRecord {
        NodeRecord {
            id: id.to_owned(),
            sealing: sealing.to_owned(),
            keys: keys.iter().map(ToString::to_string).collect(),
            ..NodeRecord::default()
        }
    }

    fn list(members: Vec<Member>) -> NodeList {
        NodeList::of(&ReportSnapshot {
            members,
            replaced: None,
            collected_ms: 0,
            now: Timestamp::default(),
            head: crate::Revision(0),
        })
    }

    #[test]
    fn who_may_lack_a_key() {
        let mut other_release = member("later", Some((node("later", "new", &["new"]), 10)));
        if let Some(report) = &mut other_release.report {
            report.value = bytes::Bytes::from_static(b"\x07unreadable");
        }
        let twin = NodeRecord {
            twin: "other host".to_owned(),
            ..node("twin", "new", &["new"])
        };
        let listed = list(vec![
            member("has", Some((node("has", "new", &["new", "old"]), 10))),
            member("lacks", Some((node("lacks", "old", &["old"]), 10))),
            other_release,
            member("silent", Some((node("silent", "old", &["new"]), 60_000))),
            member("twin", Some((twin, 10))),
            member("unknown", None),
        ]);
        let names = |nodes: Vec<&NodeStatus>| -> Vec<String> {
            nodes.into_iter().map(|it| it.node.id.clone()).collect()
        };
        let lacking = names(listed.lacking("new").collect());
        assert_eq!(lacking, ["lacks", "later", "twin", "unknown"]);
        assert_eq!(names(listed.live().collect()), ["has", "lacks", "twin"]);
        assert!(!listed.all_seal_with("new"));
    }

    #[test]
    fn a_key_seals_alone_once_all_that_live_seal_with_it() {
        let with = |more: Option<Member>| {
            let mut members = vec![
                member("one", Some((node("one", "new", &["new"]), 10))),
                member("silent", Some((node("silent", "old", &["old"]), 60_000))),
                member("unknown", None),
            ];
            members.extend(more);
            list(members).all_seal_with("new")
        };
        assert!(with(None));
        for sealing in ["old", ""] {
            let other = node("two", sealing, &["new", "old"]);
            assert!(!with(Some(member("two", Some((other, 10))))), "{sealing}");
        }
        let twin = NodeRecord {
            twin: "other host".to_owned(),
            ..node("two", "new", &["new"])
        };
        assert!(!with(Some(member("two", Some((twin, 10))))));
    }
}
