//! Nodes of two releases, upgraded one after the other.

use std::process::{Command, Stdio};

use super::{Cluster, at};
use crate::harness::{
    ApiClient, Origin, Server, TestCertificate, eventually, pki::AUTHORITY, server::BINARY,
};

const NAME: &str = "www.upgrade.example";

/// The neighbouring release, if there is one to test with; else this one, which only tests that
/// nodes can be replaced one after the other.
fn other_binary() -> String {
    std::env::var("EDGESEAL_OTHER_BINARY").unwrap_or_else(|_| BINARY.to_owned())
}

/// Stops a node, and starts it by the other release.
fn replace(node: &mut Server) {
    assert_eq!(node.terminate().code(), Some(0));
    let own = node.command();
    let mut other = Command::new(other_binary());
    other.args(own.get_args());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.stdin(Stdio::null()).stdout(Stdio::piped());
    node.launch_with(other);
}

async fn assert_served(nodes: &[&Server], pem: &TestCertificate, api: &ApiClient) {
    for node in nodes {
        assert_eq!(at(node, api).bound_leaf(NAME).await, pem.leaf);
        eventually("each node serves it", async || {
            let served = node.served(NAME).await.ok()?;
            (served[0] == pem.leaf).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_upgraded_one_after_the_other() {
    let cluster = Cluster::new("upgrade");
    let [mut one, mut two] = cluster.start();
    let (api, origin) = (one.create_account("alice").await, Origin::start().await);
    let first = api.serve(NAME, &origin).await;
    assert_served(&[&one, &two], &first, &api).await;
    replace(&mut two);
    // Both releases change it, and show what the other one changed.
    for changed_at in [&one, &two] {
        let pem = AUTHORITY.issue(&[NAME]);
        at(changed_at, &api).set(NAME, &pem).await.unwrap();
        assert_served(&[&one, &two], &pem, &api).await;
    }
    replace(&mut one);
    let pem = AUTHORITY.issue(&[NAME]);
    at(&one, &api).set(NAME, &pem).await.unwrap();
    assert_served(&[&one, &two], &pem, &api).await;
    one.stop();
    two.stop();
}
