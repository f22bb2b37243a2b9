//! Hand-overs that fail or end early.

use std::{fs, process::Command};

use tokio::net::UnixStream;

use super::*;
use crate::harness::{eventually, server};

/// Checks that calls are answered, changes are served and clients are accepted.
async fn assert_all_is_well(server: &Server, when: &str) {
    let (addresses, api) = (server.addresses(), server.root_client());
    eventually(when, async || call(addresses.api, &api).await.ok()).await;
    let changed = change((addresses.api, addresses.https), &api).await;
    changed.unwrap_or_else(|why| panic!("{when}: {why}"));
    get_page(addresses.https, "h2").await.unwrap();
}

/// Connects a fake successor.
async fn connect_as_successor(server: &Server) -> BufReader<UnixStream> {
    let path = server.data().join("handover/socket");
    let mut stream = BufReader::new(UnixStream::connect(path).await.unwrap());
    stream.write_all(b"hand-over 1\n").await.unwrap();
    assert_eq!(
        read_message(&mut stream).await,
        "sockets https http api admin"
    );
    stream
}

async fn read_message(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    let heard = timeout(TIMEOUT, stream.read_line(&mut line)).await;
    heard.unwrap().unwrap();
    line.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_exits_at_any_step_changes_nothing() {
    let (mut server, api) = serving().await;
    let directory = server.data().join("handover");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.clone()), 0o700);
    assert_eq!(mode(directory.join("socket")), 0o600);
    let met = Arc::new(ClientStats::default());
    let https = server.addresses().https;
    let visitor = Client::start("visits", &met, move || get_page(https, "http/1.1"));

    let mut stranger = UnixStream::connect(directory.join("socket")).await.unwrap();
    stranger.write_all(b"hand-over 99\n").await.unwrap();
    assert_eq!(
        stranger.read(&mut [0; 8]).await.unwrap(),
        0,
        "the connection is closed"
    );
    assert_all_is_well(&server, "after an unknown message").await;

    drop(connect_as_successor(&server).await);
    assert_all_is_well(&server, "after the sockets were sent").await;

    let mut next = connect_as_successor(&server).await;
    next.write_all(b"nonsense\n").await.unwrap();
    assert_eq!(read_message(&mut next).await, "");
    assert_all_is_well(&server, "after nonsense").await;

    let mut next = connect_as_successor(&server).await;
    next.write_all(b"loaded\n").await.unwrap();
    drop(next);
    assert_all_is_well(&server, "exited while the store was being released").await;

    let mut next = connect_as_successor(&server).await;
    next.write_all(b"loaded\n").await.unwrap();
    assert_eq!(read_message(&mut next).await, "released");
    // The store is released: API calls wait, and edge requests do not.
    let free = edgeseal_store::sqlite::SqliteStore::open(server.data().join("store.db"));
    let free = free.unwrap();
    let address = server.addresses().api;
    let waiting = tokio::spawn(async move { call(address, &api).await });
    let seen = visitor.done.load(Ordering::SeqCst);
    eventually("edge requests continue", async || {
        (visitor.done.load(Ordering::SeqCst) > seen + 3).then_some(())
    })
    .await;
    assert!(!waiting.is_finished());
    drop(next);
    free.close().await;
    waiting.await.unwrap().unwrap();
    assert_all_is_well(&server, "exited after the store was released").await;

    met.stop.store(true, Ordering::SeqCst);
    visitor.task.await.unwrap();
    let failures = std::mem::take(&mut *met.failures.lock().unwrap());
    assert!(failures.is_empty(), "{failures:#?}");
    let mut before = server.hand_over();
    assert_eq!(
        wait_for_exit(&mut before).code(),
        Some(0),
        "{}",
        server.log()
    );
    assert_all_is_well(&server, "after a successful hand-over").await;
    server.stop();
}

/// A real successor, killed at moments that differ from run to run.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_successor_leaves_the_predecessor_serving() {
    let (mut server, _) = serving().await;
    for delay in [0, 20, 40, 60, 80, 120, 180] {
        let mut command = server.command();
        command.arg("--hand-over").stderr(Stdio::null());
        let mut next = command.spawn().unwrap();
        sleep(Duration::from_millis(delay)).await;
        next.kill().unwrap();
        next.wait().unwrap();
        if stops_accepting(&mut server).await {
            // Too late: the successor had taken over, so killing it was an ordinary crash.
            assert_eq!(server.wait_for_exit().code(), Some(0));
            server.launch();
        }
        assert_all_is_well(&server, &format!("killed after {delay} ms")).await;
    }
    server.stop();
}

/// Whether the process has handed over and exits.
async fn stops_accepting(server: &mut Server) -> bool {
    let (address, api) = (server.addresses().api, server.root_client());
    let deadline = Instant::now() + TIMEOUT;
    while server.is_running() {
        if call(address, &api).await.is_ok() {
            return false;
        }
        assert!(Instant::now() < deadline, "neither an exit nor a response");
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_hand_overs_are_reported_and_change_nothing() {
    let (mut server, _) = serving().await;
    let says = |command: &mut Command| {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let status = wait_for_exit(&mut process);
        let mut said = String::new();
        process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(status.code(), Some(64), "{said}");
        said
    };
    let said = says(&mut server.command());
    assert!(said.contains("start with --hand-over"), "{said}");

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().map(|at| (taken, at)).unwrap();
    let mut command = server.command_at(&[("--http", taken.1)]);
    let said = says(command.arg("--hand-over"));
    assert!(said.contains("cannot listen"), "{said}");
    assert_all_is_well(&server, "after the port was in use").await;

    let key = fs::read(server.data().join("kek")).unwrap();
    fs::remove_file(server.data().join("kek")).unwrap();
    let said = says(server.command().arg("--hand-over"));
    assert!(said.contains("key-encryption keys"), "{said}");
    fs::write(server.data().join("kek"), key).unwrap();
    assert_all_is_well(&server, "after the keys were missing").await;

    let status = server.terminate();
    assert_eq!(status.code(), Some(0));
    let said = says(server.command().arg("--hand-over"));
    assert!(said.contains("no process serves"), "{said}");
    let said = says(server.command().args(["--hand-over", "--store", "memory:"]));
    assert!(said.contains("a store in memory"), "{said}");
    server.launch();
    server.stop();
}

/// Kills the predecessor during the hand-over; the successor continues alone on its data.
async fn assert_continues_alone(server: &mut Server, mut next: std::process::Child, when: &str) {
    server.kill();
    if server::first_line(&mut next) == "ready" {
        server.adopt(next);
    } else {
        // It started too late to ask.
        assert_eq!(
            wait_for_exit(&mut next).code(),
            Some(64),
            "{when}: {}",
            server.log()
        );
        assert!(server.log().contains("no process serves"), "{when}");
        server.launch();
    }
    assert_all_is_well(server, when).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predecessor_killed_in_a_hand_over_leaves_the_successor_serving() {
    let (mut server, _) = serving().await;
    // The predecessor is asked and does not respond: it hands over nothing.
    server.signal("STOP");
    let next = server.spawn(&["--hand-over"]);
    let asked = format!("/proc/{}/net/unix", next.id());
    eventually("the hand-over request is queued", async || {
        let sockets = fs::read_to_string(&asked).ok()?;
        let path = server.data().join("handover/socket");
        let path = path.display().to_string();
        // The listener, and the connection in its queue.
        (sockets.matches(&path).count() > 1).then_some(())
    })
    .await;
    assert_continues_alone(&mut server, next, "killed before it handed over anything").await;
    let told = "exited during the hand-over";
    assert!(server.log().contains(told), "{}", server.log());
    for delay in [0, 10, 20, 40, 80, 160] {
        let next = server.spawn(&["--hand-over"]);
        sleep(Duration::from_millis(delay)).await;
        assert_continues_alone(&mut server, next, &format!("killed after {delay} ms")).await;
    }
    server.stop();
}

/// If a live predecessor aborts, it keeps serving, and the successor must not serve.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_predecessor_that_aborts_keeps_serving() {
    let (mut server, _) = serving().await;
    assert_eq!(server.terminate().code(), Some(0));
    let path = server.data().join("handover/socket");
    let other = tokio::net::UnixListener::bind(&path).unwrap();
    let mut next = server.spawn(&["--hand-over"]);
    let (stream, _) = other.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    assert_eq!(read_message(&mut stream).await, "hand-over 1");
    drop(stream);
    let status = tokio::task::spawn_blocking(move || wait_for_exit(&mut next)).await;
    assert_eq!(status.unwrap().code(), Some(64), "{}", server.log());
    assert!(server.log().contains("the other process is gone"));
    fs::remove_file(path).unwrap();
    server.launch();
    server.stop();
}

/// A server that serves [`NAME`].
async fn serving() -> (Server, ApiClient) {
    let server = Server::start_with(UNLIMITED);
    let (api, site) = (server.root_client(), Site::start().await);
    api.serve(NAME, &site.origin).await;
    (server, api)
}
