//! The log: a slow reader of standard error never blocks serving.

use std::{
    fs::{self, File},
    io::Read as _,
    net::TcpListener,
    process::Command,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use tokio::time::timeout;

use crate::harness::{
    ApiClient, CDN_VERSION, Origin, Server, TIMEOUT, eventually, raw, server::via_shell, unlimited,
};

const NAME: &str = "www.logged.example";

/// Makes calls with long lines in the log.
async fn talk(api: &ApiClient) {
    let long = "x".repeat(1000);
    let params = [("DomainName", long.as_str())];
    for _ in 0..25 {
        let call = api.refused(CDN_VERSION, "StopCdnDomain", &params);
        let answered = timeout(TIMEOUT, call).await;
        answered.expect("a call waits for the reader of the log");
    }
}

/// The read end of a FIFO that exists, which nobody reads from: writers block once it is full.
fn unread(server: &Server) -> File {
    let fifo = server.home().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    // Opened to write as well, so that it is open at once.
    File::options().read(true).write(true).open(fifo).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_blocks_nothing_and_lost_lines_are_reported() {
    let mut server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let pem = api.serve(NAME, &origin).await;
    assert_eq!(server.terminate().code(), Some(0));

    let reader = unread(&server);
    let script = format!(
        "echo the log goes elsewhere >&2; exec \"$@\" 2>'{}'",
        server.home().join("fifo").display()
    );
    server.launch_with(via_shell(&script, &server.command()));
    let api = server.root_client();
    let lost = "edgeseal_log_lines_lost_total{reason=\"queue_full\"}";
    eventually("lines are lost", async || {
        server
            .assert_serves(NAME, &pem.leaf, "while nobody reads")
            .await;
        tokio::join!(talk(&api), talk(&api), talk(&api), talk(&api));
        (server.metric(lost).await > Some(0)).then_some(())
    })
    .await;

    let (told, missing) = mpsc::channel();
    let reading = reader.try_clone().unwrap();
    thread::spawn(move || {
        let mut reading = reading;
        let (mut text, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
        while !String::from_utf8_lossy(&text).contains("lines are missing") {
            let count = reading.read(&mut bytes).unwrap();
            // What is looked for may lie across two reads.
            let kept = text.len().saturating_sub(1000);
            text.drain(..kept);
            text.extend(&bytes[..count]);
        }
        let _ = told.send(());
    });
    missing.recv_timeout(TIMEOUT).expect("the log tells of it");

    // Nobody reads again, and a pipe holds less than these: it ends all the same.
    tokio::join!(talk(&api), talk(&api), talk(&api), talk(&api));
    assert_eq!(server.terminate().code(), Some(0));
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_fill_the_log() {
    let server = Server::start_quiet("");
    let api = server.addresses().api;
    let suppressed = "edgeseal_api_log_lines_suppressed_total";
    let calls = AtomicU64::new(0);
    eventually("some calls get no line", async || {
        for _ in 0..100 {
            assert_eq!(raw::get(api, "api", "/").await.status, 400);
        }
        calls.fetch_add(100, Ordering::Relaxed);
        (server.metric(suppressed).await > Some(0)).then_some(())
    })
    .await;
    let suppressed = server.metric(suppressed).await.unwrap();
    // Callers with a key get theirs, and the log says how many got none.
    let refusal = server
        .root_client()
        .refused(CDN_VERSION, "StopCdnDomain", &[])
        .await;
    eventually("the log says so", async || {
        let _ = raw::get(api, "api", "/").await;
        server.log().contains("\"suppressed\":").then_some(())
    })
    .await;
    let log = server.log();
    assert!(log.contains(&refusal.request), "{log}");
    let logged = log.lines().filter(|line| line.contains("MissingAction"));
    assert!(logged.count() as u64 + suppressed >= calls.into_inner());
    server.stop();
}

/// What was logged before a start fails is there, and the reason comes last.
#[test]
fn a_start_that_fails_has_said_everything() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = crate::harness::server::binary();
    command.arg("serve").current_dir(home.path());
    for role in ["HTTPS", "HTTP", "ADMIN"] {
        command.env(format!("EDGESEAL_{role}"), "127.0.0.1:0");
    }
    command.env("EDGESEAL_API", taken.local_addr().unwrap().to_string());
    command.env("EDGESEAL_STRANGE", "1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    let (logged, reason) = (said.find("EDGESEAL_STRANGE"), said.find("cannot listen on"));
    assert!(logged.is_some() && logged < reason, "{said}");
    let _ = fs::remove_dir_all(home.path());
}
