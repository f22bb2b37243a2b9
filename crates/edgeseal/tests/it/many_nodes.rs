//! Several processes on one PostgreSQL database.

mod federation;
mod keeper;
mod keys;
mod liveness;
mod rates;
mod roles;
mod shared_state;
mod upgrade;

use std::{fs, path::PathBuf, process::Command, sync::Arc};

use edgeseal_testing::postgres::PostgresServer;
use tempfile::TempDir;

use crate::harness::{
    ApiClient, EDGESEAL, Origin, Server, eventually, pki::AUTHORITY, secrets, server::BINARY,
    unlimited,
};

/// A schema of the database, and the key-encryption key of all of its nodes.
struct Cluster {
    database: Arc<PostgresServer>,
    schema: &'static str,
    keys: TempDir,
}

impl Cluster {
    fn new(schema: &'static str) -> Self {
        Self::on(PostgresServer::shared(), schema)
    }

    /// On a server that a test may crash.
    fn on(database: Arc<PostgresServer>, schema: &'static str) -> Self {
        let cluster = Self {
            database,
            schema,
            keys: tempfile::tempdir().unwrap(),
        };
        generate_kek(&cluster.kek());
        cluster
    }

    fn kek(&self) -> PathBuf {
        self.keys.path().join("kek")
    }

    /// The configuration of a node; `more` comes last, and may begin a table.
    fn config(&self, more: &str) -> String {
        self.config_with_kek(&self.kek(), more)
    }

    fn config_with_kek(&self, kek: &std::path::Path, more: &str) -> String {
        format!(
            "store = \"{}\"\nkek = \"file:{}\"\n{more}",
            self.database.url(self.schema),
            kek.display()
        )
    }

    /// Nodes without rate limits. The first one has the root account's credentials.
    fn start<const NODES: usize>(&self) -> [Server; NODES] {
        let config = self.config(&unlimited());
        std::array::from_fn(|_| Server::start_with(&config))
    }
}

fn generate_kek(file: &std::path::Path) {
    let made = Command::new(BINARY)
        .args(["kek", "generate"])
        .arg(file)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    secrets::register_secret(fs::read_to_string(file).unwrap().trim());
}

/// The same caller at another node.
fn at(node: &Server, client: &ApiClient) -> ApiClient {
    let (key, secret) = client.access_key();
    let secret = String::from_utf8(secret.expose().to_vec()).unwrap();
    node.client_for(&client.account, key, &secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_shows_and_serves_what_another_changed() {
    let cluster = Cluster::new("nodes");
    let [one, two] = cluster.start();
    assert!(one.data().join("credentials.json").exists());
    assert!(
        !two.data().join("credentials.json").exists(),
        "the account exists already"
    );

    let (api, origin) = (one.create_account("alice").await, Origin::start().await);
    let other = at(&two, &api);
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
    let started = Command::new(BINARY)
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
