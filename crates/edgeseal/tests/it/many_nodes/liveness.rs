//! Which nodes there are.

use std::fs;

use serde_json::Value;

use super::{Cluster, at};
use crate::harness::{ApiClient, EDGESEAL, Server, eventually, raw, server::binary};

async fn nodes(api: &ApiClient) -> Vec<Value> {
    let reply = api.ok(EDGESEAL, "DescribeNodes", &[]).await;
    reply["Nodes"].as_array().unwrap().clone()
}

/// Waits until there are as many live and silent nodes.
async fn counted(api: &ApiClient, live: u64, silent: u64) {
    eventually("the nodes are counted", async || {
        let reply = api.ok(EDGESEAL, "DescribeNodes", &[]).await;
        (reply["LiveNodes"] == live && reply["SilentNodes"] == silent).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_knows_the_others() {
    let cluster = Cluster::new("liveness");
    let [one, mut two, three] = cluster.start();
    let root = one.root_client();
    counted(&root, 3, 0).await;
    counted(&at(&three, &root), 3, 0).await;
    let keepers = eventually("one is the keeper", async || {
        let nodes = nodes(&root).await;
        let keepers: Vec<_> = nodes
            .into_iter()
            .filter(|it| it["Keeper"] == true)
            .collect();
        (!keepers.is_empty()).then_some(keepers)
    })
    .await;
    assert_eq!(keepers.len(), 1, "{keepers:?}");
    for node in [&one, &two, &three] {
        let api = node.addresses().api.to_string();
        let all = nodes(&root).await;
        let row = all.iter().find(|row| row["ApiAddress"] == api).unwrap();
        assert_eq!(row["Role"], "serve");
        assert_eq!(row["Version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(row["KeyIds"].as_array().unwrap().len(), 1);
        let off_ms = row["ClockOffsetMs"].as_i64().unwrap();
        assert!(off_ms.abs() < 30_000, "{row}");
    }
    let listed = binary()
        .args(["nodes", "--data"])
        .arg(one.data())
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("3 live nodes, 0 silent"), "{listed}");

    // One that is killed falls silent; one that ends takes its report with it.
    two.kill();
    counted(&root, 2, 1).await;
    three.stop();
    counted(&root, 1, 1).await;
    two.launch();
    counted(&root, 2, 0).await;
    assert_eq!(one.metric("edgeseal_nodes ").await, Some(2));
    one.stop();
    two.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_a_store_of_its_own_is_the_keeper() {
    let server = Server::start();
    let root = server.root_client();
    let row = eventually("it has reported", async || {
        let mut nodes = nodes(&root).await;
        assert_eq!(nodes.len(), 1);
        let row = nodes.remove(0);
        (row["Keeper"] == true).then_some(row)
    })
    .await;
    assert_eq!(row["State"], "live");
    assert_eq!(row["LagMs"], 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_with_one_id_say_so() {
    let cluster = Cluster::new("twins");
    let [one, mut two] = cluster.start();
    let root = one.root_client();
    assert_eq!(two.terminate().code(), Some(0));
    let (original, copy) = (one.data().join("node-id"), two.data().join("node-id"));
    fs::copy(&original, copy).unwrap();
    let id = fs::read_to_string(original).unwrap();
    two.launch();
    for node in [&one, &two] {
        eventually("each knows of the other", async || {
            let ready = raw::get(node.addresses().admin, "admin", "/readyz").await;
            assert_eq!(ready.status, 200, "it serves on");
            ready
                .body
                .contains("two processes run as node")
                .then_some(())
        })
        .await;
        let log = node.log();
        let apis = [&one, &two].map(|it| format!("(API {})", it.addresses().api));
        let said = log
            .lines()
            .find(|line| line.contains("two processes run as node"));
        let said = said.unwrap();
        assert!(
            said.contains("ERROR") && apis.iter().all(|api| said.contains(api)),
            "{said}"
        );
    }
    eventually("the list marks it", async || {
        let nodes = nodes(&root).await;
        let mut nodes = nodes.iter().filter(|it| it["NodeId"] == id.trim());
        nodes.any(|it| it["Twin"].is_string()).then_some(())
    })
    .await;
    for command in ["nodes", "doctor"] {
        let mut shown = binary();
        shown.args([command, "--data"]).arg(one.data());
        if command == "doctor" {
            shown.args(["--store", &cluster.database.url(cluster.schema)]);
            shown.env("EDGESEAL_KEK_FILE", cluster.kek());
        }
        let shown = shown.output().unwrap();
        let said = [shown.stdout, shown.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let expected = ["twin on ", "two processes run as node "];
        assert!(
            expected.iter().any(|it| said.contains(it)),
            "{command}: {said}"
        );
    }
    one.stop();
    two.stop();
}
