//! What the doctor reports about served certificates; its verdict follows from the findings.

use std::{fs, process::Command};

use edgeseal_core::Timestamp;
use rusqlite::Connection;
use serde_json::Value;
use time::OffsetDateTime;

use super::{NAME, doctor, doctor_command};
use crate::harness::{
    ApiClient, Origin, Server, TestCertificate, eventually, now, pki::AUTHORITY, server::via_shell,
};

async fn serving(config: &str, pem: &TestCertificate) -> (Server, ApiClient) {
    let server = Server::start_with(config);
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.add(NAME, &origin).await;
    api.set(NAME, pem).await.unwrap();
    (server, api)
}

/// Asserts that this is the only problem reported.
#[track_caller]
fn assert_finds(server: &Server, problem: &str) {
    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("\nproblem: "), "{said}");
    assert!(said.contains(problem), "{problem}: {said}");
    assert!(said.ends_with("\n1 problem\n"), "{problem}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_found() {
    let ends = OffsetDateTime::from_unix_timestamp(now().unix_ms() / 1000 + 3).unwrap();
    let short = AUTHORITY.issue_with(&[NAME], |params| params.not_after = ends);
    let (server, _) = serving("", &short).await;
    let (code, said) = doctor(&server.data());
    let problem = "its certificate expired at";
    if !said.contains(problem) {
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("\nwarning: www.doctor.example: its certificate expires at"),
            "{said}"
        );
        assert!(said.ends_with("\nno problem, 1 warning\n"), "{said}");
    }
    let end = Timestamp::from_unix_ms(ends.unix_timestamp() * 1000);
    eventually("the certificate expires", async || {
        (now() > end).then_some(())
    })
    .await;
    assert_finds(&server, problem);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_name_and_a_leaf_alone_are_found() {
    let other = AUTHORITY.issue(&["other.doctor.example"]);
    let (server, api) = serving("name_mismatch = \"accept\"\n", &other).await;
    assert_finds(&server, "its certificate is for other.doctor.example");
    let whole = AUTHORITY.issue(&[NAME]);
    let end = whole.chain.find("-----END CERTIFICATE-----").unwrap();
    let alone = TestCertificate {
        chain: format!("{}-----END CERTIFICATE-----\n", &whole.chain[..end]),
        ..whole.clone()
    };
    api.set(NAME, &alone).await.unwrap();
    assert_finds(&server, "without the one of its issuer, Test Intermediate");
    api.set(NAME, &whole).await.unwrap();
    assert_eq!(doctor(&server.data()).0, Some(0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn served_certificates_are_compared_with_the_store() {
    let (server, api) = serving("", &AUTHORITY.issue(&[NAME])).await;
    let (other, _) = serving("", &AUTHORITY.issue(&[NAME])).await;
    let mine = server.data().join("addresses.json");
    let before = fs::read_to_string(&mine).unwrap();
    let another = before.replace(
        &server.addresses().https.to_string(),
        &other.addresses().https.to_string(),
    );
    fs::write(&mine, another).unwrap();
    assert_finds(&server, "visitors are shown another certificate");
    other.root_client().off(NAME).await;
    assert_finds(&server, "visitors are shown no certificate");
    other.stop();
    assert_finds(&server, "visitors are not served");
    api.off(NAME).await;
    fs::write(&mine, before).unwrap();
    assert_eq!(
        doctor(&server.data()).0,
        Some(0),
        "HTTPS is off, so none is expected"
    );
    let mut without = doctor_command(&server.data());
    without.args(["--handshakes", "0"]);
    let said = String::from_utf8(without.output().unwrap().stdout).unwrap();
    assert!(
        said.contains("checked 0 of 1 domains by a handshake"),
        "{said}"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_replica_is_reported_with_and_without_a_server() {
    let (mut server, _) = serving("", &AUTHORITY.issue(&[NAME])).await;
    let replica = Connection::open(server.data().join("edge/replica.sqlite")).unwrap();
    replica.execute("DELETE FROM domain", []).unwrap();
    drop(replica);
    let problem = "the edge's replica has 0 domains and the store 1";
    let found = |server: &Server| {
        let (code, said) = doctor(&server.data());
        assert_eq!(code, Some(65), "{said}");
        assert!(said.contains(problem), "{said}");
    };
    found(&server);
    server.kill();
    found(&server);
    for tail in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(server.data().join(format!("edge/replica.sqlite{tail}")));
    }
    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\nwarning: there is no replica"), "{said}");
    server.launch();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_descriptors_and_an_unavailable_store_are_reported() {
    let (mut server, _) = serving("", &AUTHORITY.issue(&[NAME])).await;
    assert_eq!(server.terminate().code(), Some(0));
    let few = via_shell("ulimit -n 300; exec \"$@\"", &server.command());
    server.launch_with(few);
    assert_finds(
        &server,
        "the server has 300 file descriptors, which is too few",
    );
    assert_eq!(server.terminate().code(), Some(0));

    let mut few: Command = via_shell(
        "ulimit -n 300; exec \"$@\"",
        &doctor_command(&server.data()),
    );
    let output = few.arg("--json").output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "the limit matters only to a running server"
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["Sound"], true);
    assert_eq!(found["Problems"], serde_json::json!([]));
    let what = found["Warnings"][0]["What"].as_str().unwrap();
    assert!(what.contains("which is too few"), "{what}");
    assert!(found["Warnings"][0]["Cure"].is_string());
    assert!(found["LookedAt"].as_array().unwrap().len() > 5);

    let (store, aside) = (server.data().join("store.db"), server.home().join("aside"));
    fs::rename(&store, &aside).unwrap();
    server.launch();
    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("a server runs without its store"), "{said}");
    assert!(said.contains("store.db"), "{said}");
    assert_eq!(server.terminate().code(), Some(0));
    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(65), "a missing store is a problem: {said}");
    fs::rename(&aside, &store).unwrap();
    server.launch();
    server.stop();
}
