//! Nodes that do only a part.

use std::fs;

use serde_json::Value;

use super::{Cluster, at};
use crate::harness::{
    EDGESEAL, Origin, Server, eventually, pki::AUTHORITY, server::binary, unlimited,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_node_changes_what_the_edges_of_others_serve() {
    let cluster = Cluster::new("roles");
    let config = cluster.config(&unlimited());
    let mut api_node = Server::start_as(&["api"], &config);
    let edge_node = Server::start_with(&config);
    let addresses = fs::read(api_node.data().join("addresses.json")).unwrap();
    let addresses: Value = serde_json::from_slice(&addresses).unwrap();
    assert!(addresses.get("https").is_none(), "{addresses}");
    assert!(
        !api_node.data().join("edge").exists(),
        "there is no replica"
    );

    let (api, origin) = (
        api_node.create_account("alice").await,
        Origin::start().await,
    );
    let name = "www.roles.example";
    api.add(name, &origin).await;
    let pem = AUTHORITY.issue(&[name]);
    api.set(name, &pem).await.unwrap();
    eventually("the other node serves it", async || {
        let served = edge_node.served(name).await.ok()?;
        (served[0] == pem.leaf).then_some(())
    })
    .await;
    // Proof of other edges is waited for as well.
    let (domain, seconds) = ([("DomainName", name)], [("prefer", "wait=30")]);
    let rollout = api
        .call_with(EDGESEAL, "DescribeRollout", &domain, &seconds)
        .await
        .unwrap();
    assert_eq!(rollout.body["LiveEdges"], 1, "{}", rollout.body);

    let root = api_node.root_client();
    eventually("both roles are known", async || {
        let reply = at(&edge_node, &root)
            .ok(EDGESEAL, "DescribeNodes", &[])
            .await;
        let mut roles: Vec<_> = reply["Nodes"]
            .as_array()?
            .iter()
            .map(|it| &it["Role"])
            .collect();
        roles.sort_by_key(|role| role.to_string());
        (roles == ["api", "serve"]).then_some(())
    })
    .await;
    // It starts again on its directory.
    api_node.terminate();
    api_node.launch();
    at(&api_node, &api)
        .ok(EDGESEAL, "DescribeAlarms", &[])
        .await;
    api_node.stop();
    edge_node.stop();
}

#[test]
fn an_api_node_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["api"][..], "--store postgres://USER@HOST/DATABASE"),
        (
            &["api", "--https", "127.0.0.1:0"],
            "edgeseal api has no edge: --https is a flag of edgeseal serve",
        ),
    ] {
        let started = binary()
            .args(arguments)
            .arg("--data")
            .arg(folder.path())
            .output()
            .unwrap();
        assert_eq!(started.status.code(), Some(64), "{started:?}");
        let said = String::from_utf8(started.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}
