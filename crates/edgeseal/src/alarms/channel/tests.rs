//! Each channel against a real receiver on this machine.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use edgeseal_core::{
    AccountId, DomainPattern,
    alarm::{Alarm, AlarmId, Code, EventKind, Notified, Phase},
};
use edgeseal_testing::{
    openssl::openssl, pki::AUTHORITY, receiver::Receiver, smtp::MailServer, wait::until,
};
use serde_json::{Value, json};

use super::*;
use crate::alarms::notification::Notification;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn batch(phase: Phase) -> Batch {
    let id = AlarmId::new(Code::CertificateExpiring, "www.a.example");
    let kind = match phase {
        Phase::Resolved { .. } => EventKind::Resolved,
        _ => EventKind::Raised,
    };
    let alarm = Alarm {
        severity: Severity::Critical,
        rung: 4,
        text: "www.a.example: its certificate expires at T".to_owned(),
        account: Some(AccountId::from_random(1)),
        domain: DomainPattern::parse("www.a.example").ok(),
        first_seen: NOW.plus_ms(-1000),
        phase,
        notified: Some(Notified {
            at: NOW,
            kind,
            severity: Severity::Critical,
            rung: 4,
            greatest: Severity::Critical,
        }),
        notifications: 2,
        pending: std::collections::BTreeSet::new(),
    };
    Batch::of(vec![Notification::of(&id, &alarm)])
}

/// A channel of this table.
fn channel(table: Value) -> Channel {
    let mut table = table;
    table["name"] = json!("test");
    Channel::new(&serde_json::from_value(table).unwrap()).unwrap()
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn a_webhook_is_signed_and_says_whether_it_was_accepted() {
    let home = tempfile::tempdir().unwrap();
    let server = Receiver::start(&[503]).await;
    let hook = channel(json!({
        "type": "webhook",
        "url": format!("http://{}/hook", server.address),
        "secret_file": write(home.path(), "secret", "s3cret\n"),
        "token_file": write(home.path(), "token", "t0ken\n"),
    }));
    let batch = batch(Phase::Active);
    let refused = hook.send(&batch, NOW).await.unwrap_err().to_string();
    assert_eq!(refused, "it answered 503 Service Unavailable");
    hook.send(&batch, NOW.plus_ms(1000)).await.unwrap();
    let got = server.at_least(2).await;
    for (request, at) in got.iter().zip([NOW, NOW.plus_ms(1000)]) {
        assert_eq!(request.path, "/hook");
        assert_eq!(request.header("authorization"), "Bearer t0ken");
        assert_eq!(request.header("content-type"), "application/json");
        let timestamp = at.unix_seconds().to_string();
        assert_eq!(request.header("x-edgeseal-timestamp"), timestamp);
        let signed = webhook::sign(b"s3cret", &timestamp, &request.body);
        assert_eq!(request.header("x-edgeseal-signature"), signed);
    }
    // The same in both attempts.
    let delivery = got[0].header("x-edgeseal-delivery");
    assert_eq!(delivery, got[1].header("x-edgeseal-delivery"));
    let body = got[1].json();
    assert_eq!(body["id"], delivery);
    let told = &body["notifications"][0];
    for (name, value) in [
        ("event", "raised"),
        ("code", "certificate_expiring"),
        ("severity", "critical"),
        ("domain", "www.a.example"),
        ("text", "www.a.example: its certificate expires at T"),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
}

#[test]
fn the_signature_is_what_openssl_computes() {
    let signed = webhook::sign(b"key", "1800000000", b"{}");
    let computed = openssl("dgst -sha256 -hmac key", "1800000000.{}");
    let computed = computed.trim().rsplit(' ').next().unwrap();
    assert_eq!(signed, format!("v1={computed}"));
}

#[tokio::test]
async fn an_unreachable_webhook_and_a_slow_one_fail() {
    let nowhere = channel(json!({ "type": "webhook", "url": "http://127.0.0.1:1/" }));
    let failed = nowhere.send(&batch(Phase::Active), NOW).await;
    assert!(failed.is_err());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = channel(json!({
        "type": "webhook",
        "url": format!("http://{}/", silent.local_addr().unwrap()),
        "timeout_s": 1,
    }));
    let failed = slow.send(&batch(Phase::Active), NOW).await.unwrap_err();
    assert_eq!(failed.to_string(), "no answer within 1 s");
}

#[tokio::test]
async fn alertmanager_gets_alerts_that_end() {
    let server = Receiver::start(&[]).await;
    for url in ["http://A/", "http://A/api/v2/alerts", "http://A/prefix"] {
        let url = url.replace('A', &server.address.to_string());
        let channel = channel(json!({ "type": "alertmanager", "url": url }));
        assert!(channel.is_stateful());
        channel.send(&batch(Phase::Active), NOW).await.unwrap();
        channel
            .send(
                &batch(Phase::Resolved {
                    at: NOW,
                    again: None,
                }),
                NOW,
            )
            .await
            .unwrap();
    }
    let got = server.at_least(6).await;
    let paths: Vec<&str> = got.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths[2], "/api/v2/alerts");
    assert_eq!(paths[4], "/prefix/api/v2/alerts");
    let ends = [NOW.plus_ms(5 * 60_000), NOW];
    for (request, end) in got.iter().zip(ends) {
        let alert = &request.json()[0];
        assert_eq!(alert["labels"]["alertname"], "certificate_expiring");
        assert_eq!(alert["labels"]["domain"], "www.a.example");
        assert_eq!(alert["startsAt"], NOW.plus_ms(-1000).to_string());
        assert_eq!(alert["endsAt"], end.to_string());
        assert!(
            alert["annotations"]["runbook_url"]
                .as_str()
                .unwrap()
                .contains("alarms.md#")
        );
    }
}

#[tokio::test]
async fn a_command_gets_json_and_is_killed_with_its_children() {
    let home = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let file = write(home.path(), name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        json!({ "type": "command", "command": [file, home.path()], "timeout_s": 1 })
    };
    let good = channel(script("good", "cat > \"$1\"/got"));
    good.send(&batch(Phase::Active), NOW).await.unwrap();
    let got: Value = serde_json::from_slice(&fs::read(home.path().join("got")).unwrap()).unwrap();
    assert_eq!(got["notifications"][0]["code"], "certificate_expiring");

    let bad = channel(script("bad", "echo 'no pager' >&2; exit 3"));
    let failed = bad
        .send(&batch(Phase::Active), NOW)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failed.ends_with("failed (exit status: 3): no pager"),
        "{failed}"
    );

    let noisy = channel(script(
        "noisy",
        "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1",
    ));
    let failed = noisy
        .send(&batch(Phase::Active), NOW)
        .await
        .unwrap_err()
        .to_string();
    assert!(failed.len() < 400, "{}", failed.len());

    let slow = channel(script(
        "slow",
        "sleep 600 & echo $! > \"$1\"/child; sleep 600",
    ));
    let failed = slow
        .send(&batch(Phase::Active), NOW)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(failed, "no answer within 1 s");
    assert_gone(&home.path().join("child"));

    // Accepted, although a child that it leaves holds its standard error; the child is killed.
    let mut table = script("leaves", "sleep 600 & echo $! > \"$1\"/child");
    table["timeout_s"] = json!(30);
    channel(table)
        .send(&batch(Phase::Active), NOW)
        .await
        .unwrap();
    assert_gone(&home.path().join("child"));

    let none = channel(json!({ "type": "command", "command": ["/nowhere"] }));
    let failed = none.send(&batch(Phase::Active), NOW).await.unwrap_err();
    assert!(
        failed.to_string().starts_with("/nowhere does not start"),
        "{failed}"
    );
}

/// Waits until the process whose id is in this file has ended.
fn assert_gone(file: &Path) {
    let child = fs::read_to_string(file).unwrap();
    let process = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    until("the child of the command is gone", || {
        let stat = fs::read_to_string(&process);
        // Gone, or a zombie that nobody waits for.
        stat.map_or(true, |stat| stat.contains(") Z "))
            .then_some(())
    });
}

#[tokio::test]
async fn mails_are_sent_in_the_clear_on_this_machine_or_over_tls_with_a_password() {
    let home = tempfile::tempdir().unwrap();
    let table = |server: &MailServer, more: Value| {
        let mut table = json!({
            "type": "smtp",
            "server": format!("localhost:{}", server.address.port()),
            "from": "Edgeseal <edgeseal@a.example>",
            "to": ["ops@a.example", "night@a.example"],
        });
        for (name, value) in more.as_object().unwrap() {
            table[name] = value.clone();
        }
        channel(table)
    };
    let plain = MailServer::start(None, None).await;
    let mail = table(&plain, json!({ "tls": "none" }));
    mail.send(&batch(Phase::Active), NOW).await.unwrap();
    let got = &plain.at_least(1).await[0];
    assert_eq!(got.from, "edgeseal@a.example");
    assert_eq!(got.to, ["ops@a.example", "night@a.example"]);
    assert!(
        got.text
            .contains("Subject: [edgeseal] raised critical: www.a.example"),
        "{}",
        got.text
    );
    assert!(
        got.text.contains("certificate_expiring, since"),
        "{}",
        got.text
    );
    // It must be encrypted, but the server cannot.
    let failed = table(&plain, json!({}))
        .send(&batch(Phase::Active), NOW)
        .await;
    assert!(failed.is_err());

    let certificate = AUTHORITY.issue(&["localhost"]);
    let server = MailServer::start(Some(&certificate), Some(("edgeseal", "p4ss"))).await;
    let root = write(home.path(), "root.pem", &AUTHORITY.root.pem());
    let user = |password: &str| {
        let file = write(home.path(), password, password);
        json!({ "ca_file": root, "username": "edgeseal", "password_file": file })
    };
    table(&server, user("p4ss"))
        .send(&batch(Phase::Active), NOW)
        .await
        .unwrap();
    let got = &server.at_least(1).await[0];
    assert!(got.encrypted && got.authenticated);
    let failed = table(&server, user("wr0ng"))
        .send(&batch(Phase::Active), NOW)
        .await;
    let failed = failed.unwrap_err().to_string();
    assert!(
        failed.contains("535") && !failed.contains("wr0ng"),
        "{failed}"
    );
    // Not trusted without its authority.
    let failed = table(&server, json!({}))
        .send(&batch(Phase::Active), NOW)
        .await;
    assert!(failed.is_err());
}
