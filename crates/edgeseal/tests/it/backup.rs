//! `edgeseal backup` and `edgeseal restore`: beside a running server, after the loss of a store,
//! and what the edge serves after a restore.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use serde_json::Value;

use crate::harness::{
    ApiClient, CDN_VERSION, Origin, Server, TestCertificate, add_params, eventually,
    pki::AUTHORITY,
    raw,
    server::{BINARY, binary},
    unlimited,
};

const NAMES: [&str; 2] = ["www.backup.example", "shop.backup.example"];

/// Runs a command on a server's data directory: exit code, standard output, standard error.
fn run(server: &Server, line: &[&str]) -> (Option<i32>, String, String) {
    let mut command = binary();
    command.args(line).arg("--data").arg(server.data());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server that serves [`NAMES`].
async fn serving(origin: &Origin) -> (Server, Vec<TestCertificate>) {
    // A low limit, so that the doctor finds enough file descriptors on any machine.
    let server = Server::start_with(&format!("connections = 100\n{}", unlimited()));
    let api = server.root_client();
    let mut pems = Vec::new();
    for name in NAMES {
        pems.push(api.serve(name, origin).await);
    }
    (server, pems)
}

/// Sets a new certificate.
async fn set(api: &ApiClient, name: &str) -> TestCertificate {
    let pem = AUTHORITY.issue(&[name]);
    let set = api.set(name, &pem).await;
    set.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    pem
}

/// Adds domains until it is stopped, and counts them.
async fn write(
    api: ApiClient,
    writer: usize,
    sources: String,
    stop: Arc<AtomicBool>,
    added: Arc<AtomicU64>,
) {
    for n in 0.. {
        let name = format!("{writer}-{n}.busy.example");
        let params = add_params(&name, &sources);
        let called = api.call(CDN_VERSION, "AddCdnDomain", &params).await;
        called.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        added.fetch_add(1, Ordering::AcqRel);
        if stop.load(Ordering::Acquire) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_during_writes_is_consistent() {
    let origin = Origin::start().await;
    let (server, _) = serving(&origin).await;
    let (stop, added) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let began = Instant::now();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (api, sources) = (server.root_client(), origin.sources());
            let (stop, added) = (Arc::clone(&stop), Arc::clone(&added));
            tokio::spawn(write(api, writer, sources, stop, added))
        })
        .collect();
    eventually("there is something to copy", async || {
        (added.load(Ordering::Acquire) > 100).then_some(())
    })
    .await;
    let mut revisions = Vec::new();
    for round in 0..4 {
        let file = server.home().join(format!("store-{round}.db"));
        let before = added.load(Ordering::Acquire);
        let line = ["backup", text(&file), "--json"];
        let (code, said, errors) = tokio::task::block_in_place(|| run(&server, &line));
        let after = added.load(Ordering::Acquire);
        assert_eq!(code, Some(0), "{said}{errors}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["Problems"].as_array().unwrap().len(), 0, "{said}");
        assert_eq!(said["Opened"], true, "{said}");
        assert!(after > before, "nothing was written during the backup");
        let looked_at = said["LookedAt"][0].as_str().unwrap();
        let domains: u64 = looked_at.split(' ').next().unwrap().parse().unwrap();
        // Domains whose creation was in flight may or may not be in the backup.
        let added = before + 2..=after + 2 + 8;
        assert!(added.contains(&domains), "{domains} of {added:?}: {said}");
        revisions.push(said["Revision"].as_u64().unwrap());
        let found = fs::metadata(&file).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(said["Bytes"], found.len());
        let bytes = fs::read(&file).unwrap();
        let kek = fs::read(server.data().join("kek")).unwrap();
        let kek = kek.trim_ascii();
        assert!(!bytes.windows(kek.len()).any(|piece| piece == kek));
    }
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
    let rate = added.load(Ordering::Acquire) as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} changes a second meanwhile");
    assert!(rate > 20.0, "only {rate:.1} changes a second");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_overwrites_nothing_and_reports_the_keys() {
    let origin = Origin::start().await;
    let (server, _) = serving(&origin).await;
    let at = |name: &str| server.home().join(name);
    let (copy, kek) = (at("copy.db"), at("kek.copy"));
    let (code, said, errors) = run(&server, &["backup", text(&copy)]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        said.contains("it does not hold the key-encryption keys"),
        "{said}"
    );
    assert!(said.contains("2 domains, 2 certificates"), "{said}");
    let before = fs::read(&copy).unwrap();
    for line in [
        vec!["backup", text(&copy)],
        vec!["backup", text(&copy), "--with-kek", text(&kek)],
    ] {
        let (code, _, errors) = run(&server, &line);
        assert_eq!(code, Some(64));
        assert!(errors.contains("is there already"), "{errors}");
    }
    assert!(fs::read(&copy).unwrap() == before && !kek.exists());
    let other = at("other.db");
    let line = ["backup", text(&other), "--with-kek", text(&kek)];
    let (code, said, errors) = run(&server, &line);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        said.contains("both together open every private key"),
        "{said}"
    );
    let mode = fs::metadata(&kek).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let trimmed = |path: PathBuf| fs::read_to_string(path).unwrap().trim().to_owned();
    assert_eq!(trimmed(kek), trimmed(server.data().join("kek")));
    let third = at("third.db");
    let line = ["backup", text(&third), "--store", "memory:"];
    let (code, _, errors) = run(&server, &line);
    assert_eq!(code, Some(64));
    assert!(errors.contains("is in one process"), "{errors}");
    // Wrong arguments are not reported as damage.
    let nowhere = at("nowhere/copy.db");
    let (code, _, errors) = run(&server, &["backup", text(&nowhere)]);
    assert_eq!(code, Some(64), "{errors}");
    assert!(errors.contains(text(&at("nowhere"))), "{errors}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_too_small_for_a_backup_is_named() {
    let origin = Origin::start().await;
    let (server, _) = serving(&origin).await;
    let disk = server.home().join("disk");
    fs::create_dir(&disk).unwrap();
    let copy = disk.join("copy.db");
    let mount = format!("mount -t tmpfs -o size=16k tmpfs '{}'", text(&disk));
    let apart = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]);
        command
    };
    if !apart(&mount).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not mount");
        server.stop();
        return;
    }
    let mut command = apart(&format!("{mount} && exec \"$@\""));
    command.arg(BINARY).args(["backup", text(&copy), "--data"]);
    let output = command.arg(server.data()).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{errors}");
    let says = format!("no space left on the disk of {}", text(&copy));
    assert!(errors.contains(&says), "{errors}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_is_what_the_edge_serves() {
    let origin = Origin::start().await;
    let (mut server, mut pems) = serving(&origin).await;
    let copy = server.home().join("copy.db");
    let (code, _, errors) = run(&server, &["backup", text(&copy)]);
    assert_eq!(code, Some(0), "{errors}");
    // Later changes are not in the backup.
    let api = server.root_client();
    api.add("late.backup.example", &origin).await;
    let late = set(&api, "late.backup.example").await;
    let newer = set(&api, NAMES[0]).await;
    server
        .assert_serves("late.backup.example", &late.leaf, "before")
        .await;
    server.assert_serves(NAMES[0], &newer.leaf, "before").await;

    let store = server.data().join("store.db");
    let line = ["restore", text(&copy), "--replace"];
    let (code, _, errors) = run(&server, &line);
    assert_eq!(code, Some(64), "the server is running");
    assert!(errors.contains("is in use by process"), "{errors}");
    let missing = server.home().join("missing.db");
    let missing = ["restore", text(&missing), "--replace"];
    let (_, _, errors) = run(&server, &missing);
    assert!(
        errors.contains("is in use by process"),
        "before it is read: {errors}"
    );
    server
        .assert_serves(NAMES[0], &newer.leaf, "after the refusal")
        .await;
    assert_eq!(server.terminate().code(), Some(0));
    let before = fs::read(&store).unwrap();
    let (code, _, errors) = run(&server, &missing);
    assert_eq!(code, Some(64), "a usage error, not damage: {errors}");
    assert!(errors.contains("missing.db"), "{errors}");
    let (code, _, errors) = run(&server, &["restore", text(&copy)]);
    assert_eq!(code, Some(64), "the store exists");
    assert!(errors.contains("is there already"), "{errors}");
    assert!(fs::read(&store).unwrap() == before);

    let (code, said, errors) = run(&server, &line);
    assert_eq!(code, Some(0), "{said}{errors}");
    let aside = said
        .lines()
        .find_map(|line| line.strip_prefix("what was there is kept as "));
    assert!(fs::read(aside.unwrap()).unwrap() == before);
    server.launch();
    let when = "after the restore";
    server.assert_serves(NAMES[0], &pems[0].leaf, when).await;
    server.assert_serves(NAMES[1], &pems[1].leaf, when).await;
    assert!(
        server.served("late.backup.example").await.is_err(),
        "{when}"
    );
    let api = server.root_client();
    let gone = [("DomainName", "late.backup.example")];
    let refusal = api
        .refused(CDN_VERSION, "DescribeCdnDomainDetail", &gone)
        .await;
    assert_eq!(refusal.code, "InvalidDomain.NotFound", "{refusal:?}");
    pems[0] = set(&api, NAMES[0]).await;
    server.assert_serves(NAMES[0], &pems[0].leaf, when).await;
    let config = server.home().join("edgeseal.toml");
    let (code, said, _) = run(&server, &["doctor", "--config", text(&config)]);
    assert_eq!(code, Some(0), "{said}");
    server.stop();
}

/// A server whose store vanishes keeps serving, and attaches the store restored from a backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_store_attaches_a_restored_one() {
    let origin = Origin::start().await;
    let (server, pems) = serving(&origin).await;
    let copy = server.home().join("copy.db");
    let (code, _, errors) = run(&server, &["backup", text(&copy)]);
    assert_eq!(code, Some(0), "{errors}");
    let admin = server.addresses().admin;
    let ready = async |expected: u16| {
        eventually(&format!("readyz says {expected}"), async || {
            let ready = raw::get(admin, "admin", "/readyz").await;
            (ready.status == expected).then_some(())
        })
        .await;
    };
    fs::remove_file(server.data().join("store.db")).unwrap();
    ready(503).await;
    server
        .assert_serves(NAMES[0], &pems[0].leaf, "without the store")
        .await;
    let (code, said, errors) = run(&server, &["restore", text(&copy)]);
    assert_eq!(code, Some(0), "{said}{errors}");
    ready(200).await;
    let newer = set(&server.root_client(), NAMES[0]).await;
    server
        .assert_serves(NAMES[0], &newer.leaf, "with the store")
        .await;
    server
        .assert_serves(NAMES[1], &pems[1].leaf, "with the store")
        .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_backup_changes_nothing() {
    let origin = Origin::start().await;
    let (mut server, pems) = serving(&origin).await;
    let copy = server.home().join("copy.db");
    let (code, _, errors) = run(&server, &["backup", text(&copy)]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(server.terminate().code(), Some(0));
    let (store, kek) = (server.data().join("store.db"), server.data().join("kek"));
    let (before, key) = (fs::read(&store).unwrap(), fs::read(&kek).unwrap());
    let whole = fs::read(&copy).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 4096].fill(0x55);
    for (damage, bytes) in [
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("torn", torn),
        ("another file", b"no database".to_vec()),
    ] {
        fs::write(&copy, bytes).unwrap();
        let (code, said, errors) = run(&server, &["restore", text(&copy), "--replace"]);
        assert_eq!(code, Some(65), "{damage}: {said}{errors}");
        assert!(
            !said.contains("key-encryption keys that"),
            "{damage}: {said}"
        );
        assert!(
            fs::read(&store).unwrap() == before,
            "{damage}: it was changed"
        );
    }
    fs::write(&copy, &whole).unwrap();
    for kek_now in [None, Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")] {
        match kek_now {
            None => fs::remove_file(&kek).unwrap(),
            Some(other) => fs::write(&kek, other).unwrap(),
        }
        let (code, said, errors) = run(&server, &["restore", text(&copy), "--replace"]);
        assert_eq!(code, Some(65), "{said}{errors}");
        assert!(
            said.contains("nothing was changed: put back the key"),
            "{said}"
        );
        assert!(fs::read(&store).unwrap() == before);
    }
    let line = ["restore", text(&copy), "--replace", "--unverified"];
    let (code, said, errors) = run(&server, &line);
    assert_eq!(code, Some(0), "{said}{errors}");
    fs::write(&kek, key).unwrap();
    server.launch();
    server
        .assert_serves(NAMES[0], &pems[0].leaf, "after the restore")
        .await;
    server.stop();
}
