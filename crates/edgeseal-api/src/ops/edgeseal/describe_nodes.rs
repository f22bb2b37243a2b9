//! `DescribeNodes`: the processes on the store, as they reported themselves within the last seconds.

use edgeseal_store::{lease::LeaseName, nodes::NodeStatus};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `DescribeNodes`.
pub struct DescribeNodes;

/// The nodes, ordered by id.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    nodes: Vec<Row>,
    live_nodes: usize,
    silent_nodes: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    node_id: String,
    host: String,
    version: String,
    role: String,
    /// `live` or `silent`.
    state: &'static str,
    /// Without it, only the id is known: it has not reported since the database lost all reports, or
    /// its report is one of another release.
    #[serde(skip_serializing_if = "Option::is_none")]
    report_age_ms: Option<i64>,
    api_address: String,
    admin_address: String,
    /// Empty if it has no edge.
    https_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    revision: u64,
    lag_revisions: u64,
    lag_ms: i64,
    keeper: bool,
    leases: Vec<String>,
    clock_offset_ms: i64,
    /// The first one seals.
    key_ids: Vec<String>,
    /// Where another process runs with the same id.
    #[serde(skip_serializing_if = "String::is_empty")]
    twin: String,
}

impl Operation for DescribeNodes {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(context: &Context, _: &Authorized, (): ()) -> Result<Success<Reply>, StoreError> {
        let list = context.nodes.as_ref().map(|nodes| nodes.borrow().clone());
        let list = list.unwrap_or_default();
        let live = list.live().count();
        Ok(Success::read(Reply {
            live_nodes: live,
            silent_nodes: list.nodes.len() - live,
            nodes: list.nodes.iter().map(Row::of).collect(),
        }))
    }
}

impl Row {
    fn of(status: &NodeStatus) -> Self {
        let node = status.node.clone();
        let keeper = LeaseName::Keeper.as_str();
        Self {
            state: if status.is_live() { "live" } else { "silent" },
            report_age_ms: status.age_ms,
            keeper: node.leases.iter().any(|lease| lease == keeper),
            started_at: status.age_ms.map(|_| node.started.to_string()),
            node_id: node.id,
            host: node.host,
            version: node.version,
            role: node.role,
            api_address: node.api,
            admin_address: node.admin,
            https_address: node.https,
            revision: node.revision,
            lag_revisions: node.lag,
            lag_ms: node.lag_ms,
            leases: node.leases,
            clock_offset_ms: node.clock_offset_ms,
            key_ids: node.keys,
            twin: node.twin,
        }
    }
}
