//! PostgreSQL, a real server, on loopback.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpStream},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::{pki::TestCertificate, port::free_address};

/// The server; stops when dropped.
pub struct PostgresServer {
    pub port: u16,
    process: Mutex<Option<Child>>,
    data: PathBuf,
    _files: TempDir,
}

/// The superuser. Everybody on loopback may be it.
pub(crate) const USER: &str = "edgeseal";

impl PostgresServer {
    /// A server that the tests of this process share, each with a schema of its own. It stops with the
    /// last of them.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start());
        *shared = Arc::downgrade(&started);
        started
    }

    /// A server with an empty database.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// A server that speaks TLS with this certificate, and accepts nothing else.
    pub fn start_with_tls(certificate: &TestCertificate) -> Self {
        Self::start_with(Some(certificate))
    }

    fn start_with(certificate: Option<&TestCertificate>) -> Self {
        let files = tempfile::tempdir().unwrap();
        let data = files.path().join("data");
        if let Some((user, group)) = unprivileged() {
            chown(files.path(), Some(user), Some(group)).unwrap();
        }
        let made = command("initdb")
            .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8"])
            .args([
                "--locale",
                "C",
                "--no-sync",
                "--no-instructions",
                "--pgdata",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        if let Some(certificate) = certificate {
            let private = |name: &str, pem: &str| {
                let path = data.join(name);
                fs::write(&path, pem).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                if let Some((user, group)) = unprivileged() {
                    chown(&path, Some(user), Some(group)).unwrap();
                }
            };
            private("server.crt", &certificate.chain);
            private("server.key", &certificate.key);
            private("pg_hba.conf", "hostssl all all 127.0.0.1/32 trust\n");
            private("postgresql.auto.conf", "ssl = on\n");
        }
        let server = Self {
            port: free_address().port(),
            process: Mutex::new(None),
            data,
            _files: files,
        };
        server.start_again();
        server
    }

    /// Starts it after [`kill`](Self::kill), on the same port and with the same data.
    pub fn start_again(&self) {
        let log = fs::File::create(self.log()).unwrap();
        let process = command("postgres")
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &self.port.to_string()])
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args([
                "-c",
                "max_connections=300",
                "-c",
                "log_min_messages=warning",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.process() = Some(process);
        let until = Instant::now() + Duration::from_secs(60);
        while !self.answers() {
            assert!(
                Instant::now() < until,
                "PostgreSQL does not start: {}",
                self.logged()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends all its processes at once, as a crash does.
    pub fn kill(&self) {
        let Some(mut process) = self.process().take() else {
            return;
        };
        let postmaster = Pid::from_child(&process);
        // SIGQUIT is the immediate shutdown: no checkpoint, recovery at the next start. A postmaster that
        // is killed leaves its children for a while.
        let _ = kill_process(postmaster, Signal::QUIT);
        let _ = process.wait();
    }

    /// Copies the data of the server, which must not run.
    pub fn back_up(&self) {
        copy(&self.data, &self.backup());
    }

    /// Puts that copy back. The server must not run.
    pub fn put_back(&self) {
        fs::remove_dir_all(&self.data).unwrap();
        copy(&self.backup(), &self.data);
    }

    fn backup(&self) -> PathBuf {
        self.data.with_extension("backup")
    }

    /// The URL of a store in this schema of the database.
    pub fn url(&self, schema: &str) -> String {
        format!(
            "postgres://{USER}@127.0.0.1:{}/postgres?schema={schema}",
            self.port
        )
    }

    /// The tables and functions of a schema, as SQL.
    pub fn dump(&self, schema: &str) -> String {
        let dumped = self
            .client("pg_dump")
            .args(["--inserts", "--no-owner", "--schema", schema])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&dumped.stderr);
        assert!(dumped.status.success(), "{errors}");
        String::from_utf8(dumped.stdout).unwrap()
    }

    /// Runs the statements of a file.
    pub fn run_sql(&self, file: &Path) {
        let ran = self
            .client("psql")
            .args(["--quiet", "--set", "ON_ERROR_STOP=1"])
            .stdin(fs::File::open(file).unwrap())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{errors}");
    }

    /// The first value that a query returns.
    pub fn query(&self, sql: &str) -> String {
        let options = ["--quiet", "--tuples-only", "--no-align", "--command"];
        let found = self.client("psql").args(options).arg(sql).output().unwrap();
        let errors = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.success(), "{sql}: {errors}");
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    }

    /// Runs statements in a transaction that stays open, with its locks, until this is dropped.
    pub fn hold_open(&self, sql: &str) -> OpenTransaction {
        let mut psql = self.client("psql");
        psql.args(["--quiet", "--set", "ON_ERROR_STOP=1"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        let stdin = psql.stdin.as_mut().unwrap();
        writeln!(stdin, "BEGIN;\n{sql};\n\\echo done").unwrap();
        let said = BufReader::new(psql.stdout.take().unwrap()).lines();
        let mut said = said.map_while(Result::ok);
        assert!(said.any(|line| line == "done"), "{sql}");
        OpenTransaction(psql)
    }

    fn client(&self, program: &str) -> Command {
        let mut client = command(program);
        client.args(["--host", "127.0.0.1", "--username", USER]);
        client.args(["--port", &self.port.to_string(), "--dbname", "postgres"]);
        client
    }

    /// What it logged since its start.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it accepts connections: it listens before it does.
    fn answers(&self) -> bool {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            return false;
        }
        let ready = command("pg_isready")
            .args([
                "--quiet",
                "--host",
                "127.0.0.1",
                "--port",
                &self.port.to_string(),
            ])
            .status();
        ready.is_ok_and(|status| status.success())
    }
}

/// A transaction of [`PostgresServer::hold_open`].
pub struct OpenTransaction(Child);

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Copies a folder with owners and modes.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// A program of PostgreSQL, which runs as no superuser.
fn command(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// Debian installs the programs outside of the path.
pub(crate) fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.filter_map(|version| {
        let version = version.ok()?;
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let folder = version.path().join("bin");
        folder.join("postgres").exists().then_some((number, folder))
    });
    let newest = folders.max().map(|(_, folder)| folder);
    newest.expect("PostgreSQL is installed: apt-get install postgresql")
}

/// The user that Debian makes for PostgreSQL, if this process is root, whom the server refuses.
pub(crate) fn unprivileged() -> Option<(u32, u32)> {
    if !getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("there is a user postgres").split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok());
    number().zip(number())
}
