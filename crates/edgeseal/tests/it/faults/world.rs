//! The cluster, and two nodes on it.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use edgeseal_core::Timestamp;
use edgeseal_testing::patroni::PatroniCluster;
use tempfile::TempDir;

use crate::harness::{ApiClient, Origin, Server, now, server::BINARY, unlimited};

/// The nodes, by their index.
pub(super) const NODES: [usize; 2] = [0, 1];
pub(super) const BOTH: [usize; 2] = NODES;
/// How long something may take on a busy machine, with a fail-over in it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(180);

/// Dropped in this order: the nodes before their database.
pub(super) struct World {
    pub(super) nodes: Vec<Server>,
    /// The clocks by which calls at the nodes are signed.
    clocks: [fn() -> Timestamp; 2],
    /// Whether a node is stopped, so that its edge may fail handshakes.
    pub(super) faulty: [Arc<AtomicBool>; 2],
    /// How old what is read may be.
    pub(super) staleness: Duration,
    pub(super) origin: Origin,
    pub(super) cluster: PatroniCluster,
    _keys: TempDir,
}

impl World {
    pub(super) async fn start(cluster: PatroniCluster) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let kek = keys.path().join("kek").display().to_string();
        let generated = Command::new(BINARY)
            .args(["kek", "generate", &kek])
            .output();
        assert!(generated.unwrap().status.success());
        let url = cluster.url("edgeseal");
        let config = format!("store = \"{url}\"\nkek = \"file:{kek}\"\n{}", unlimited());
        let nodes = Vec::from(NODES.map(|_| Server::start_quiet(&config)));
        Self {
            nodes,
            clocks: [now; 2],
            faulty: Default::default(),
            staleness: Duration::ZERO,
            origin: Origin::start().await,
            cluster,
            _keys: keys,
        }
    }

    pub(super) fn edge(&self, node: usize) -> SocketAddr {
        self.nodes[node].addresses().https
    }

    pub(super) fn is_faulty(&self, node: usize, is: bool) {
        self.faulty[node].store(is, Ordering::SeqCst);
    }

    /// Kills a node (SIGKILL), and starts it at the same addresses, with these variables.
    pub(super) fn kill_and_start_again(&mut self, node: usize, variables: &[(&str, &str)]) {
        self.is_faulty(node, true);
        let server = &mut self.nodes[node];
        let at = server.addresses();
        server.kill();
        let same = [
            ("--api", at.api),
            ("--https", at.https),
            ("--http", at.http),
            ("--admin", at.admin),
        ];
        let mut command = server.command_at(&same);
        command.envs(variables.iter().copied());
        server.launch_with(command);
        self.is_faulty(node, false);
    }

    /// Sets the clock by which calls at this node are signed, of accounts from now on.
    pub(super) fn set_clock(&mut self, node: usize, clock: fn() -> Timestamp) {
        self.clocks[node] = clock;
    }

    /// A new account; its clients at each node.
    pub(super) async fn create_account(&self) -> Vec<ApiClient> {
        let name = format!("faults{}", now().unix_ms());
        let account = self.nodes[0].create_account(&name).await;
        let (key, secret) = account.access_key();
        let secret = String::from_utf8(secret.expose().to_vec()).unwrap();
        let client = |node: usize| {
            let client = self.nodes[node].client_for(&account.account, key, &secret);
            client.with_clock(self.clocks[node])
        };
        NODES.into_iter().map(client).collect()
    }

    /// Blocks until there is an answer.
    pub(super) fn until<T>(&self, what: &str, ask: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "no {what} in time: {}",
                self.cluster.logged()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn stop(mut self) {
        self.nodes.drain(..).for_each(Server::stop);
    }
}

/// If the test fails: what the nodes warned of.
impl Drop for World {
    fn drop(&mut self) {
        for (node, server) in self.nodes.iter().enumerate() {
            let log = server.log();
            let warned = log.lines().filter(|line| !line.contains("\"INFO\""));
            let warned: Vec<&str> = warned.rev().take(200).collect();
            eprintln!("node {node} warned, newest first:\n{}", warned.join("\n"));
        }
    }
}

/// The library that shifts the clock of a process.
pub(super) fn faketime() -> String {
    let found = Command::new("sh")
        .args(["-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let first = found.lines().next();
    first
        .expect("libfaketime is installed: apt-get install libfaketime")
        .to_owned()
}
