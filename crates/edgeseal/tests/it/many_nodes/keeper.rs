//! The keeper: what one node does for all of them.

use serde_json::Value;

use super::{Cluster, at};
use crate::harness::{ApiClient, EDGESEAL, Server, eventually, server::binary};

/// Waits until there is one keeper, and returns the address of its API.
async fn keeper(api: &ApiClient) -> String {
    eventually("one node is the keeper", async || {
        let reply = api.ok(EDGESEAL, "DescribeNodes", &[]).await;
        let nodes = reply["Nodes"].as_array()?;
        let mut keepers = nodes.iter().filter(|node| node["Keeper"] == true);
        let keeper = keepers.next()?["ApiAddress"].as_str()?.to_owned();
        keepers.next().is_none().then_some(keeper)
    })
    .await
}

/// What `edgeseal audit verify` says of each account.
fn verified(node: &Server) -> Vec<Value> {
    let output = binary()
        .args(["audit", "verify", "--json", "--data"])
        .arg(node.data())
        .arg("--config")
        .arg(node.home().join("edgeseal.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

async fn all_is_linked(node: &Server) {
    eventually("everything is linked", async || {
        let accounts = tokio::task::block_in_place(|| verified(node));
        let mut pending = accounts.iter().map(|account| &account["Pending"]);
        pending.all(|pending| *pending == 0).then_some(())
    })
    .await;
}

async fn create_account(api: &ApiClient, name: &str) {
    let named = [("AccountName", name)];
    api.ok(EDGESEAL, "CreateAccount", &named).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_links_what_all_nodes_write() {
    let cluster = Cluster::new("keeper");
    let [one, two] = cluster.start();
    let root = one.root_client();
    let first = keeper(&root).await;
    let (first, second) = match first == one.addresses().api.to_string() {
        true => (one, two),
        false => (two, one),
    };
    create_account(&at(&first, &root), "alice").await;
    let root = at(&second, &root);
    create_account(&root, "bob").await;
    all_is_linked(&second).await;
    // Its successor goes on, and links at its end what was written before.
    first.stop();
    create_account(&root, "carol").await;
    let next = second.addresses().api.to_string();
    eventually("the other node is the keeper", async || {
        (keeper(&root).await == next).then_some(())
    })
    .await;
    all_is_linked(&second).await;
    create_account(&root, "dave").await;
    let mut second = second;
    second.terminate();
    let accounts = verified(&second);
    assert!(accounts.iter().all(|it| it["Pending"] == 0), "{accounts:?}");
}
