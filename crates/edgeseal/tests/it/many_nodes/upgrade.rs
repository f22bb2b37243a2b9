//! Nodes of several releases, upgraded and taken back one after the other.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::RwLock,
    task::{JoinHandle, block_in_place},
};

use super::{Cluster, at};
use crate::harness::{
    ApiClient, Origin, Server, eventually,
    pki::AUTHORITY,
    server::{BINARY, binary},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The layout of this release.
const LAYOUT: u32 = 1;

/// One of the releases that follow this one, the next one or the one after that.
fn later_release(number: u32) -> PathBuf {
    let releases = std::env::var_os("EDGESEAL_LATER_RELEASES");
    let releases = releases.expect("./test upgrade builds them");
    Path::new(&releases).join(number.to_string())
}

/// The command of a node, by another release.
fn command(node: &Server, release: &Path) -> Command {
    let own = node.command();
    let mut other = Command::new(release);
    other.args(own.get_args());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.stdin(Stdio::null()).stdout(Stdio::piped());
    other
}

/// Why a release does not start with the configuration of a node, in a directory of its own.
fn refusal(node: &Server, release: &Path) -> String {
    let (own, directory) = (command(node, release), node.home().join("new"));
    let mut other = Command::new(release);
    for argument in own.get_args() {
        match argument == node.data() {
            true => other.arg(&directory),
            false => other.arg(argument),
        };
    }
    let started = other.output().unwrap();
    assert_eq!(started.status.code(), Some(64), "{started:?}");
    String::from_utf8(started.stderr).unwrap()
}

/// What `edgeseal nodes` shows.
fn nodes(node: &Server) -> String {
    let mut command = binary();
    let listed = command.args(["nodes", "--data"]).arg(node.data());
    let listed = listed.output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8(listed.stdout).unwrap()
}

/// A node that is called all the time: each call must succeed. It sets the certificate of a domain of
/// its own, and reads it.
struct CalledNode {
    node: Server,
    name: &'static str,
    /// Held while a call is made, or while there is no node.
    client: Arc<RwLock<ApiClient>>,
    calls: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    caller: JoinHandle<()>,
}

impl CalledNode {
    async fn start(node: Server, account: &ApiClient, name: &'static str, origin: &Origin) -> Self {
        let client = at(&node, account);
        client.add(name, origin).await;
        let client = Arc::new(RwLock::new(client));
        let (calls, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let caller = tokio::spawn({
            let (client, calls, stop) =
                (Arc::clone(&client), Arc::clone(&calls), Arc::clone(&stop));
            async move {
                while !stop.load(Ordering::Acquire) {
                    let pem = AUTHORITY.issue(&[name]);
                    let client = client.read().await;
                    client.set(name, &pem).await.unwrap();
                    assert_eq!(client.bound_leaf(name).await, pem.leaf);
                    calls.fetch_add(1, Ordering::AcqRel);
                }
            }
        });
        Self {
            node,
            name,
            client,
            calls,
            stop,
            caller,
        }
    }

    /// Stops the node, and starts it by a release.
    async fn replace(&mut self, release: &Path) {
        self.replace_after(release, |_| {}).await;
    }

    /// As [`replace`](Self::replace), with something done while it does not run.
    async fn replace_after(&mut self, release: &Path, between: impl FnOnce(&Server)) {
        let mut client = self.client.write().await;
        block_in_place(|| {
            assert_eq!(self.node.terminate().code(), Some(0));
            between(&self.node);
            self.node.launch_with(command(&self.node, release));
        });
        *client = at(&self.node, &client);
    }

    /// Waits until it has been called some more, and has changed something each time.
    async fn is_called(&self) {
        let before = self.calls.load(Ordering::Acquire);
        eventually(&format!("{} is changed", self.name), async || {
            assert!(!self.caller.is_finished(), "a call failed");
            (self.calls.load(Ordering::Acquire) > before + 2).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.caller.await.unwrap();
        self.node.stop();
    }
}

/// Both nodes are called, and each shows and serves what the other one changes.
async fn work_together(one: &CalledNode, two: &CalledNode) {
    for (changes, other) in [(one, two), (two, one)] {
        changes.is_called().await;
        // Nothing changes meanwhile.
        let client = changes.client.write().await;
        let leaf = client.bound_leaf(changes.name).await;
        let there = other.client.read().await;
        assert_eq!(there.bound_leaf(changes.name).await, leaf);
        for node in [&one.node, &two.node] {
            eventually("each node serves it", async || {
                let served = node.served(changes.name).await.ok()?;
                (served[0] == leaf).then_some(())
            })
            .await;
        }
        drop(client);
        drop(there);
    }
}

async fn start(cluster: &Cluster) -> (CalledNode, CalledNode) {
    let [one, two] = cluster.start();
    let (account, origin) = (one.create_account("alice").await, Origin::start().await);
    let one = CalledNode::start(one, &account, "one.upgrade.example", &origin).await;
    let two = CalledNode::start(two, &account, "two.upgrade.example", &origin).await;
    work_together(&one, &two).await;
    (one, two)
}

/// The layout of the database.
fn layout(cluster: &Cluster) -> u32 {
    let sql = format!("SELECT version FROM {}.edgeseal", cluster.schema);
    cluster.database.query(&sql).parse().unwrap()
}

/// From this release to another one, node by node, and back.
async fn roll(cluster: &Cluster, release: &Path, versions: &[&str]) {
    let (mut one, mut two) = start(cluster).await;
    two.replace(release).await;
    work_together(&one, &two).await;
    // A node knows of another one within about a second.
    eventually("both versions are listed", async || {
        let listed = block_in_place(|| nodes(&one.node));
        let mut versions = versions.iter();
        let all = versions.all(|version| listed.contains(&format!(" {version} ")));
        all.then_some(())
    })
    .await;
    // This release starts on the tables that the other one has changed.
    one.replace(Path::new(BINARY)).await;
    work_together(&one, &two).await;
    one.replace(release).await;
    work_together(&one, &two).await;
    // And back.
    two.replace(Path::new(BINARY)).await;
    work_together(&one, &two).await;
    one.replace(Path::new(BINARY)).await;
    work_together(&one, &two).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_replaced_one_after_the_other() {
    let cluster = Cluster::new("replaced");
    roll(&cluster, Path::new(BINARY), &[VERSION]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs later releases: ./test upgrade"]
async fn nodes_are_upgraded_to_the_next_release_and_back() {
    let cluster = Cluster::new("upgraded");
    roll(&cluster, &later_release(1), &[VERSION, "99.0.1"]).await;
    assert_eq!(layout(&cluster), LAYOUT + 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs later releases: ./test upgrade"]
async fn a_release_is_skipped_only_without_nodes_of_this_one() {
    let (next, after_next) = (later_release(1), later_release(2));
    let cluster = Cluster::new("skipped");
    let (mut one, mut two) = start(&cluster).await;
    assert_eq!(layout(&cluster), LAYOUT);
    let in_use = format!(
        "nodes of an older release use it (they know schema {LAYOUT}, this one brings {})",
        LAYOUT + 2
    );
    two.replace_after(&next, |node| {
        let said = refusal(node, &after_next);
        assert!(said.contains(&in_use), "{said}");
    })
    .await;
    assert_eq!(layout(&cluster), LAYOUT + 1);
    work_together(&one, &two).await;
    // The node that is left is one release behind.
    one.replace(&after_next).await;
    assert_eq!(layout(&cluster), LAYOUT + 2);
    work_together(&one, &two).await;
    let newer = format!(
        "was changed by a newer release (schema {}, this one knows up to {LAYOUT})",
        LAYOUT + 2
    );
    two.replace_after(&next, |node| {
        let said = refusal(node, Path::new(BINARY));
        assert!(said.contains(&newer), "{said}");
    })
    .await;
    work_together(&one, &two).await;
    one.stop().await;
    two.stop().await;
}
