//! Several processes on one PostgreSQL database.

use std::{fs, process::Command};

use edgeseal_testing::postgres::PostgresServer;

use crate::harness::{EDGESEAL, Origin, Server, eventually, pki::AUTHORITY, unlimited};

/// A configuration on a schema of the database, with the key-encryption key of all of its nodes.
fn config(database: &PostgresServer, schema: &str, kek: &str) -> String {
    format!(
        "store = \"{}\"\nkek = \"file:{kek}\"\n{}",
        database.url(schema),
        unlimited()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_shows_and_serves_what_another_changed() {
    let database = PostgresServer::shared();
    let keys = tempfile::tempdir().unwrap();
    let kek = keys.path().join("kek").display().to_string();
    let generated = Command::new(crate::harness::server::BINARY)
        .args(["kek", "generate", &kek])
        .output()
        .unwrap();
    assert!(generated.status.success(), "{generated:?}");
    let config = config(&database, "nodes", &kek);
    let one = Server::start_with(&config);
    let two = Server::start_with(&config);
    assert!(one.data().join("credentials.json").exists());
    assert!(
        !two.data().join("credentials.json").exists(),
        "the account exists already"
    );

    let (api, origin) = (one.create_account("alice").await, Origin::start().await);
    let (key, secret) = api.access_key();
    let secret = String::from_utf8(secret.expose().to_vec()).unwrap();
    let other = two.client_for("alice", key, &secret);
    for name in ["a.nodes.example", "b.nodes.example"] {
        api.add(name, &origin).await;
        let pem = AUTHORITY.issue(&[name]);
        other.set(name, &pem).await.unwrap();
        // Read what was written, through any node, at once.
        assert_eq!(api.bound_leaf(name).await, pem.leaf);
        for node in [&one, &two] {
            eventually("the edge serves it", || async {
                let served = node.served(name).await.ok()?;
                (served[0] == pem.leaf).then_some(())
            })
            .await;
        }
    }
    // Both edges count.
    let rollout = api
        .ok(
            EDGESEAL,
            "DescribeRollout",
            &[("DomainName", "a.nodes.example")],
        )
        .await;
    assert_eq!(rollout["LiveEdges"], 2, "{rollout}");
    one.stop();
    two.stop();
}

#[test]
fn a_database_needs_a_key_that_the_operator_gives() {
    let folder = tempfile::tempdir().unwrap();
    let started = Command::new(crate::harness::server::BINARY)
        .args([
            "serve",
            "--store",
            "postgres://me:hidden@127.0.0.1:1/db",
            "--data",
        ])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(started.stderr).unwrap();
    assert!(
        said.contains("edgeseal kek generate FILE") && !said.contains("hidden"),
        "{said}"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing was made"
    );
}
