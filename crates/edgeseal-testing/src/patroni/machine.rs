//! One machine of the cluster: its namespaces, processes and files.

use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{MACHINES, PATRONI_PORT, POSTGRES_PORT, network::Network, run, watchdog::Watchdog};
use crate::{
    postgres::{self, USER},
    process,
    wait::until,
};

pub(super) struct Machine {
    pub(super) place: Place,
    running: Option<Running>,
    watchdog: Option<Watchdog>,
}

/// Where it is.
pub(super) struct Place {
    pub(super) index: usize,
    /// Of all machines.
    pub(super) addresses: [Ipv4Addr; 3],
    pub(super) folder: PathBuf,
    pub(super) has_watchdog: bool,
}

struct Running {
    /// Made the namespaces, and waits for the first process in them.
    holder: Child,
    /// The first process ends when this is closed, and all others with it.
    _alive: ChildStdin,
    first: u32,
}

/// The first process of a machine: starts again what ends, as a service manager does.
const INIT: &str = r#"
exec 3<&0
until ip -4 address show dev eth0 2>/dev/null | grep -q inet; do sleep 0.05; done
again() { while :; do "$@"; sleep 1; done; }
as=
if ((EUID == 0)); then as="setpriv --reuid postgres --regid postgres --clear-groups"; fi
again $as etcd $ETCD >>"$FOLDER/etcd.log" 2>&1 3<&- &
again $as patroni "$FOLDER/patroni.yml" >>"$FOLDER/patroni.log" 2>&1 3<&- &
cat <&3 >/dev/null
"#;

impl Machine {
    pub(super) fn new(place: Place) -> Self {
        fs::write(place.folder.join("patroni.yml"), place.patroni()).unwrap();
        Self {
            place,
            running: None,
            watchdog: None,
        }
    }

    pub(super) fn start(&mut self, network: &Network) {
        assert!(self.running.is_none(), "it runs already");
        self.place.empty_run();
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
                "bash",
                "-c",
                INIT,
            ])
            .env("FOLDER", &self.place.folder)
            .env("ETCD", self.place.etcd())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let alive = holder.stdin.take().unwrap();
        let first = until("the first process of a machine", || {
            let children = process::children(holder.id()).ok()?;
            let first = children.first().copied()?;
            // It has its namespaces once it runs the script.
            let program = fs::read_link(format!("/proc/{first}/exe")).ok()?;
            program.ends_with("bash").then_some(first)
        });
        self.running = Some(Running {
            holder,
            _alive: alive,
            first,
        });
        self.add_watchdog();
        network.connect(self.place.index, first);
    }

    /// Gives a machine its watchdog, if it is to have one.
    pub(super) fn add_watchdog(&mut self) {
        if let Some(running) = &self.running
            && self.place.has_watchdog
        {
            let first = running.first;
            let reset = move || send(first, Signal::KILL);
            self.watchdog = Some(Watchdog::start(&self.place.watchdog(), reset));
        }
    }

    pub(super) fn remove_watchdog(&mut self) {
        self.watchdog = None;
    }

    /// Whether its processes have ended by themselves, or by the watchdog.
    pub(super) fn has_ended(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            return true;
        };
        let has_ended = running.holder.try_wait().unwrap().is_some();
        if has_ended {
            self.running = None;
            self.watchdog = None;
        }
        has_ended
    }

    pub(super) fn kill(&mut self) {
        self.watchdog = None;
        if self.has_ended() {
            return;
        }
        let Some(mut running) = self.running.take() else {
            return;
        };
        send(running.first, Signal::KILL);
        let _ = running.holder.wait();
    }

    /// Sends a signal to the processes whose command line contains this.
    pub(super) fn signal(&self, contains: &str, signal: Signal) {
        let processes = self.processes();
        let chosen = processes.iter().filter(|(_, line)| line.contains(contains));
        chosen.for_each(|(id, _)| send(*id, signal));
    }

    /// Ids and command lines of its processes.
    fn processes(&self) -> Vec<(u32, String)> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let namespace = |id: u32| fs::read_link(format!("/proc/{id}/ns/pid")).ok();
        let own = namespace(running.first);
        let ids = fs::read_dir("/proc").unwrap();
        let ids = ids.filter_map(|found| found.ok()?.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|&id| own.is_some() && namespace(id) == own)
            .filter_map(|id| {
                let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                Some((id, line))
            })
            .collect()
    }

    /// Runs `ip` in its network namespace.
    pub(super) fn ip(&self, arguments: &[&str]) {
        let Some(running) = &self.running else {
            return;
        };
        let first = running.first.to_string();
        let inside = ["--target", first.as_str(), "--net", "ip"];
        run("nsenter", &[&inside, arguments].concat());
    }

    pub(super) fn logged(&self) -> String {
        let of = |name: &str| {
            let log = fs::read(self.place.folder.join(name)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines = log.lines().filter(|line| !is_routine(line));
            let lines: Vec<&str> = lines.rev().take(24).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            format!("-- {} {name}\n{}\n", name_of(&self.place), lines.join("\n"))
        };
        of("patroni.log") + &of("etcd.log")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What Patroni says each second, elections of etcd, and lines that `pg_controldata` prints.
fn is_routine(line: &str) -> bool {
    line.contains("INFO: no action") || line.starts_with("raft") || line.starts_with("  ")
}

/// The name of a machine in Patroni and etcd.
pub(super) fn name(index: usize) -> String {
    format!("pg{}", index + 1)
}

fn name_of(place: &Place) -> String {
    name(place.index)
}

fn send(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended.
        let _ = kill_process(id, signal);
    }
}

impl Place {
    /// Removes what is in /run on a real machine, so that it is gone after a loss of power. PostgreSQL
    /// does not start if the process that a lock file names exists, and ids of processes repeat here.
    fn empty_run(&self) {
        for name in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// The arguments of etcd.
    fn etcd(&self) -> String {
        let own = self.addresses[self.index];
        let members = MACHINES.map(|it| format!("{}=http://{}:2380", name(it), self.addresses[it]));
        format!(
            "--name {} --data-dir {}/etcd --log-level error --initial-cluster {} \
             --initial-advertise-peer-urls http://{own}:2380 --listen-peer-urls http://{own}:2380 \
             --advertise-client-urls http://{own}:2379 --listen-client-urls http://{own}:2379",
            name_of(self),
            self.folder.display(),
            members.join(","),
        )
    }

    /// The device of its watchdog.
    fn watchdog(&self) -> PathBuf {
        self.folder.join("watchdog")
    }

    /// The configuration of Patroni. Its times are as short as a busy machine with two cores allows.
    fn patroni(&self) -> String {
        let device = self.watchdog();
        // Never the device of the machine that runs the tests.
        let (ttl, watchdog) = match self.has_watchdog {
            false => (6, "{mode: 'off'}".to_owned()),
            true => (
                12,
                format!(
                    "{{mode: required, driver: testing, device: '{}', safety_margin: 5}}",
                    device.display()
                ),
            ),
        };
        let (name, own) = (name_of(self), self.addresses[self.index]);
        let arbiters = self.addresses.map(|it| format!("{it}:2379")).join(",");
        let (folder, programs) = (self.folder.display(), postgres::programs());
        let programs = programs.display();
        format!(
            "scope: edgeseal
name: {name}
restapi: {{listen: '{own}:{PATRONI_PORT}', connect_address: '{own}:{PATRONI_PORT}'}}
etcd3: {{hosts: '{arbiters}'}}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: 1
    retry_timeout: 2
    primary_start_timeout: 0
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql:
      use_pg_rewind: true
      remove_data_directory_on_rewind_failure: true
      parameters:
        max_connections: 100
        log_min_messages: warning
        min_wal_size: 32MB
        max_wal_size: 128MB
        wal_keep_size: 64MB
  initdb: [{{encoding: UTF8}}, {{locale: C}}, data-checksums]
postgresql:
  listen: '{own}:{POSTGRES_PORT}'
  connect_address: '{own}:{POSTGRES_PORT}'
  data_dir: {folder}/disk/data
  bin_dir: {programs}
  pgpass: {folder}/pgpass
  pg_hba: ['host all all 0.0.0.0/0 trust', 'host replication all 0.0.0.0/0 trust', 'local all all trust']
  authentication:
    superuser: {{username: {USER}}}
    replication: {{username: replicator}}
    rewind: {{username: {USER}}}
  parameters: {{unix_socket_directories: '{folder}'}}
watchdog: {watchdog}
"
        )
    }
}
