//! Key-encryption keys of a running server: rotation under load and through crashes, retirement,
//! and key sources.

use std::{
    collections::BTreeMap,
    fs,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use edgeseal_store::{
    Keyring, Log, LogRange, Logs as _,
    reseal::{SealedCounts, count_sealed},
    seal::KeyId,
    sqlite::SqliteSnapshot,
};
use serde_json::Value;

use crate::{
    harness::{
        ApiClient, EDGESEAL, Origin, Server, TestCertificate, eventually, pki::AUTHORITY, secrets,
        server::binary, tls, unlimited,
    },
    restart::{differing, files, refused_to_start},
};

mod sources;

const NAMES: [&str; 4] = [
    "a.keys.example",
    "b.keys.example",
    "c.keys.example",
    "d.keys.example",
];

/// Runs `edgeseal kek …`.
fn kek(server: &Server, arguments: &[&str]) -> Output {
    let mut command = binary();
    command
        .arg("kek")
        .args(arguments)
        .arg("--data")
        .arg(server.data());
    let output = command.stdin(Stdio::null()).output().unwrap();
    secrets::assert_no_secrets("standard output", &output.stdout);
    secrets::assert_no_secrets("standard error", &output.stderr);
    output
}

/// Standard output; asserts success.
#[track_caller]
fn stdout_of_success(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error; asserts that the server refused.
#[track_caller]
fn stderr_of_failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The IDs of the keys in the file; the first one seals.
fn ids(server: &Server) -> Vec<KeyId> {
    let text = fs::read_to_string(server.data().join("kek")).unwrap();
    Keyring::parse(&text).unwrap().ids()
}

/// Counts the sealed records per key, read beside the process that has the store open.
async fn census(server: &Server) -> SealedCounts {
    let view = SqliteSnapshot::open(&server.data().join("store.db")).unwrap();
    count_sealed(&view).await.unwrap()
}

async fn resealing(api: &ApiClient) -> Value {
    let params = [("Count", "false")];
    let reply = api.call(EDGESEAL, "DescribeKeyEncryption", &params).await;
    reply.unwrap().body["Resealing"].clone()
}

async fn finished(api: &ApiClient) {
    eventually("resealing", async || {
        (resealing(api).await["State"] == "Finished").then_some(())
    })
    .await;
}

/// A server that serves [`NAMES`], each with some more certificates.
async fn serving(
    config: &str,
    certificates: usize,
) -> (Server, BTreeMap<&'static str, TestCertificate>) {
    let server = Server::start_with(&format!("{config}{}", unlimited()));
    let (api, origin) = (server.root_client(), Origin::start().await);
    let mut served = BTreeMap::new();
    for name in NAMES {
        api.add(name, &origin).await;
        // A domain keeps only some of the certificates that were set.
        for number in 1..certificates {
            let (pem, stored) = (AUTHORITY.issue(&[name]), format!("{name}-{number}"));
            let params = [
                ("Name", stored.as_str()),
                ("Cert", &pem.chain),
                ("Key", &pem.key),
            ];
            api.ok(crate::harness::CAS, "UploadUserCertificate", &params)
                .await;
        }
        let pem = AUTHORITY.issue(&[name]);
        api.set(name, &pem).await.unwrap();
        served.insert(name, pem);
    }
    (server, served)
}

/// Sets certificates and checks what is served until it is stopped; returns how many it set.
async fn set_and_look(
    api: ApiClient,
    https: std::net::SocketAddr,
    name: &str,
    over: &AtomicBool,
) -> TestCertificate {
    let mut last = None;
    while last.is_none() || !over.load(Ordering::SeqCst) {
        let pem = AUTHORITY.issue(&[name]);
        let set = api.set(name, &pem).await;
        set.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let shown = tls::served_chain(https, name).await;
        assert_eq!(
            shown.map(|chain| chain[0].clone()),
            Ok(pem.leaf.clone()),
            "{name}"
        );
        last = Some(pem);
    }
    last.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_fails_no_call_and_the_old_key_can_be_retired() {
    // Slow enough that calls come between the batches.
    let (mut server, _) = serving("reseal_per_second = 40\n", 10).await;
    let https = server.addresses().https;
    let over = Arc::new(AtomicBool::new(false));
    let clients = NAMES.map(|name| {
        let (api, over) = (server.root_client(), Arc::clone(&over));
        tokio::spawn(async move { set_and_look(api, https, name, &over).await })
    });
    let before = ids(&server);
    let output = {
        let data = server.data();
        let rotate = move || {
            let mut command = binary();
            command.args(["kek", "rotate", "--data"]).arg(data);
            command.stdin(Stdio::null()).output().unwrap()
        };
        tokio::task::spawn_blocking(rotate).await.unwrap()
    };
    over.store(true, Ordering::SeqCst);
    let mut last = Vec::new();
    for client in clients {
        last.push(client.await.unwrap());
    }
    let said = stdout_of_success(&output);
    let [new, old] = ids(&server)[..] else {
        panic!("there are two keys");
    };
    assert_eq!(before, [old]);
    assert!(
        said.contains(&format!("sealing with key {new} from now on\n")),
        "{said}"
    );
    assert!(said.contains(&format!("are under key {new}\n")), "{said}");
    let census = census(&server).await;
    assert_eq!((census.under(old), census.unreadable), (0, 0));
    assert!(census.under(new) >= 41, "{census:?}");

    let status = stdout_of_success(&kek(&server, &["status"]));
    assert!(status.contains(&format!("{new}  seals  ")), "{status}");
    assert!(
        status.contains(&format!("{old}  opens  nothing")),
        "{status}"
    );
    let said = stderr_of_failure(&kek(&server, &["retire", &new.to_string()]));
    assert!(said.contains("is the one that seals"), "{said}");
    let said = stderr_of_failure(&kek(&server, &["retire", "00000000"]));
    assert!(
        said.contains("has no key-encryption key 00000000"),
        "{said}"
    );
    stdout_of_success(&kek(&server, &["retire", &old.to_string()]));
    assert_eq!(ids(&server), [new]);
    for (name, pem) in NAMES.iter().zip(&last) {
        server
            .assert_serves(name, &pem.leaf, "without the old key")
            .await;
    }

    // The edge has replicated the changes: it serves without the store and without the old key.
    server.terminate();
    fs::write(server.data().join("store.db"), b"this is no database").unwrap();
    server.launch();
    for (name, pem) in NAMES.iter().zip(&last) {
        server
            .assert_serves(name, &pem.leaf, "from the replica")
            .await;
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_goes_on_after_each_kill() {
    let (mut server, served) = serving("reseal_per_second = 40\n", 20).await;
    let old = ids(&server)[0];
    let all = census(&server).await.under(old);
    let api = server.root_client();
    // Killed at once: the call may be unanswered, and the key may be in the file already.
    api.call(EDGESEAL, "RotateKeyEncryptionKey", &[])
        .await
        .unwrap();
    server.kill();
    let [new, _] = ids(&server)[..] else {
        panic!("there are two keys");
    };
    let mut left = vec![census(&server).await.under(old)];
    assert!(left[0] > 0, "the kill came too late");
    for _ in 0..3 {
        server.launch();
        let api = server.root_client();
        eventually("ten resealed records", async || {
            let resealed = resealing(&api).await["Resealed"].as_u64();
            (resealed >= Some(10)).then_some(())
        })
        .await;
        server.kill();
        let census = census(&server).await;
        assert_eq!(
            census.under(old) + census.under(new),
            all,
            "nothing is lost"
        );
        left.push(census.under(old));
    }
    let halves = left.windows(2).all(|pair| pair[1] < pair[0]) && left.last() > Some(&0);
    assert!(halves, "each run made progress and none finished: {left:?}");

    server.launch();
    let refusal = server.root_client();
    let refusal = refusal
        .refused(EDGESEAL, "RotateKeyEncryptionKey", &[])
        .await;
    assert_eq!(refusal.code, "KeyEncryption.Resealing");
    finished(&server.root_client()).await;
    let census = census(&server).await;
    assert_eq!((census.under(old), census.under(new)), (0, all));
    stdout_of_success(&kek(&server, &["retire", &old.to_string()]));
    for (name, pem) in &served {
        server
            .assert_serves(name, &pem.leaf, "after the rotation")
            .await;
    }
    server.terminate();
    server.launch();
    assert_eq!(
        resealing(&server.root_client()).await["Resealed"],
        0,
        "nothing is left to do"
    );
    server.stop();
}

/// If a key that records need is missing from the file, the error names the key and the records,
/// whether the last process was stopped or killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_key_that_is_needed_touches_nothing() {
    let (mut server, served) = serving("reseal_per_second = 1\n", 5).await;
    let api = server.root_client();
    api.call(EDGESEAL, "RotateKeyEncryptionKey", &[])
        .await
        .unwrap();
    let path = server.data().join("kek");
    let whole = fs::read_to_string(&path).unwrap();
    let [new, old] = ids(&server)[..] else {
        panic!("there are two keys");
    };
    let none: [String; 0] = [];
    for killed in [true, false] {
        if killed {
            server.kill();
        } else {
            server.terminate();
        }
        fs::write(&path, whole.lines().next().unwrap()).unwrap();
        let before = files(&server.data());
        let under = census(&server).await;
        let needs = &under.records[&old]["certificates"];
        let said = refused_to_start(&server);
        let expected = format!("it needs key-encryption key {old} (for ");
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains(&format!("{needs} certificates")), "{said}");
        assert!(!said.contains(&new.to_string()), "{said}");
        assert_eq!(differing(&before, &files(&server.data())), none);
        fs::write(&path, &whole).unwrap();
        server.launch();
    }
    for (name, pem) in &served {
        server.assert_serves(name, &pem.leaf, "with its keys").await;
    }

    // Access keys are resealed first, so the new key opens the root account's. The rest is lost.
    server.kill();
    let kinds = &census(&server).await.records[&old];
    assert!(!kinds.contains_key("access keys"), "{kinds:?}");
    fs::write(&path, whole.lines().next().unwrap()).unwrap();
    let settings = "lost_keys = \"accept\"\nalarm_interval_ms = 100";
    let config = format!("{settings}\n{}", unlimited());
    fs::write(server.home().join("edgeseal.toml"), config).unwrap();
    server.launch();
    let api = server.root_client();
    let pem = AUTHORITY.issue(&[NAMES[0]]);
    api.set(NAMES[0], &pem).await.unwrap();
    server
        .assert_serves(NAMES[0], &pem.leaf, "a new certificate")
        .await;
    let state = eventually("the end of resealing", async || {
        let state = resealing(&api).await;
        (state["State"] != "Running").then_some(state)
    });
    let state = state.await;
    assert_eq!(state["State"], "Stuck", "{state}");
    assert!(state["Unopened"].as_u64() > Some(0), "{state}");
    let needs = format!("needs key-encryption key {old}");
    assert!(
        state["Trouble"].as_str().unwrap().contains(&needs),
        "{state}"
    );
    let status = stdout_of_success(&kek(&server, &["status"]));
    assert!(status.contains(&format!("{old}  missing  ")), "{status}");
    eventually("the alarm", async || {
        let raised = api.ok(EDGESEAL, "DescribeAlarms", &[]).await;
        let mut raised = raised["Alarms"].as_array().unwrap().iter();
        let is_of_key = |alarm: &Value| alarm["Code"] == "key_encryption_key_missing";
        raised.any(is_of_key).then_some(())
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn core_dumps_are_disabled_by_default() {
    for (config, expected) in [("", Some("0")), ("core_dumps = true\n", None)] {
        let server = Server::start_with(config);
        let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = line.unwrap().split_whitespace().collect();
        let own = fs::read_to_string("/proc/self/limits").unwrap();
        let own = own
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let own: Vec<&str> = own.unwrap().split_whitespace().collect();
        for at in [4, 5] {
            assert_eq!(words[at], expected.unwrap_or(own[at]), "{limits}");
        }
        server.stop();
    }
}

/// Only the operator may rotate keys; a rotation consumes its nonce like any change, and is
/// audited.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_the_operators_alone_and_is_audited() {
    let server = Server::start();
    let other = server.create_account("other").await;
    for action in [
        "RotateKeyEncryptionKey",
        "DescribeKeyEncryption",
        "RetireKeyEncryptionKey",
    ] {
        let refusal = other
            .refused(EDGESEAL, action, &[("KeyId", "00000000")])
            .await;
        assert_eq!(refusal.status, 403, "{refusal:?}");
    }
    let api = server.root_client();
    let rotated = api.ok(EDGESEAL, "RotateKeyEncryptionKey", &[]).await;
    finished(&api).await;
    let mut server = server;
    server.terminate();
    let view = SqliteSnapshot::open(&server.data().join("store.db")).unwrap();
    let records = LogRange {
        log: Log::Audit,
        scope: &api.account,
        after: "",
        before: None,
        newest_first: false,
    };
    let page = view.read_log(records, 1000).await.unwrap();
    let note = format!(
        "sealing with key {} from now on",
        rotated["KeyId"].as_str().unwrap()
    );
    let noted = page.rows.iter().filter(|row| {
        let text = String::from_utf8_lossy(&row.value);
        text.contains("RotateKeyEncryptionKey") && text.contains(&note)
    });
    assert_eq!(noted.count(), 1);
    drop(view);
}
