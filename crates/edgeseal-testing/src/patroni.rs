//! PostgreSQL under Patroni, with etcd as the arbiter: three machines that faults can hit.
//!
//! A machine is a network and a process namespace on one bridge, with etcd, Patroni and PostgreSQL of
//! Debian. This needs root, or a [namespace](rerun_in_a_namespace) in which this user may do as much.
//! Everything ends with the test, also if that panics or is killed: the first process of a machine
//! reads a pipe from the test, and all others end with it.

mod machine;
mod network;
#[cfg(test)]
mod tests;
mod watchdog;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::chown,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::postgres::{self, USER};
use machine::{Machine, Place};
use network::Network;

/// The cluster; stops when dropped.
pub struct PatroniCluster {
    machines: Vec<Machine>,
    network: Network,
    _disks: Vec<Disk>,
    _files: TempDir,
}

/// A file system in memory, for the data of one machine.
struct Disk(std::path::PathBuf);

/// Machines, by their index.
pub const MACHINES: [usize; 3] = [0, 1, 2];
/// How long the cluster may take to get where a test wants it. Rebuilding a standby takes a while on a
/// busy machine.
const TIMEOUT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const POSTGRES_PORT: u16 = 5432;
const PATRONI_PORT: u16 = 8008;

impl PatroniCluster {
    /// Why this machine cannot run one.
    pub fn unavailable() -> Option<&'static str> {
        for (program, missing) in [
            (
                "patroni",
                "Patroni is not installed: apt-get install patroni",
            ),
            ("etcd", "etcd is not installed: apt-get install etcd-server"),
            ("ip", "ip is not installed: apt-get install iproute2"),
        ] {
            let found = Command::new("which").arg(program).output();
            if !found.is_ok_and(|found| found.status.success()) {
                return Some(missing);
            }
        }
        (!succeeds(&mut make_namespaces()))
            .then_some("this user may not make network namespaces: root may")
    }

    /// A cluster with a primary, and two standbys of which one is synchronous.
    pub fn start() -> Self {
        Self::start_with(None, false)
    }

    /// As [`start`](Self::start), with the data of each member on a disk of so many MiB.
    pub fn start_on_small_disks(mib: u32) -> Self {
        Self::start_with(Some(mib), false)
    }

    /// As [`start`](Self::start), with a watchdog in each machine, without which Patroni is not to make
    /// it the primary. Fail-overs take twice as long, so that busy machines are not reset.
    pub fn start_with_watchdogs() -> Self {
        Self::start_with(None, true)
    }

    fn start_with(disk_mib: Option<u32>, has_watchdogs: bool) -> Self {
        let files = tempfile::tempdir().unwrap();
        let network = Network::new();
        let addresses = MACHINES.map(|index| network.address(index));
        let mut disks = Vec::new();
        let machines = MACHINES.iter().map(|&index| {
            let folder = files.path().join(format!("pg{}", index + 1));
            let disk = folder.join("disk");
            fs::create_dir_all(&disk).unwrap();
            if let Some(mib) = disk_mib {
                let size = format!("size={mib}m");
                run(
                    "mount",
                    &[
                        "-t",
                        "tmpfs",
                        "-o",
                        &size,
                        "tmpfs",
                        &disk.display().to_string(),
                    ],
                );
                disks.push(Disk(disk.clone()));
            }
            for made in [files.path(), &folder, &disk] {
                give_to_postgres(made);
            }
            let mut machine = Machine::new(Place {
                index,
                addresses,
                folder,
                has_watchdog: has_watchdogs,
            });
            machine.start(&network);
            machine
        });
        let machines = machines.collect();
        let cluster = Self {
            machines,
            network,
            _disks: disks,
            _files: files,
        };
        cluster.wait_until_whole();
        cluster
    }

    /// The URL of a store in this schema of the database.
    pub fn url(&self, schema: &str) -> String {
        let hosts = MACHINES.map(|it| format!("{}:{POSTGRES_PORT}", self.network.address(it)));
        format!(
            "postgres://{USER}@{}/postgres?sslmode=disable&schema={schema}",
            hosts.join(",")
        )
    }

    /// The machine that holds the leader key and takes writes, if there is one.
    pub fn primary(&self) -> Option<usize> {
        MACHINES
            .into_iter()
            .find(|&it| self.status(it, "/primary") == Some(200))
    }

    /// A standby that commits wait for.
    pub fn synchronous_standby(&self) -> Option<usize> {
        MACHINES
            .into_iter()
            .find(|&it| self.status(it, "/sync") == Some(200))
    }

    /// Waits for a primary.
    pub fn wait_for_primary(&self) -> usize {
        self.until("a primary", || self.primary())
    }

    /// Waits for a primary other than this machine.
    pub fn wait_for_primary_but(&self, lost: usize) -> usize {
        let others = MACHINES.into_iter().filter(|&it| it != lost);
        self.until("another primary", || {
            others
                .clone()
                .find(|&it| self.status(it, "/primary") == Some(200))
        })
    }

    /// Waits until all three members run and one standby is synchronous.
    pub fn wait_until_whole(&self) -> usize {
        self.until("a cluster without a fault", || {
            let primary = self.primary()?;
            let standbys = "SELECT count(*), count(*) FILTER (WHERE sync_state = 'sync')
                FROM pg_stat_replication WHERE state = 'streaming'";
            let standbys = self.sql(primary, standbys).ok()?;
            (standbys == "2|1" && self.synchronous_standby().is_some()).then_some(primary)
        })
    }

    /// Asks Patroni to make another machine the primary.
    pub fn switchover(&self) {
        let from = self.wait_for_primary();
        let body = format!("{{\"leader\": \"{}\"}}", machine::name(from));
        self.until("a switchover", || {
            let (status, _) = self.ask(from, "POST", "/switchover", &body)?;
            (status == 200 || self.primary() != Some(from)).then_some(())
        });
        self.wait_for_primary_but(from);
    }

    /// Commits wait for no standby from now on.
    pub fn make_asynchronous(&self) {
        let primary = self.wait_for_primary();
        let body = r#"{"synchronous_mode": false, "synchronous_mode_strict": false}"#;
        let names = "SHOW synchronous_standby_names";
        self.until("commits without a standby", || {
            self.ask(primary, "PATCH", "/config", body)?;
            (self.sql(primary, names).as_deref() == Ok("")).then_some(())
        });
    }

    /// Kills the postmaster (SIGKILL). Its backends end when they notice.
    pub fn kill_postgres(&self, machine: usize) {
        self.machines[machine].signal("postgres -D ", Signal::KILL);
    }

    /// Ends all processes of the machine at once, as a loss of power does.
    pub fn kill(&mut self, machine: usize) {
        self.machines[machine].kill();
    }

    /// Starts a machine again that was [killed](Self::kill).
    pub fn start_again(&mut self, machine: usize) {
        self.machines[machine].start(&self.network);
    }

    /// Waits until the watchdog of a machine has reset it: all its processes have ended.
    pub fn wait_for_reset(&mut self, machine: usize) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.machines[machine].has_ended() {
            assert!(
                Instant::now() < deadline,
                "no reset in time:\n{}",
                self.logged()
            );
            sleep(POLL_INTERVAL);
        }
    }

    /// Removes the watchdog of a machine, as if its driver were not loaded.
    pub fn remove_watchdog(&mut self, machine: usize) {
        self.machines[machine].remove_watchdog();
    }

    /// Ends [`remove_watchdog`](Self::remove_watchdog).
    pub fn add_watchdog(&mut self, machine: usize) {
        self.machines[machine].add_watchdog();
    }

    /// Freezes all processes of the machine (SIGSTOP). Its kernel goes on to accept connections.
    pub fn stop(&self, machine: usize) {
        self.machines[machine].signal("", Signal::STOP);
    }

    /// Ends [`stop`](Self::stop) and [`stop_process`](Self::stop_process).
    pub fn cont(&self, machine: usize) {
        self.machines[machine].signal("", Signal::CONT);
    }

    /// Freezes the processes of a machine whose command line contains this.
    pub fn stop_process(&self, machine: usize, contains: &str) {
        self.machines[machine].signal(contains, Signal::STOP);
    }

    /// Cuts a machine off from the others, so also from the arbiter. Clients reach it as before.
    pub fn partition(&self, machine: usize) {
        self.each_direction(machine, &|from, to| self.network.drop_packets(from, to));
    }

    /// Ends a [partition](Self::partition).
    pub fn heal(&self, machine: usize) {
        self.each_direction(machine, &|from, to| self.network.pass_packets(from, to));
    }

    fn each_direction(&self, machine: usize, change: &dyn Fn(&Machine, Ipv4Addr)) {
        for other in MACHINES.into_iter().filter(|&other| other != machine) {
            change(&self.machines[machine], self.network.address(other));
            change(&self.machines[other], self.network.address(machine));
        }
    }

    /// Fills the disk of a machine, until [`empty`](Self::empty).
    pub fn fill(&self, machine: usize) {
        let mut file = fs::File::create(self.filler(machine)).unwrap();
        while file.write_all(&[0; 65536]).is_ok() {}
    }

    /// Frees what [`fill`](Self::fill) took.
    pub fn empty(&self, machine: usize) {
        fs::remove_file(self.filler(machine)).unwrap();
    }

    fn filler(&self, machine: usize) -> std::path::PathBuf {
        self.machines[machine].place.folder.join("disk/filler")
    }

    /// The result of a statement, as `psql -At` prints it.
    pub fn sql(&self, machine: usize, statement: &str) -> Result<String, String> {
        let host = self.network.address(machine).to_string();
        let asked = Command::new("timeout")
            .arg("5")
            .arg(postgres::programs().join("psql"))
            .args([
                "-At",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                &host,
                "-U",
                USER,
                "-d",
                "postgres",
            ])
            .args(["-c", statement])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match asked.status.success() {
            true => Ok(text(&asked.stdout)),
            false => Err(text(&asked.stderr)),
        }
    }

    /// The last of what the machines logged.
    pub fn logged(&self) -> String {
        self.machines.iter().map(Machine::logged).collect()
    }

    /// Whether a machine has logged this lately.
    pub fn has_logged(&self, machine: usize, text: &str) -> bool {
        self.machines[machine].logged().contains(text)
    }

    fn status(&self, machine: usize, path: &str) -> Option<u16> {
        Some(self.ask(machine, "GET", path, "")?.0)
    }

    /// Status and body of a response of Patroni.
    fn ask(&self, machine: usize, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let at = SocketAddr::from((self.network.address(machine), PATRONI_PORT));
        let patience = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&at, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let status = response.split(' ').nth(1)?.parse().ok()?;
        Some((status, response))
    }

    fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "no {what} in time:\n{}",
                self.logged()
            );
            sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Makes the user that runs PostgreSQL the owner.
fn give_to_postgres(path: &Path) {
    if let Some((user, group)) = postgres::unprivileged() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// What only root may do, and whoever entered a namespace of its own.
fn make_namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--mount-proc"]);
    command.args(["ip", "link", "add", "type", "veth"]);
    command
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// If this user may not make namespaces, but may in one of its own: runs a test of this program again
/// in one. Whether it did; the test fails if it fails there.
pub fn rerun_in_a_namespace(test: &str) -> bool {
    let enter = |program: &Command| {
        let mut entered = Command::new("unshare");
        entered.args(["--user", "--map-current-user", "--keep-caps", "--net"]);
        entered.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
        entered.arg(program.get_program()).args(program.get_args());
        entered
    };
    if succeeds(&mut make_namespaces()) || !succeeds(&mut enter(&make_namespaces())) {
        return false;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "--nocapture", test]);
    let status = enter(&again).status().unwrap();
    assert!(status.success(), "{test} failed in a namespace");
    true
}

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
