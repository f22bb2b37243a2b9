//! The binary as a process, from its first start to its exit.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use serde::Deserialize;
use tempfile::TempDir;

use super::{ApiClient, EDGESEAL, TIMEOUT, raw, secrets, tls};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_edgeseal");

/// A server with a data directory of its own. Stop it by [`Server::stop`], or the test fails.
pub(crate) struct Server {
    /// The temporary directory of everything.
    home: TempDir,
    process: Option<Child>,
    /// The subcommand and its own arguments.
    subcommand: &'static [&'static str],
    /// The file of its log.
    log_filter: &'static str,
    /// Its standard output after `ready`.
    stdout_lines: Option<mpsc::Receiver<String>>,
    addresses: Addresses,
    /// How much of the log has been searched for key material.
    log_searched: usize,
}

/// The addresses that it listens on.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) api: SocketAddr,
    #[serde(default)]
    pub(crate) api_tls: Option<SocketAddr>,
    /// Port 0 if it has no edge.
    #[serde(default = "nowhere")]
    pub(crate) https: SocketAddr,
    #[serde(default = "nowhere")]
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    account_id: String,
    access_key_id: String,
    access_key_secret: String,
}

impl Server {
    /// Starts a server with the default configuration.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with this configuration (TOML).
    pub(crate) fn start_with(config: &str) -> Self {
        Self::start_as(&["serve"], config)
    }

    /// Starts a server by this subcommand.
    pub(crate) fn start_as(subcommand: &'static [&'static str], config: &str) -> Self {
        // The most verbose log: key material must not appear even there. Except h2, which logs
        // every frame.
        Self::start_logging("trace,h2=debug", subcommand, config)
    }

    /// Starts a server that logs as in production, for tests under load.
    pub(crate) fn start_quiet(config: &str) -> Self {
        Self::start_logging("info", &["serve"], config)
    }

    fn start_logging(
        log_filter: &'static str,
        subcommand: &'static [&'static str],
        config: &str,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = config.to_owned();
        for (setting, value) in [
            // The origins of the tests are on this machine.
            ("origin_private_addresses = ", "\"all\""),
            // How full the disk of this machine is, is no concern of the tests.
            ("disk_free_bytes = ", "1"),
        ] {
            if !config.contains(setting) {
                config = format!("{setting}{value}\n{config}");
            }
        }
        fs::write(home.path().join("edgeseal.toml"), config).unwrap();
        let nowhere = nowhere();
        let mut server = Self {
            home,
            process: None,
            subcommand,
            log_filter,
            stdout_lines: None,
            log_searched: 0,
            addresses: Addresses {
                api: nowhere,
                api_tls: None,
                https: nowhere,
                http: nowhere,
                admin: nowhere,
            },
        };
        server.launch();
        server
    }

    /// Starts it again on the same data; returns once it prints `ready`.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let command = self.command();
        self.launch_with(command);
    }

    /// Starts a process that takes over from the running one; returns the latter once the new one
    /// prints `ready`.
    pub(crate) fn hand_over(&mut self) -> Child {
        let before = self.process.take().expect("it runs");
        let mut command = self.command();
        command.arg("--hand-over");
        self.launch_with(command);
        before
    }

    /// Starts a further process with these arguments and the same log settings.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.args(arguments);
        command.stderr(self.open_log()).spawn().unwrap()
    }

    fn open_log(&self) -> File {
        let mut options = File::options();
        options.append(true).create(true);
        options.open(self.log_path()).unwrap()
    }

    /// Replaces the process by one that was [spawned](Self::spawn).
    pub(crate) fn adopt(&mut self, process: Child) {
        assert!(self.process.is_none(), "it runs already");
        self.process = Some(process);
        self.read_addresses();
    }

    fn read_addresses(&mut self) {
        let json = fs::read(self.data().join("addresses.json")).unwrap();
        self.addresses = serde_json::from_slice(&json).unwrap();
    }

    /// Starts it by this command.
    pub(crate) fn launch_with(&mut self, mut command: Command) {
        let mut process = command.stderr(self.open_log()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (said, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        self.process = Some(process);
        match lines.recv_timeout(TIMEOUT) {
            Ok(line) => assert_eq!(line, "ready", "the first line on standard output"),
            Err(_) => panic!("it does not get ready: {}", self.log()),
        }
        self.stdout_lines = Some(lines);
        self.read_addresses();
    }

    /// The command that serves the data directory; standard output is piped.
    pub(crate) fn command(&self) -> Command {
        self.command_at(&[])
    }

    /// As [`command`](Self::command), with some addresses set.
    pub(crate) fn command_at(&self, given: &[(&str, SocketAddr)]) -> Command {
        let mut command = binary();
        command.env("EDGESEAL_LOG", self.log_filter);
        command.args(self.subcommand);
        command.arg("--data").arg(self.data());
        command
            .arg("--config")
            .arg(self.home.path().join("edgeseal.toml"));
        let has_edge = self.subcommand != ["api"];
        let roles: &[&str] = if has_edge {
            &["--api", "--https", "--http", "--admin"]
        } else {
            &["--api", "--admin"]
        };
        for role in roles {
            let given = given.iter().find(|(name, _)| name == role);
            let given = given.map(|(_, address)| address.to_string());
            let any = || "127.0.0.1:0".to_owned();
            command.arg(role).arg(given.unwrap_or_else(any));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A directory for the test's files.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The root account.
    pub(crate) fn root_client(&self) -> ApiClient {
        let json = fs::read(self.data().join("credentials.json")).unwrap();
        let found: Credentials = serde_json::from_slice(&json).unwrap();
        self.client_for(
            &found.account_id,
            &found.access_key_id,
            &found.access_key_secret,
        )
    }

    pub(crate) fn client_for(&self, account: &str, key: &str, secret: &str) -> ApiClient {
        ApiClient::new(&self.addresses.api.to_string(), account, key, secret)
    }

    /// A new account.
    pub(crate) async fn create_account(&self, name: &str) -> ApiClient {
        let created = self
            .root_client()
            .call(EDGESEAL, "CreateAccount", &[("AccountName", name)])
            .await;
        let body = created.unwrap().body;
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let key = &body["AccessKey"];
        self.client_for(
            &text(&body["AccountId"]),
            &text(&key["AccessKeyId"]),
            &text(&key["AccessKeySecret"]),
        )
    }

    /// Its output after `ready`, up to the line with this text.
    pub(crate) fn printed_until(&self, last: &str) -> String {
        let lines = self.stdout_lines.as_ref().expect("it was started");
        let mut text = String::new();
        while !text.lines().last().is_some_and(|line| line.contains(last)) {
            match lines.recv_timeout(TIMEOUT) {
                Ok(line) => text = format!("{text}{line}\n"),
                Err(_) => panic!("it does not print {last:?}: {text}"),
            }
        }
        text
    }

    /// The result of a new handshake (rustls).
    pub(crate) async fn served(&self, name: &str) -> tls::Served {
        tls::served_chain(self.addresses.https, name).await
    }

    /// Asserts that the next handshake serves this leaf.
    pub(crate) async fn assert_serves<'a>(&'a self, name: &'a str, leaf: &'a [u8], when: &'a str) {
        match self.served(name).await {
            Ok(chain) if chain[0] == leaf => {}
            Ok(_) => panic!("{name} shows another leaf {when}"),
            Err(why) => panic!("{name} shows no certificate {when}: {why:?}"),
        }
    }

    /// A value of its metrics page: of the first line that starts with this series.
    pub(crate) async fn metric(&self, series: &str) -> Option<u64> {
        let page = raw::get(self.addresses.admin, "localhost", "/metrics").await;
        let line = page.body.lines().find_map(|line| line.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok())
    }

    /// Its log, over all its starts.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap()).into_owned()
    }

    /// Kills it (SIGKILL), and searches its log for key material.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
        self.search_log();
    }

    /// Sends SIGTERM and waits until it has exited.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.as_ref().expect("it runs"), name);
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Whether it is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        let process = self.process.as_mut().expect("it was started");
        process.try_wait().unwrap().is_none()
    }

    /// Waits until it has exited, without a further signal, which would make it exit at once.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        let status = wait_for_exit(&mut process);
        self.search_log();
        status
    }

    /// Ends the test: the server must drain and exit with 0.
    pub(crate) fn stop(mut self) {
        let status = self.terminate();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Searches the log of its last process for key material.
    fn search_log(&mut self) {
        let log = fs::read(self.log_path()).unwrap();
        let new = &log[self.log_searched..];
        assert!(!new.is_empty(), "it logs");
        secrets::assert_no_secrets("the log", new);
        self.log_searched = log.len();
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let _ = process.kill();
        let _ = process.wait();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("the last of its log, newest first:\n{}", tail.join("\n"));
        } else {
            panic!("the test left a server running");
        }
    }
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The first line of a process's output; empty if it exits without one.
pub(crate) fn first_line(process: &mut Child) -> String {
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let (said, line) = mpsc::channel();
    thread::spawn(move || {
        let mut first = String::new();
        let _ = stdout.read_line(&mut first);
        let _ = said.send(first.trim_end().to_owned());
        // Keep the pipe open, so that the process can print more.
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    line.recv_timeout(TIMEOUT).unwrap_or_default()
}

/// The binary, without configuration from the environment.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars() {
        if name.starts_with("EDGESEAL_") || name.starts_with("ALIBABA_CLOUD_") {
            command.env_remove(name);
        }
    }
    command
}

/// A command run through a shell script that ends with `exec "$@"`. Standard output is piped.
pub(crate) fn via_shell(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped());
    shell
}

/// Sends a signal.
pub(crate) fn signal(process: &Child, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", process.id())])
        .status();
    assert!(sent.unwrap().success());
}

/// Waits for the exit of a process; fails the test after the timeout.
pub(crate) fn wait_for_exit(process: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = process.kill();
            panic!("the process does not end");
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
}
