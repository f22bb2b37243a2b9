//! A full or read-only disk: the edge keeps serving, and nothing is moved or overwritten.

use std::{
    collections::BTreeMap, fs, io::Write as _, net::SocketAddr, path::Path, process::Command,
};

use edgeseal_testing::port::free_address;

use crate::harness::{
    CDN_VERSION, Origin, Server, TestCertificate, eventually, pki::AUTHORITY, raw,
    server::via_shell, tls,
};

const NAMES: [&str; 2] = ["www.full.example", "shop.full.example"];

/// The files of the replica that hold something, with their contents.
fn replica(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let edge = server.data().join("edge");
    let read = |path: &Path| fs::read(path).unwrap();
    let files = fs::read_dir(&edge).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let named = files.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, read(&path))
    });
    named
        .filter(|(name, content)| !name.ends_with("-shm") && !content.is_empty())
        .collect()
}

/// A server that has served [`NAMES`], and is stopped; the certificates.
async fn has_served() -> (Server, Vec<TestCertificate>) {
    let mut server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let mut pems = Vec::new();
    for name in NAMES {
        pems.push(api.serve(name, &origin).await);
    }
    assert_eq!(server.terminate().code(), Some(0));
    (server, pems)
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_on_a_full_disk_serve_and_leave_the_replica_alone() {
    let (mut server, pems) = has_served().await;
    let before = replica(&server);
    assert_eq!(before.len(), 1, "{:?}", before.keys());
    // No file may be longer than 8 KiB. More than once, as a service manager does it.
    for start in 1..=3 {
        let script = "echo full >&2; trap '' XFSZ && ulimit -f 16 && exec \"$@\"";
        server.launch_with(via_shell(script, &server.command()));
        for (name, pem) in NAMES.iter().zip(&pems) {
            let served = server.served(name).await;
            let served = served.unwrap_or_else(|why| panic!("{name}, start {start}: {why:?}"));
            assert_eq!(served[0], pem.leaf, "{name}, start {start}");
        }
        server.terminate();
        assert_eq!(replica(&server), before, "start {start}");
    }
    // With room again nothing is missing.
    server.launch();
    for (name, pem) in NAMES.iter().zip(&pems) {
        assert_eq!(server.served(name).await.unwrap()[0], pem.leaf, "{name}");
    }
    server.stop();
}

/// Whether this user may mount, for a process of its own only.
fn can_mount(script: &str) -> bool {
    let tried = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .status();
    tried.is_ok_and(|status| status.success())
}

/// A script that gives the process that it becomes a copy of the data on a disk of 4 MB of its own,
/// does this besides, and goes on.
fn on_a_small_disk(server: &Server, besides: &str) -> String {
    let (disk, data) = (server.home().join("disk"), server.data());
    fs::create_dir_all(&disk).unwrap();
    let (disk, data) = (disk.display(), data.display());
    format!(
        "mount -t tmpfs -o size=4m tmpfs '{disk}' && cp -a '{data}/.' '{disk}' && mount --bind '{disk}' '{data}' \
         && {besides}"
    )
}

/// Starts it by this script, in a mount namespace of its own.
fn launch_in_namespace(server: &mut Server, script: &str) {
    let at = server.addresses();
    let same = [
        ("--api", at.api),
        ("--https", at.https),
        ("--http", at.http),
        ("--admin", at.admin),
    ];
    let script = format!("exec unshare -m sh -c \"{script} exec \\\"\\$@\\\"\" sh \"$@\"");
    server.launch_with(via_shell(&script, &server.command_at(&same)));
}

/// Writes to this file until its disk is full.
fn fill(file: &Path) {
    let mut file = fs::File::create(file).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Asserts that changes are refused, for a reason that `/readyz` tells.
async fn assert_refuses(server: &Server, why: &str) {
    let at = [("DomainName", NAMES[0])];
    server
        .root_client()
        .refused(CDN_VERSION, "StopCdnDomain", &at)
        .await;
    let ready = raw::get(server.addresses().admin, "admin", "/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(
        ready.body.starts_with("changes are refused: "),
        "{}",
        ready.body
    );
    assert!(ready.body.contains(why), "{}", ready.body);
}

/// Whether it is full from the start or becomes so: `/readyz` says that changes are refused, and
/// why, and that they are taken once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_long_as_it_is_full() {
    let (mut server, pems) = has_served().await;
    let small = on_a_small_disk(&server, "");
    if !can_mount(&format!("{small} true")) {
        eprintln!("skipped: this user may not mount");
        return;
    }
    let filled = server.data().join("fill");
    let dd = format!(
        "(dd if=/dev/zero of='{}' bs=4k 2>/dev/null || true) &&",
        filled.display()
    );
    for (besides, why) in [
        ("", "database or disk is full"),
        (dd.as_str(), "no space left on the disk of"),
    ] {
        let script = on_a_small_disk(&server, besides);
        launch_in_namespace(&mut server, &script);
        // As the process sees it.
        let seen = format!("/proc/{}/root{}", server.id(), filled.display());
        let seen = Path::new(&seen);
        let ready = async |expected: u16| {
            let admin = server.addresses().admin;
            eventually(&format!("readyz says {expected}, {why}"), async || {
                let ready = raw::get(admin, "admin", "/readyz").await;
                (ready.status == expected).then_some(())
            })
            .await;
        };
        if besides.is_empty() {
            ready(200).await;
            fill(seen);
        }
        assert_refuses(&server, why).await;
        for (name, pem) in NAMES.iter().zip(&pems) {
            server.assert_serves(name, &pem.leaf, why).await;
        }
        fs::remove_file(seen).unwrap();
        ready(200).await;
        let newer = AUTHORITY.issue(&[NAMES[1]]);
        server.root_client().set(NAMES[1], &newer).await.unwrap();
        server
            .assert_serves(NAMES[1], &newer.leaf, "with room")
            .await;
        assert_eq!(server.terminate().code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_on_a_read_only_file_system_serve_and_refuse_changes() {
    let (mut server, pems) = has_served().await;
    let data = server.data().display().to_string();
    let mount = format!("mount --bind '{data}' '{data}' && mount -o remount,bind,ro '{data}'");
    if !can_mount(&mount) {
        eprintln!("skipped: this user may not mount");
        return;
    }
    let api = server.root_client();
    let before = replica(&server);
    for start in 1..=2 {
        // What it writes of its addresses is not written, so that they are chosen here.
        let roles = ["--api", "--https", "--http", "--admin"];
        let at: Vec<(&str, SocketAddr)> =
            roles.iter().map(|role| (*role, free_address())).collect();
        let script = format!("exec unshare -m sh -c \"{mount} && exec \\\"\\$@\\\"\" sh \"$@\"");
        server.launch_with(via_shell(&script, &server.command_at(&at)));
        let [(_, api_at), (_, https), _, (_, admin)] = at[..] else {
            unreachable!("four roles")
        };
        for (name, pem) in NAMES.iter().zip(&pems) {
            let served = tls::served_chain(https, name).await;
            let served = served.unwrap_or_else(|why| panic!("{name}, start {start}: {why:?}"));
            assert_eq!(served[0], pem.leaf, "{name}, start {start}");
        }
        let ready = raw::get(admin, "admin", "/readyz").await;
        assert_eq!(ready.status, 503, "start {start}");
        assert!(
            ready.body.contains("Read-only file system"),
            "{}",
            ready.body
        );
        let secret = String::from_utf8(api.secret.expose().to_vec()).unwrap();
        let api =
            crate::harness::ApiClient::new(&api_at.to_string(), &api.account, &api.key, &secret);
        let refusal = api
            .refused(CDN_VERSION, "StopCdnDomain", &[("DomainName", NAMES[0])])
            .await;
        assert_eq!(refusal.code, "ServiceUnavailable", "start {start}");
        server.terminate();
        assert_eq!(replica(&server), before, "start {start}");
    }
    server.launch();
    server
        .assert_serves(NAMES[0], &pems[0].leaf, "once it can be written")
        .await;
    server.stop();
}
