//! A real `edgeseal serve`, in a directory of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::BenchResult;

/// The program and the parent of its data directory.
pub(crate) struct ServerConfig {
    pub(crate) program: PathBuf,
    pub(crate) disk: PathBuf,
}

/// A running server; killed on drop.
pub(crate) struct Server {
    child: Child,
    home: PathBuf,
    /// Removed with the server, unless its directory is reused.
    directory: Option<TempDir>,
    /// Time from the start of the process to its line `ready`.
    pub(crate) startup_time: Duration,
    pub(crate) addresses: Addresses,
    /// None of a further server on a shared store.
    pub(crate) root: Option<Credentials>,
}

#[derive(Deserialize)]
pub(crate) struct Addresses {
    pub(crate) api: SocketAddr,
    pub(crate) https: SocketAddr,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) access_key_secret: String,
}

/// Without per-source limits, since all clients have the same address; origins are on this machine.
const BASE_CONFIG: &str = "connections_per_source = 65536\nstreams_per_source = 65536\n\
                           origin_private_addresses = \"all\"\n";

impl Server {
    /// Starts a server on an empty directory and waits until it is ready. Its log goes to a file.
    pub(crate) fn start(place: &ServerConfig) -> BenchResult<Self> {
        Self::start_with(place, "")
    }

    /// As [`Server::start`], with a configuration in TOML.
    pub(crate) fn start_with(place: &ServerConfig, config: &str) -> BenchResult<Self> {
        let directory = TempDir::with_prefix_in("bench-", &place.disk)?;
        let home = directory.path().to_owned();
        let mut server = Self::start_in(place, &home, config)?;
        server.directory = Some(directory);
        Ok(server)
    }

    /// Starts a server in an existing directory, with its data.
    pub(crate) fn start_in(place: &ServerConfig, home: &Path, config: &str) -> BenchResult<Self> {
        if filesystem(home)? == "tmpfs" {
            return Err("--disk is in memory: durable commits would cost nothing".into());
        }
        let program = fs::canonicalize(&place.program)
            .map_err(|why| format!("{}: {why}; build it first", place.program.display()))?;
        let data = home.join("data");
        let config_file = home.join("config.toml");
        fs::write(&config_file, format!("{BASE_CONFIG}{config}"))?;
        let began = Instant::now();
        let mut child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(&config_file)
            .arg("--data")
            .arg(&data)
            .args(["--api", "127.0.0.1:0", "--https", "127.0.0.1:0"])
            .args(["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.join("log"))?)
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let ready = BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "ready");
        let start_took = began.elapsed();
        if !ready {
            let _ = child.wait();
            let log = fs::read_to_string(home.join("log")).unwrap_or_default();
            return Err(format!("the server did not start\n{log}").into());
        }
        let read = |name| fs::read(data.join(name));
        Ok(Self {
            addresses: serde_json::from_slice(&read("addresses.json")?)?,
            root: match read("credentials.json") {
                Ok(credentials) => Some(serde_json::from_slice(&credentials)?),
                Err(_) => None,
            },
            child,
            home: home.to_owned(),
            directory: None,
            startup_time: start_took,
        })
    }

    /// Shuts it down gracefully; returns how long that took.
    pub(crate) fn stop(mut self) -> BenchResult<Duration> {
        let began = Instant::now();
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        if !self.child.wait()?.success() {
            return Err("the server did not end in order".into());
        }
        self.directory = None;
        Ok(began.elapsed())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The filesystem of the data directory.
    pub(crate) fn filesystem(&self) -> BenchResult<String> {
        filesystem(&self.home)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Type of the filesystem that holds `path`.
fn filesystem(path: &Path) -> BenchResult<String> {
    let path = fs::canonicalize(path)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(at, _)| path.starts_with(at));
    let innermost = holding.max_by_key(|(at, _)| at.len());
    Ok(innermost.map_or("unknown", |(_, kind)| kind).to_owned())
}
