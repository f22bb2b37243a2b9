//! Exit and restart of a process on the same data directory.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use crate::harness::{
    ApiClient, CDN_VERSION, HttpConnection, Origin, SET, Scheme, Server, SignedCall,
    TestCertificate,
    api::upload_params,
    pki::AUTHORITY,
    raw,
    server::wait_for_exit,
    tls::{self, HandshakeFailure},
};

const NAME: &str = "www.restart.example";

/// A server that serves [`NAME`].
async fn serving() -> (Server, ApiClient, TestCertificate) {
    let server = Server::start();
    let (api, origin) = (server.root_client(), Origin::start().await);
    let pem = api.serve(NAME, &origin).await;
    (server, api, pem)
}

/// Starts a process on the server's data that must not start; what it says.
pub(crate) fn refused_to_start(server: &Server) -> String {
    let mut process = server.command().stderr(Stdio::piped()).spawn().unwrap();
    let status = wait_for_exit(&mut process);
    let mut said = String::new();
    let mut stderr = process.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(64), "{said}");
    said
}

/// Every file below a directory with its bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Names of the files whose bytes differ, or that only one side has.
pub(crate) fn differing(
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let names = before.keys().chain(after.keys());
    names
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_used_up_over_a_restart() {
    let (mut server, api, pem) = serving().await;
    let calls = [Scheme::V1, Scheme::V3].map(|scheme| {
        SignedCall::new(
            scheme,
            api.access_key(),
            (CDN_VERSION, SET),
            &upload_params(NAME, &pem),
        )
        .to_bytes()
    });
    for call in &calls {
        let answer = raw::send_raw(server.addresses().api, call).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    // What a replay is told does not depend on what has become of its subject.
    let gone = [("DomainName", NAME)];
    api.call(CDN_VERSION, "DeleteCdnDomain", &gone)
        .await
        .unwrap();
    for killed in [false, true] {
        if killed {
            server.kill();
        } else {
            assert_eq!(server.terminate().code(), Some(0));
        }
        server.launch();
        for call in &calls {
            let answer = raw::send_raw(server.addresses().api, call).await;
            assert_eq!(answer.code(), "SignatureNonceUsed", "killed: {killed}");
            assert_eq!(answer.status, 400);
        }
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_at_once_although_clients_stay() {
    let (server, api, _) = serving().await;
    let at = server.addresses();
    let ports = [at.api, at.https, at.http, at.admin];
    let stream = tls::connect(at.https, NAME, &["http/1.1"]).await.unwrap();
    let mut visitors = vec![HttpConnection::h1_over(stream).await];
    let stream = tls::connect(at.https, NAME, &["h2"]).await.unwrap();
    visitors.push(HttpConnection::h2_over(stream).await);
    let stream = TcpStream::connect(at.http).await.unwrap();
    visitors.push(HttpConnection::h1_over(stream).await);
    for visitor in &mut visitors {
        assert_eq!(visitor.try_get(NAME, "/").await.unwrap().0, 200);
    }
    let mut silent = Vec::new();
    for port in ports {
        silent.push(TcpStream::connect(port).await.unwrap());
    }
    api.info(NAME).await;
    let asked = Instant::now();
    let status = end(server).await;
    assert_eq!(status.code(), Some(0));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    for port in ports {
        assert!(TcpStream::connect(port).await.is_err(), "{port} is open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stays_connected_is_dropped_in_time() {
    let server = Server::start_with("drain_timeout_ms = 300\n");
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.serve(NAME, &origin).await;
    let https = server.addresses().https;
    // It speaks HTTP/2 by name only, and answers nothing.
    let _deaf = tls::connect(https, NAME, &["h2"]).await.unwrap();
    let asked = Instant::now();
    assert_eq!(end(server).await.code(), Some(0));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

/// Asks it to end and waits, while the clients of the test go on.
async fn end(mut server: Server) -> ExitStatus {
    tokio::task::spawn_blocking(move || server.terminate())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_is_refused() {
    let (server, api, pem) = serving().await;
    let addresses = fs::read(server.data().join("addresses.json")).unwrap();
    let said = refused_to_start(&server);
    assert!(said.contains("in use"), "{said}");
    let now = fs::read(server.data().join("addresses.json")).unwrap();
    assert_eq!(addresses, now, "the first one's addresses are left alone");
    assert_eq!(api.bound_leaf(NAME).await, pem.leaf);
    server.assert_serves(NAME, &pem.leaf, "as before").await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_kek_nothing_starts_and_nothing_changes() {
    let (mut server, _, pem) = serving().await;
    server.terminate();
    let kek = server.data().join("kek");
    let key = fs::read(&kek).unwrap();
    fs::remove_file(&kek).unwrap();
    let before = files(&server.data());
    let said = refused_to_start(&server);
    assert!(said.contains("kek is missing"), "{said}");
    assert!(
        said.contains(
            "(for 1 access keys, 1 audit secrets, 1 certificates, 2 session ticket keys)"
        ),
        "{said}"
    );
    let none: [String; 0] = [];
    assert_eq!(differing(&before, &files(&server.data())), none);

    fs::write(&kek, key).unwrap();
    server.launch();
    server.assert_serves(NAME, &pem.leaf, "with its key").await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kek_is_refused() {
    let (mut server, _, pem) = serving().await;
    server.terminate();
    let kek = server.data().join("kek");
    let key = fs::read(&kek).unwrap();
    fs::write(&kek, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    let before = files(&server.data());
    let said = refused_to_start(&server);
    assert!(said.contains("do not open the store"), "{said}");
    let needed = "(for 1 access keys, 1 audit secrets, 1 certificates, 2 session ticket keys)";
    assert!(said.contains(needed), "{said}");
    let none: [String; 0] = [];
    assert_eq!(differing(&before, &files(&server.data())), none);

    fs::write(&kek, key).unwrap();
    server.launch();
    server.assert_serves(NAME, &pem.leaf, "with its key").await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_leaves_the_edge_serving() {
    let (mut server, _, pem) = serving().await;
    server.terminate();
    let (store, aside) = (server.data().join("store.db"), server.home().join("aside"));
    fs::rename(&store, &aside).unwrap();
    let garbage = b"this is no database. ".repeat(1000);
    fs::write(&store, &garbage).unwrap();

    server.launch();
    server
        .assert_serves(NAME, &pem.leaf, "out of the replica")
        .await;
    let api = server.root_client();
    let refusal = api
        .refused(CDN_VERSION, "StopCdnDomain", &[("DomainName", NAME)])
        .await;
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (503, "ServiceUnavailable")
    );
    let admin = server.addresses().admin;
    assert_eq!(raw::get(admin, "admin", "/readyz").await.status, 503);
    assert_eq!(raw::get(admin, "admin", "/healthz").await.status, 200);
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(fs::read(&store).unwrap(), garbage, "left as it is");

    fs::rename(&aside, &store).unwrap();
    server.launch();
    let admin = server.addresses().admin;
    assert_eq!(raw::get(admin, "admin", "/readyz").await.status, 200);
    server.root_client().set(NAME, &pem).await.unwrap();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_means_that_everything_is_served() {
    let (mut server, _, first) = serving().await;
    for killed in [false, true] {
        if killed {
            server.kill();
        } else {
            server.terminate();
        }
        server.launch();
        server
            .assert_serves(NAME, &first.leaf, "right after ready")
            .await;
    }
    let pem = AUTHORITY.issue(&[NAME]);
    let params = upload_params(NAME, &pem);
    let reply = server
        .root_client()
        .call_with(CDN_VERSION, SET, &params, &[("prefer", "wait=5")])
        .await;
    let reply = reply.unwrap();
    assert_eq!(reply.headers["x-edgeseal-proven"], "1/1");
    server
        .assert_serves(NAME, &pem.leaf, "when it says so")
        .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_and_stopped_domains_stay_so() {
    let (mut server, api, pem) = serving().await;
    let (off, stopped) = ("off.restart.example", "stopped.restart.example");
    let origin = Origin::start().await;
    for name in [off, stopped] {
        api.serve(name, &origin).await;
    }
    api.off(off).await;
    api.call_on_domain("StopCdnDomain", stopped).await;
    let was = api.bound_leaf(stopped).await;
    for killed in [false, true] {
        if killed {
            server.kill();
        } else {
            assert_eq!(server.terminate().code(), Some(0));
        }
        server.launch();
        let when = "right after ready";
        server.assert_serves(NAME, &pem.leaf, when).await;
        for name in [off, stopped] {
            let served = server.served(name).await;
            assert_eq!(
                served,
                Err(HandshakeFailure::UNRECOGNIZED_NAME),
                "{name} {when}"
            );
        }
    }
    server
        .root_client()
        .call_on_domain("StartCdnDomain", stopped)
        .await;
    let when = "once it is started";
    server.assert_serves(stopped, &was, when).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_secrets_persist_with_private_permissions() {
    let (mut server, _, _) = serving().await;
    let second = server.create_account("second").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let secrets = ["credentials.json", "kek"].map(|name| server.data().join(name));
    assert_eq!(mode(&server.data()), 0o700);
    for path in &secrets {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    let before = secrets.each_ref().map(|path| fs::read(path).unwrap());
    assert_eq!(server.terminate().code(), Some(0));
    server.launch();
    let after = secrets.each_ref().map(|path| fs::read(path).unwrap());
    assert!(before == after, "they are made once");
    let secret = String::from_utf8(second.secret.expose().to_vec()).unwrap();
    let again = server.client_for(&second.account, &second.key, &secret);
    again
        .call(CDN_VERSION, "DescribeUserDomains", &[])
        .await
        .unwrap();
    server.stop();
}
