//! `edgeseal store copy`, and a backup, a restore and the checks of a database.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use edgeseal_api::client::CallError;
use edgeseal_testing::postgres::PostgresServer;

use crate::harness::{
    ApiClient, CDN_VERSION, Origin, Server, add_params, eventually,
    pki::AUTHORITY,
    raw,
    server::{binary, wait_for_exit},
    tls, unlimited,
};

mod backup;
mod killed;

const NAME: &str = "www.moving.example";

/// Runs a command on a server's data directory with this store: exit code, output, errors.
fn run(server: &Server, store: &str, line: &[&str]) -> (Option<i32>, String, String) {
    finish(command(server, store, line).output().unwrap())
}

fn command(server: &Server, store: &str, line: &[&str]) -> Command {
    let mut command = binary();
    command.args(line).arg("--data").arg(server.data());
    command.args(["--store", store, "--config"]);
    command.arg(server.home().join("edgeseal.toml"));
    let kek = format!("file:{}", server.data().join("kek").display());
    command.env("EDGESEAL_KEK", kek).stdin(Stdio::null());
    command
}

fn finish(output: std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code();
    (code, text(output.stdout), text(output.stderr))
}

/// `edgeseal store copy`.
fn copy(from: &str, to: &str) -> (Option<i32>, String, String) {
    let mut command = binary();
    command.args(["store", "copy", "--from", from, "--to", to]);
    finish(command.stdin(Stdio::null()).output().unwrap())
}

fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// Lets the server use this store from its next start on.
fn configure(server: &Server, store: &str) {
    let path = server.home().join("edgeseal.toml");
    let config = fs::read_to_string(&path).unwrap();
    let is_other = |line: &&str| !line.starts_with("store = ") && !line.starts_with("kek = ");
    let config: Vec<&str> = config.lines().filter(is_other).collect();
    let kek = server.data().join("kek");
    let config = format!(
        "store = \"{store}\"\nkek = \"file:{}\"\n{}\n",
        kek.display(),
        config.join("\n")
    );
    fs::write(path, config).unwrap();
}

/// Handshakes with a server until it is told to stop; each must succeed.
fn probe(address: std::net::SocketAddr, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut count = 0;
        while !stop.load(Ordering::Acquire) {
            let served = tls::served_chain(address, NAME).await;
            served.unwrap_or_else(|error| panic!("handshake {count}: {error:?}"));
            count += 1;
        }
        count
    })
}

/// Adds domains until the store takes no changes; returns the refusal.
async fn add_until_refused(api: ApiClient, sources: String, added: Arc<AtomicU64>) -> String {
    loop {
        let name = format!("{}.moving.example", uuid::Uuid::new_v4());
        let params = add_params(&name, &sources);
        match api.call(CDN_VERSION, "AddCdnDomain", &params).await {
            Ok(_) => added.fetch_add(1, Ordering::AcqRel),
            Err(CallError::Api(refusal)) => return format!("{refusal:?}"),
            Err(error) => panic!("{error}"),
        };
    }
}

/// Copies the store while it changes, and hands over to a server on the copy. No change is lost.
async fn move_server(server: &mut Server, origin: &Origin, from: &str, to: &str) {
    let (api, added) = (server.root_client(), Arc::default());
    let before = domains(&api).await;
    let writer = add_until_refused(api.clone(), origin.sources(), Arc::clone(&added));
    let writer = tokio::spawn(writer);
    eventually("something changes", async || {
        (added.load(Ordering::Acquire) > 5).then_some(())
    })
    .await;
    let (code, said, errors) = tokio::task::block_in_place(|| copy(from, to));
    assert_eq!(code, Some(0), "{said}{errors}");
    assert!(said.contains("each compared"), "{said}");
    let refused = writer.await.unwrap();
    let is_plain = ["the store is being moved to ", "the store was moved to "];
    assert!(
        is_plain.iter().any(|text| refused.contains(text)),
        "{refused}"
    );
    assert!(refused.contains("ServiceUnavailable"), "{refused}");
    // Reads go on.
    let all = domains(&api).await;
    assert_eq!(all, before + added.load(Ordering::Acquire));
    let refused = api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap_err();
    let CallError::Api(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(refused.code, "ServiceUnavailable");
    let ready = raw::get(server.addresses().admin, "admin", "/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);

    configure(server, to);
    let mut old = server.hand_over();
    assert!(tokio::task::block_in_place(|| wait_for_exit(&mut old)).success());
    let api = server.root_client();
    assert_eq!(domains(&api).await, all);
    let pem = AUTHORITY.issue(&[NAME]);
    api.set(NAME, &pem).await.unwrap();
    eventually("the edge serves what was set in the copy", async || {
        let served = server.served(NAME).await.ok()?;
        (served[0] == pem.leaf).then_some(())
    })
    .await;
}

/// How many domains there are.
async fn domains(api: &ApiClient) -> u64 {
    let params = [("PageSize", "1")];
    let found = api.ok(CDN_VERSION, "DescribeUserDomains", &params).await;
    found["TotalCount"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_moves_to_postgresql_and_back_and_no_handshake_fails() {
    let (database, origin) = (PostgresServer::shared(), Origin::start().await);
    let mut server = Server::start_with(&format!("connections = 100\n{}", unlimited()));
    server.root_client().serve(NAME, &origin).await;
    let stop = Arc::new(AtomicBool::new(false));
    let probe = probe(server.addresses().https, &stop);
    let (first, second) = (
        sqlite(&server.data().join("store.db")),
        database.url("moving"),
    );
    let third = sqlite(&server.data().join("second.db"));
    move_server(&mut server, &origin, &first, &second).await;
    for line in [["doctor", "--json"], ["audit", "verify"]] {
        let (code, said, errors) = tokio::task::block_in_place(|| run(&server, &second, &line));
        assert_eq!(code, Some(0), "{line:?}: {said}{errors}");
        assert!(
            line[0] != "doctor" || said.contains("PostgreSQL "),
            "{said}"
        );
        assert!(line[0] != "audit" || said.contains("sound"), "{said}");
    }
    move_server(&mut server, &origin, &second, &third).await;
    let (code, said, errors) =
        tokio::task::block_in_place(|| run(&server, &third, &["audit", "verify"]));
    assert_eq!(code, Some(0), "{said}{errors}");
    stop.store(true, Ordering::Release);
    assert!(probe.await.unwrap() > 10);
    server.stop();
}

/// Adds so many records to a store that no server uses that a copy takes several pages.
fn fill(store: &Path) {
    let store = rusqlite::Connection::open(store).unwrap();
    let sql = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
               INSERT INTO entry (key, value, changed)
               SELECT 'zz/' || n, zeroblob(300), log.head FROM n CROSS JOIN log";
    assert_eq!(store.execute(sql, []).unwrap(), 20_001);
}

/// Starts a copy, and kills it when it prints its n-th line; returns all of its lines, and whether it
/// was killed.
fn killed_at_line(from: &str, to: &str, n: usize) -> (String, bool) {
    let mut command = binary();
    command.args(["store", "copy", "--from", from, "--to", to]);
    let mut child: Child = command.stderr(Stdio::piped()).spawn().unwrap();
    let errors = BufReader::new(child.stderr.take().unwrap());
    let lines: Vec<String> = errors.lines().map(Result::unwrap).take(n + 1).collect();
    let is_killed = lines.len() > n;
    if is_killed {
        child.kill().unwrap();
        child.wait().unwrap();
    } else {
        assert_eq!(wait_for_exit(&mut child).code(), Some(0));
    }
    (lines.join("\n"), is_killed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_goes_on_and_no_server_starts_on_it() {
    let (database, origin) = (PostgresServer::shared(), Origin::start().await);
    let mut server = Server::start_with(&unlimited());
    server.root_client().serve(NAME, &origin).await;
    server.terminate();
    let (path, to) = (server.data().join("store.db"), database.url("killed"));
    fill(&path);
    server.launch();
    let (from, api) = (sqlite(&path), server.root_client());
    let mut all = String::new();
    for n in 0.. {
        let (lines, is_killed) = tokio::task::block_in_place(|| killed_at_line(&from, &to, n));
        all = format!("{all}{lines}\n");
        if !is_killed {
            break;
        }
        let is_stopped = lines.contains("takes no more changes");
        // A server that never had the store.
        let mut command = binary();
        command.args(["serve", "--store", &to, "--data"]);
        command
            .arg(server.home().join("other"))
            .args(["--api", "127.0.0.1:0"]);
        let kek = format!("file:{}", server.data().join("kek").display());
        command.args([
            "--kek",
            &kek,
            "--https",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        let (code, _, errors) = finish(command.output().unwrap());
        assert_eq!(code, Some(64), "{errors}");
        assert!(errors.contains("unfinished copy of sqlite:"), "{errors}");
        if is_stopped {
            // The operator gives the copy up for now.
            api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap_err();
            let (code, said, errors) = run(&server, &from, &["store", "reopen"]);
            assert_eq!(code, Some(0), "{said}{errors}");
            assert!(said.contains("takes changes again"), "{said}");
        }
        api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap();
    }
    for phase in [
        "records copied,",
        "compared",
        "going on after",
        "takes no more changes",
    ] {
        assert!(all.contains(phase), "{phase}: {all}");
    }
    let (code, said, errors) = copy(&from, &to);
    assert_eq!(code, Some(0), "done is done: {said}{errors}");
    let (code, _, errors) = copy(&from, &database.url("killed_other"));
    assert_eq!(code, Some(64), "{errors}");
    assert!(errors.contains("store was moved to"), "{errors}");
    let (_, said, _) = run(&server, &from, &["doctor"]);
    assert!(said.contains("warning: store was moved to"), "{said}");
    let (code, _, errors) = copy(&to, &from);
    assert_eq!(code, Some(64), "{errors}");
    assert!(errors.contains("is in use by process"), "{errors}");
    server.stop();
}
