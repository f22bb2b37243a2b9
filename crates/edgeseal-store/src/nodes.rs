//! The processes on a store, as they report themselves once a second.

use edgeseal_core::{Timestamp, rate::RateUse};
use serde::{Deserialize, Serialize};

use crate::{
    Fault, record,
    reports::{Report, ReportSnapshot},
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
    /// What it used of the rate limits of accounts.
    pub rates: Vec<RateUse>,
}

/// A process with its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The report.
    pub node: NodeRecord,
    /// Its age in milliseconds.
    pub age_ms: i64,
}

impl NodeStatus {
    /// Whether the process is taken to be alive.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.age_ms <= LIVE_MS
    }

    /// Decodes a report.
    ///
    /// # Errors
    /// A [`Fault`] if it is not one of a process.
    pub fn decode(report: &Report) -> Result<Self, Fault> {
        Ok(Self {
            node: record::decode(&report.value)?,
            age_ms: report.age_ms,
        })
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
}

/// The processes of a snapshot. A report that cannot be decoded, of another release, is left out.
#[must_use]
pub fn decode_all(snapshot: &ReportSnapshot) -> Vec<NodeStatus> {
    let reports = snapshot.reports.iter();
    reports
        .filter_map(|report| NodeStatus::decode(report).ok())
        .collect()
}
