//! The key-encryption key of several nodes.

use std::{fs, path::Path, process::Command, sync::Arc};

use edgeseal_store::Keyring;
use edgeseal_testing::postgres::PostgresServer;
use serde_json::Value;

use super::{Cluster, at, generate_kek};
use crate::harness::{
    ApiClient, EDGESEAL, Origin, Server, eventually, pki::AUTHORITY, server::BINARY, unlimited,
};

/// The key that seals at a node, and the state of resealing there.
async fn sealing(api: &ApiClient) -> (String, String, String) {
    let params = [("Count", "false")];
    let body = api.ok(EDGESEAL, "DescribeKeyEncryption", &params).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&body["Keys"][0]["KeyId"]),
        text(&body["Resealing"]["State"]),
        text(&body["Resealing"]["Trouble"]),
    )
}

/// Puts a new key first into a key file; returns its id, and the text of the file.
fn add_key(cluster: &Cluster, file: &Path) -> (String, String) {
    let added = cluster.keys.path().join("new");
    generate_kek(&added);
    let both = format!(
        "{}\n{}\n",
        fs::read_to_string(&added).unwrap().trim(),
        fs::read_to_string(file).unwrap().trim()
    );
    fs::write(file, &both).unwrap();
    (Keyring::parse(&both).unwrap().active().to_string(), both)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_seals_once_every_node_has_it() {
    let cluster = Cluster::new("keys");
    let other_file = cluster.keys.path().join("other");
    fs::copy(cluster.kek(), &other_file).unwrap();
    let one = Server::start_with(&cluster.config(&unlimited()));
    let two = Server::start_with(&cluster.config_with_kek(&other_file, &unlimited()));
    let (root, alice) = (one.root_client(), one.create_account("alice").await);
    let origin = Origin::start().await;
    let pem = alice.serve("www.keys.example", &origin).await;
    let (first, second) = (root.clone(), at(&two, &root));
    eventually("everything is sealed under the first key", async || {
        (sealing(&first).await.1 == "Finished").then_some(())
    })
    .await;
    let (old, ..) = sealing(&first).await;

    // Only the first node has the new key.
    let (new, both) = add_key(&cluster, &cluster.kek());
    let rotated = root.ok(EDGESEAL, "RotateKeyEncryptionKey", &[]).await;
    assert_eq!(rotated["KeyId"], new.as_str());
    assert_eq!(rotated["Pending"], true);
    let lacking = eventually("it says who lacks the key", async || {
        let (_, _, trouble) = sealing(&first).await;
        trouble.contains(&new).then_some(trouble)
    })
    .await;
    let node = fs::read_to_string(two.data().join("node-id")).unwrap();
    assert!(lacking.contains(node.trim()), "{lacking}");
    assert_eq!(sealing(&first).await.0, old);

    // The order of the keys at a node does not matter.
    let lines: Vec<&str> = both.lines().rev().collect();
    fs::write(&other_file, lines.join("\n")).unwrap();
    for api in [&first, &second] {
        eventually(
            "both seal with the new key, and all is resealed",
            async || {
                let (key, state, _) = sealing(api).await;
                (key == new && state == "Finished").then_some(())
            },
        )
        .await;
    }
    let status = root.ok(EDGESEAL, "DescribeKeyEncryption", &[]).await;
    let under_old = status["Keys"].as_array().unwrap().iter();
    let under_old = under_old.filter(|key| key["KeyId"] == old.as_str());
    let counts = under_old.flat_map(|key| key["Records"].as_array().unwrap());
    assert!(
        counts.into_iter().all(|kind| kind["Count"] == 0),
        "{status}"
    );
    let pem_two = AUTHORITY.issue(&["www.keys.example"]);
    at(&two, &alice)
        .set("www.keys.example", &pem_two)
        .await
        .unwrap();
    for node in [&one, &two] {
        eventually("each serves what was sealed with the new key", async || {
            let served = node.served("www.keys.example").await.ok()?;
            (served[0] == pem_two.leaf && served[0] != pem.leaf).then_some(())
        })
        .await;
    }

    // A node without it does not start, and says which one it lacks.
    let old_only = cluster.keys.path().join("old");
    fs::write(&old_only, lines[0]).unwrap();
    let data = tempfile::tempdir().unwrap();
    let refused = Command::new(BINARY)
        .args(["serve", "--api", "127.0.0.1:0", "--https", "127.0.0.1:0"])
        .args(["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .args(["--store", &cluster.database.url(cluster.schema), "--kek"])
        .arg(format!("file:{}", old_only.display()))
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(
        said.contains(&format!("key-encryption key {new}")),
        "{said}"
    );
    one.stop();
    two.stop();
}

/// A crash of the database loses what the nodes have reported: one that has not returned may lack
/// the new key.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_not_returned_since_a_crash_is_waited_for() {
    let database = Arc::new(PostgresServer::start());
    let cluster = Cluster::on(Arc::clone(&database), "crash");
    let other_file = cluster.keys.path().join("other");
    fs::copy(cluster.kek(), &other_file).unwrap();
    let one = Server::start_with(&cluster.config(&unlimited()));
    let mut two = Server::start_with(&cluster.config_with_kek(&other_file, &unlimited()));
    let root = one.root_client();
    eventually("both have reported", async || {
        let nodes = root.ok(EDGESEAL, "DescribeNodes", &[]).await;
        (nodes["LiveNodes"] == 2 && sealing(&root).await.1 == "Finished").then_some(())
    })
    .await;
    two.kill();
    let restart = move || {
        database.kill();
        database.start_again();
    };
    tokio::task::spawn_blocking(restart).await.unwrap();

    let (new, both) = add_key(&cluster, &cluster.kek());
    eventually("the database is back", async || {
        let rotated = root.call(EDGESEAL, "RotateKeyEncryptionKey", &[]).await;
        rotated.ok().map(drop)
    })
    .await;
    let node = fs::read_to_string(two.data().join("node-id")).unwrap();
    eventually("the node that is away is waited for", async || {
        let (active, _, trouble) = sealing(&root).await;
        assert_ne!(active, new);
        trouble.contains(node.trim()).then_some(())
    })
    .await;
    let nodes = root.ok(EDGESEAL, "DescribeNodes", &[]).await;
    let rows = nodes["Nodes"].as_array().unwrap();
    let away = rows.iter().find(|it| it["NodeId"] == node.trim()).unwrap();
    assert_eq!(away["State"], "silent");
    assert!(away.get("ReportAgeMs").is_none(), "{away}");

    fs::write(&other_file, &both).unwrap();
    two.launch();
    for api in [&root, &at(&two, &root)] {
        eventually("both seal with the new key", async || {
            let (key, state, _) = sealing(api).await;
            (key == new && state == "Finished").then_some(())
        })
        .await;
    }
    one.stop();
    two.stop();
}
