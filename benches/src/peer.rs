//! The peers: packaged nginx, HAProxy and Caddy, each in a directory of its own.
//!
//! Each is configured as its documentation advises for many certificates, otherwise all alike: TLS
//! 1.2 and 1.3, HTTP/2 and HTTP/1.1, default tickets, no logs, everything proxied to one origin
//! over persistent connections, as many workers as cores.

use std::{
    fmt, fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use edgeseal_testing::{pki::TestCertificate, process};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use tempfile::TempDir;

use crate::{
    BenchResult,
    cert_directory::CertDirectory,
    tls::{Client, KeyExchange},
};

mod caddy;
mod haproxy;
mod nginx;

/// A peer with a way to configure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A server block for each name, as in every guide.
    Nginx,
    /// One server block whose certificate is a file named by a variable: read at each handshake.
    NginxByVariable,
    /// A directory of certificates; changed over the runtime API.
    Haproxy,
    /// `load_folders`; changed by reloading the configuration.
    Caddy,
}

/// The settings of a peer.
pub(crate) struct PeerConfig<'a> {
    pub(crate) folder: &'a CertDirectory,
    pub(crate) origin: SocketAddr,
    pub(crate) workers: usize,
    /// Time limit for its start, and for a change to be visible.
    pub(crate) timeout: Duration,
    /// Memory limit meanwhile.
    pub(crate) memory_kib_max: u64,
}

/// A running peer; stopped on drop.
pub(crate) struct Peer {
    kind: Kind,
    master: Child,
    directory: TempDir,
    pub(crate) https: SocketAddr,
    /// Time from the start of the process to the end of a handshake with its last name.
    pub(crate) start_took: Duration,
}

/// Why a peer could not be measured.
#[derive(Debug)]
pub(crate) enum Limit {
    Time(Duration),
    MemoryKib(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(spent) => write!(f, "given up after {} s", spent.as_secs()),
            Self::MemoryKib(taken) => write!(f, "given up at {} MB", taken * 1024 / 1_000_000),
        }
    }
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxByVariable => "nginx, file by variable",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    fn command(self, at: &Path, https: SocketAddr, setup: &PeerConfig<'_>) -> BenchResult<Command> {
        match self {
            Self::Nginx => nginx::command(at, setup, &nginx::server_blocks(https, setup)),
            Self::NginxByVariable => {
                nginx::command(at, setup, &nginx::certificate_by_variable(https, setup))
            }
            Self::Haproxy => haproxy::command(at, https, setup),
            Self::Caddy => caddy::command(at, https, setup),
        }
    }
}

impl<'a> PeerConfig<'a> {
    /// As many workers as cores, a time limit of a minute, 8 GB.
    pub(crate) fn new(folder: &'a CertDirectory, origin: SocketAddr) -> BenchResult<Self> {
        Ok(Self {
            folder,
            origin,
            workers: std::thread::available_parallelism()?.get(),
            timeout: Duration::from_secs(60),
            memory_kib_max: 8_000_000,
        })
    }
}

impl Peer {
    /// Starts a peer and waits until it serves its last name, within its limits.
    pub(crate) async fn start(
        kind: Kind,
        setup: &PeerConfig<'_>,
    ) -> BenchResult<Result<Self, Limit>> {
        let directory = TempDir::with_prefix("bench-peer-")?;
        // Not all of them support port 0.
        let https = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = kind.command(directory.path(), https, setup)?;
        let log = directory.path().join("log");
        let began = Instant::now();
        let master = command
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .map_err(|why| format!("{}: {why}; run benches/peers.sh", kind.name()))?;
        let mut peer = Self {
            kind,
            master,
            directory,
            https,
            start_took: Duration::ZERO,
        };
        let client = Client::new(KeyExchange::X25519)?;
        let last = setup.folder.names().last().ok_or("an empty folder")?;
        loop {
            if let Some(status) = peer.master.try_wait()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{} ended: {status}\n{log}", kind.name()).into());
            }
            if client.connect_expecting(https, last).await.is_ok() {
                peer.start_took = began.elapsed();
                return Ok(Ok(peer));
            }
            let (resident, _) = process::resident_kib(peer.master.id())?;
            if resident > setup.memory_kib_max {
                return Ok(Err(Limit::MemoryKib(resident)));
            }
            if began.elapsed() > setup.timeout {
                return Ok(Err(Limit::Time(began.elapsed())));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// As [`Peer::start`]; reaching a limit is an error.
    pub(crate) async fn start_or_fail(kind: Kind, setup: &PeerConfig<'_>) -> BenchResult<Self> {
        let started = Self::start(kind, setup).await?;
        started.map_err(|limit| format!("{}: {limit}", kind.name()).into())
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// The master process and its descendants.
    pub(crate) fn pids(&self) -> BenchResult<Vec<u32>> {
        let mut pids = vec![self.master.id()];
        let mut at = 0;
        while let Some(pid) = pids.get(at).copied() {
            pids.extend(process::children(pid)?);
            at += 1;
        }
        Ok(pids)
    }

    /// Memory of all its processes; shared pages count once.
    pub(crate) fn memory_kib(&self) -> BenchResult<u64> {
        Ok(process::proportional_kib(&self.pids()?)?)
    }

    /// Replaces the certificate file of a name and makes the peer load it; returns when that was
    /// requested.
    pub(crate) fn change(
        &self,
        name: &str,
        to: &TestCertificate,
        setup: &PeerConfig<'_>,
    ) -> BenchResult<()> {
        setup.folder.replace(name, to)?;
        match self.kind {
            Kind::NginxByVariable => Ok(()),
            Kind::Nginx => self.signal(Signal::HUP),
            Kind::Haproxy => haproxy::change(self.at(), &setup.folder.file(name), to),
            Kind::Caddy => caddy::reload(self.at()),
        }
    }

    /// Changes a certificate; returns the time to the end of the first handshake that shows it.
    pub(crate) async fn change_and_wait(
        &self,
        name: &str,
        to: &TestCertificate,
        setup: &PeerConfig<'_>,
    ) -> BenchResult<Result<Duration, Limit>> {
        let client = Client::new(KeyExchange::X25519)?;
        let server_name = ServerName::try_from(name.to_owned())?;
        let began = Instant::now();
        self.change(name, to, setup)?;
        loop {
            let shown = client.handshake(self.https, &server_name).await;
            if shown.is_ok_and(|shown| shown.leaf() == Some(&*to.leaf)) {
                return Ok(Ok(began.elapsed()));
            }
            if began.elapsed() > setup.timeout {
                return Ok(Err(Limit::Time(began.elapsed())));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn signal(&self, signal: Signal) -> BenchResult<()> {
        let pid = i32::try_from(self.master.id())?;
        let pid = Pid::from_raw(pid).ok_or("no process")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Killing the master stops its workers.
        let _ = self.signal(Signal::TERM);
        let _ = self.master.wait();
    }
}

/// A program that benches/peers.sh has installed, else the one in PATH.
pub(crate) fn program(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = here.join("out/peers/bin").join(name);
    if ours.exists() { ours } else { name.into() }
}
