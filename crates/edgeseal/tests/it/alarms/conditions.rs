//! What is wrong with Edgeseal itself: each alarm is told once, also over a restart, until it ends.

use std::{fs, time::Duration};

use bytes::Bytes;
use edgeseal_core::{AccountId, DomainPattern, Timestamp};
use edgeseal_store::{
    Key, Txn, Write,
    record::{EdgeRecord, Unproven, encode},
};
use edgeseal_testing::receiver::Receiver;
use rusqlite::Connection;
use serde_json::Value;

use super::{
    AUTHORITY, EDGESEAL, NAME, Origin, Server, assert_told, config, eventually, reconfigure,
    restart_with, start, stopped_store,
};
use crate::{
    harness::{CDN_VERSION, SET, now},
    rollout::spoil,
};

const DAY_MS: i64 = 86_400_000;

fn start_with(settings: &str, hook: &Receiver) -> Server {
    let channel = config(&format!("http://{}/hook", hook.address), "");
    Server::start_with(&format!("{settings}\n{channel}"))
}

/// Replaces the value of a key in the store of a server that does not run; returns what it was.
async fn replace(server: &Server, key: Key, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Bytes {
    let store = stopped_store(server).await;
    let before = store.get(&key).await.unwrap().unwrap().value;
    let write = vec![Write::put(key, change(&before).into())];
    let txn = Txn {
        write,
        ..Txn::default()
    };
    store.commit(txn).await.unwrap();
    before
}

fn change_json(value: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut record = serde_json::from_slice(value).unwrap();
    change(&mut record);
    serde_json::to_vec(&record).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills() {
    let hook = Receiver::start(&[]).await;
    let most = format!("disk_free_bytes = {}", i64::MAX);
    let mut server = start_with(&most, &hook);
    let raised = "raised disk_nearly_full production/local";
    assert_told(&hook, &[raised]).await;
    restart_with(&mut server, "disk_nearly_full", "critical").await;
    server.terminate();
    reconfigure(&server, &most, "disk_free_bytes = 1");
    server.launch();
    assert_told(
        &hook,
        &[raised, "resolved disk_nearly_full production/local"],
    )
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_should_be_rotated() {
    let hook = Receiver::start(&[]).await;
    let mut server = start_with("kek_max_age_days = 1", &hook);
    let api = server.root_client();
    eventually("everything is sealed under the key", || async {
        let status = api.ok(EDGESEAL, "DescribeKeyEncryption", &[]).await;
        (status["Resealing"]["State"] == "Finished").then_some(())
    })
    .await;
    server.terminate();
    let mut key = String::new();
    replace(&server, Key::reseal_marker(), |value| {
        change_json(value, |record| {
            key = record["under"].as_str().unwrap().to_owned();
            let finished: Timestamp = serde_json::from_value(record["finished"].clone()).unwrap();
            record["finished"] = serde_json::to_value(finished.plus_ms(-2 * DAY_MS)).unwrap();
        })
    })
    .await;
    server.launch();
    let raised = format!("raised key_encryption_key_due {key}");
    assert_told(&hook, &[&raised]).await;
    restart_with(&mut server, "key_encryption_key_due", "warning").await;
    let api = server.root_client();
    api.ok(EDGESEAL, "RotateKeyEncryptionKey", &[]).await;
    let resolved = format!("resolved key_encryption_key_due {key}");
    assert_told(&hook, &[&raised, &resolved]).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_chain_that_was_tampered_with() {
    let hook = Receiver::start(&[]).await;
    let mut server = start(&hook);
    let account = server.root_client().account;
    let head = Key::audit_head(&AccountId::parse(&account).unwrap());
    server.root_client().add(NAME, &Origin::start().await).await;
    server.terminate();
    let before = replace(&server, head.clone(), |value| {
        change_json(value, |head| head["n"] = 1000.into())
    })
    .await;
    server.launch();
    let raised = format!("raised audit_chain_broken {account}");
    assert_told(&hook, &[&raised]).await;
    restart_with(&mut server, "audit_chain_broken", "critical").await;
    server.terminate();
    replace(&server, head, |_| before.to_vec()).await;
    server.launch();
    let resolved = format!("resolved audit_chain_broken {account}");
    assert_told(&hook, &[&raised, &resolved]).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_in_quarantine() {
    let hook = Receiver::start(&[]).await;
    let mut server = start(&hook);
    let origin = Origin::start().await;
    server.root_client().serve(NAME, &origin).await;
    server.terminate();
    spoil(&server, NAME).await;
    server.launch();
    let raised = format!("raised domain_quarantined {NAME}");
    assert_told(&hook, &[&raised]).await;
    restart_with(&mut server, "domain_quarantined", "critical").await;
    let api = server.root_client();
    api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap();
    let resolved = format!("resolved domain_quarantined {NAME}");
    assert_told(&hook, &[&raised, &resolved]).await;
    server.stop();
}

/// The authority cannot be reached; then a certificate is uploaded.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails() {
    let hook = Receiver::start(&[]).await;
    let issuer = "[[acme]]\nname = \"gone\"\ndirectory = \"https://127.0.0.1:9/dir\"\n\
                  accept_terms = true\ncontact = [\"mailto:ops@example.com\"]\n";
    let channel = config(&format!("http://{}/hook", hook.address), issuer);
    let mut server = Server::start_with(&format!("acme_preflight = \"off\"\n{channel}"));
    let api = server.root_client();
    api.add(NAME, &Origin::start().await).await;
    let params = [
        ("DomainName", NAME),
        ("SSLProtocol", "on"),
        ("CertType", "free"),
    ];
    api.ok(CDN_VERSION, SET, &params).await;
    let raised = format!("raised order_failed {NAME}");
    assert_told(&hook, &[&raised]).await;
    restart_with(&mut server, "order_failed", "warning").await;
    let api = server.root_client();
    api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap();
    let resolved = format!("resolved order_failed {NAME}");
    assert_told(&hook, &[&raised, &resolved]).await;
    server.stop();
}

/// Of its own store each process tells for itself: a restart would tell it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone() {
    let hook = Receiver::start(&[]).await;
    let mut server = start(&hook);
    let origin = Origin::start().await;
    server.root_client().serve(NAME, &origin).await;
    server.terminate();
    let (store, aside) = (server.data().join("store.db"), server.home().join("aside"));
    fs::rename(&store, &aside).unwrap();
    server.launch();
    let raised = "raised store_unavailable store";
    assert_told(&hook, &[raised]).await;
    fs::rename(&aside, &store).unwrap();
    assert_told(&hook, &[raised, "resolved store_unavailable store"]).await;
    server.stop();
}

/// Writes the report of an edge beside the running server.
fn report(server: &Server, edge: &EdgeRecord) {
    let file = Connection::open(server.data().join("store.db")).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    let key = Key::edge(&edge.group, &edge.id);
    let value = encode(edge).unwrap();
    let sql = "INSERT INTO entry (key, value, changed) \
               VALUES (?1, ?2, (SELECT max(changed) FROM entry)) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    file.execute(sql, (key.as_str(), &value[..])).unwrap();
}

/// A start deletes all reports, so there is no restart here.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_silent_and_shows_another_certificate() {
    let hook = Receiver::start(&[]).await;
    let server = start(&hook);
    let origin = Origin::start().await;
    server.root_client().serve(NAME, &origin).await;
    let mut edge = EdgeRecord::new("production", "other");
    edge.at = now().plus_ms(-DAY_MS);
    edge.unproven_total = 1;
    edge.unproven.push(Unproven {
        domain: DomainPattern::parse(NAME).unwrap(),
        reason: "it shows another leaf".to_owned(),
        revision: 1,
        since: edge.at,
    });
    report(&server, &edge);
    let raised = [
        "raised edge_silent production/other",
        "raised domain_unproven www.alarms.example",
    ];
    assert_told(&hook, &raised).await;
    report(
        &server,
        &EdgeRecord {
            at: now(),
            unproven: Vec::new(),
            unproven_total: 0,
            ..edge
        },
    );
    let resolved = [
        "resolved edge_silent production/other",
        "resolved domain_unproven www.alarms.example",
    ];
    assert_told(&hook, &[raised, resolved].concat()).await;
    server.stop();
}
