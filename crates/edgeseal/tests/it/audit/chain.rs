//! The chain over audit records: verification detects tampering with the file and does not report
//! the effects of a crash as tampering.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use edgeseal_core::{AccountId, Timestamp};
use edgeseal_store::{
    Catalog, Keyring,
    catalog::AuditContext,
    open::{StoreUrl, open},
};
use rusqlite::{Connection, params};
use serde_json::Value;

use super::records;
use crate::harness::{
    ApiClient, CDN_VERSION, EDGESEAL, Origin, Server, add_params, eventually, now, server::binary,
    unlimited,
};

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Runs `audit verify` on this data directory: the exit code and one report per account.
fn verify(data: &Path, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut command = binary();
    command
        .args(["audit", "verify", "--json", "--data"])
        .arg(data);
    let output = command.args(more).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.stderr.is_empty(), "{errors}");
    let reports = said.lines().map(|line| serde_json::from_str(line).unwrap());
    (output.status.code(), reports.collect())
}

/// The account's report once it has no pending records; fails if any account has a problem.
async fn linked(data: &Path, account: &str) -> Value {
    eventually("every record is linked", async || {
        let (code, reports) = verify(data, &[]);
        assert_eq!(code, Some(0), "{reports:?}");
        let report = reports
            .into_iter()
            .find(|report| report["AccountId"] == account)?;
        (report["Pending"] == 0).then_some(report)
    })
    .await
}

/// Makes changes in a new account, spread over several links.
async fn history(server: &Server) -> (ApiClient, Value) {
    let (alice, origin) = (server.create_account("alice").await, Origin::start().await);
    let mut report = Value::Null;
    for n in 0..3 {
        for m in 0..3 {
            alice.add(&format!("{n}-{m}.audit.example"), &origin).await;
        }
        report = linked(&server.data(), &alice.account).await;
    }
    // The first record is the creation of the account.
    assert_eq!(report["Records"], 10, "{report}");
    assert!(report["Links"].as_u64().unwrap() >= 3, "{report}");
    (alice, report)
}

/// Copies the data of a stopped server.
fn copy(server: &Server, name: &str) -> PathBuf {
    let to = server.home().join(name);
    fs::create_dir(&to).unwrap();
    for file in ["store.db", "kek", "credentials.json"] {
        fs::copy(server.data().join(file), to.join(file)).unwrap();
    }
    to
}

/// The keys under a prefix, in order.
fn keys(file: &Connection, prefix: &str) -> Vec<String> {
    let mut statement = file
        .prepare("SELECT key FROM entry WHERE substr(key, 1, length(?1)) = ?1 AND value IS NOT NULL ORDER BY key")
        .unwrap();
    let found = statement.query_map([prefix], |row| row.get(0));
    found.unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_with_the_file_is_detected() {
    let mut server = Server::start_with(&unlimited());
    let (alice, report) = history(&server).await;
    assert_eq!(server.terminate().code(), Some(0));
    let links = format!("auditlink/{}/", alice.account);
    let head_key = format!("audithead/{}", alice.account);
    type Tamper<'a> = &'a dyn Fn(&Connection);
    let remove = |file: &Connection, key: &str| {
        assert_eq!(
            file.execute("DELETE FROM entry WHERE key = ?1", [key])
                .unwrap(),
            1
        );
    };
    let record = |file: &Connection, n: usize| -> i64 {
        let sql = "SELECT revision FROM audit WHERE scope = ?1 ORDER BY name LIMIT 1 OFFSET ?2";
        file.query_row(sql, params![alice.account, n as i64], |row| row.get(0))
            .unwrap()
    };
    let remove_record = |file: &Connection, n: usize| {
        let sql = "DELETE FROM audit WHERE revision = ?1";
        assert_eq!(file.execute(sql, [record(file, n)]).unwrap(), 1);
    };
    let insert = |file: &Connection, at: i64, revision: &str| {
        let name = format!("{at:015}-INSERTED");
        let sql = format!(
            "INSERT INTO audit (revision, scope, name, value)
             SELECT ({revision}), scope, ?1, value FROM audit WHERE revision = ?2"
        );
        assert_eq!(
            file.execute(&sql, params![name, record(file, 0)]).unwrap(),
            1
        );
    };
    let nth = |file: &Connection, prefix: &str, n: usize| keys(file, prefix)[n].clone();
    let young = now().unix_ms();
    let cases: [(&str, Tamper<'_>, &str); 11] = [
        ("nothing", &|_| {}, ""),
        (
            "a record removed",
            &|file| remove_record(file, 4),
            "is missing",
        ),
        (
            "the last record removed",
            &|file| remove_record(file, 8),
            "is missing",
        ),
        (
            "a record changed",
            &|file| {
                let changed = file.execute(
                    "UPDATE audit SET value = CAST(replace(CAST(value AS TEXT), '127.0.0.1', '127.0.0.2') AS BLOB) WHERE revision = ?1",
                    [record(file, 2)],
                );
                assert_eq!(changed.unwrap(), 1);
            },
            "was changed",
        ),
        (
            "a record moved in time",
            &|file| {
                let sql = "UPDATE audit SET name = '0' || name WHERE revision = ?1";
                assert_eq!(file.execute(sql, [record(file, 3)]).unwrap(), 1);
            },
            "is in no link",
        ),
        (
            "a record inserted",
            &|file| insert(file, young, "SELECT min(revision) - 1 FROM audit"),
            "is in no link",
        ),
        (
            "an old record inserted as pending",
            &|file| insert(file, young - DAY_MS, "SELECT head FROM log"),
            "is in no link",
        ),
        (
            "a link removed",
            &|file| remove(file, &nth(file, &links, 1)),
            "links 2 to 2 are missing",
        ),
        (
            "the last link removed",
            &|file| remove(file, keys(file, &links).last().unwrap()),
            "are missing",
        ),
        (
            "a link changed",
            &|file| {
                let changed = file.execute(
                    "UPDATE entry SET value = CAST(replace(CAST(value AS TEXT), '\"n\":2', '\"n\":3') AS BLOB) WHERE key = ?1",
                    [nth(file, &links, 1)],
                );
                assert_eq!(changed.unwrap(), 1);
            },
            "link 2 is forged",
        ),
        (
            "the head removed",
            &|file| remove(file, &head_key),
            "there is no head",
        ),
    ];
    let head = report["Head"].as_str().unwrap();
    for (name, tamper, expected) in cases {
        let data = copy(&server, name);
        let file = Connection::open(data.join("store.db")).unwrap();
        tamper(&file);
        file.close().unwrap();
        let (code, reports) = verify(&data, &["--account", &alice.account, "--head", head]);
        let problems = reports[0]["Problems"].as_array().unwrap();
        if expected.is_empty() {
            assert_eq!((code, problems.len()), (Some(0), 0), "{name}: {reports:?}");
            continue;
        }
        assert_eq!(code, Some(65), "{name}: {reports:?}");
        let found = |problem: &Value| problem.as_str().unwrap().contains(expected);
        assert!(problems.iter().any(found), "{name}: {reports:?}");
    }
    server.launch();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_is_detected_by_a_kept_head() {
    let mut server = Server::start_with(&unlimited());
    let (alice, before) = history(&server).await;
    assert_eq!(server.terminate().code(), Some(0));
    let older = copy(&server, "older");
    server.launch();
    let origin = Origin::start().await;
    let secret = String::from_utf8(alice.secret.expose().to_vec()).unwrap();
    let alice = server.client_for(&alice.account, &alice.key, &secret);
    alice.add("one-more.audit.example", &origin).await;
    let after = linked(&server.data(), &alice.account).await;
    assert_eq!(after["Records"], 11);

    let head = |report: &Value| report["Head"].as_str().unwrap().to_owned();
    let (old_head, new_head) = (head(&before), head(&after));
    assert_ne!(old_head, new_head);
    let with_head =
        |data: &Path, head: &str| verify(data, &["--account", &alice.account, "--head", head]);
    assert_eq!(
        with_head(&server.data(), &old_head).0,
        Some(0),
        "the older head is part of the chain"
    );
    assert_eq!(with_head(&server.data(), &new_head).0, Some(0));
    assert_eq!(
        verify(&older, &[]).0,
        Some(0),
        "the older state is consistent in itself"
    );
    let (code, reports) = with_head(&older, &new_head);
    assert_eq!(code, Some(65));
    assert!(
        reports[0]["Problems"][0]
            .as_str()
            .unwrap()
            .contains("cut off"),
        "{reports:?}"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_change_and_link_is_not_tampering() {
    let mut server = Server::start_with(&unlimited());
    let (root, origin) = (server.root_client(), Origin::start().await);
    let mut requests = Vec::new();
    let mut was_pending = 0;
    for round in 0..8 {
        let api = server.root_client();
        for n in 0..5 {
            let (name, sources) = (format!("{round}-{n}.kill.example"), origin.sources());
            let params = add_params(name.as_str(), &sources);
            let body = api.ok(CDN_VERSION, "AddCdnDomain", &params).await;
            requests.push(body["RequestId"].as_str().unwrap().to_owned());
        }
        // The change was acknowledged and may not be linked yet: links are written later.
        server.kill();
        let (code, reports) = verify(&server.data(), &[]);
        assert_eq!(code, Some(0), "after kill {round}: {reports:?}");
        was_pending += reports[0]["Pending"].as_u64().unwrap();
        server.launch();
    }
    assert!(
        was_pending > 0,
        "no kill came between a change and its link"
    );
    let report = linked(&server.data(), &root.account).await;
    assert!(report["Records"].as_u64().unwrap() >= requests.len() as u64);
    let found = records(&server.root_client(), &[("ActionName", "AddCdnDomain")]).await;
    let found: Vec<&str> = found
        .iter()
        .map(|record| record["RequestId"].as_str().unwrap())
        .collect();
    assert_eq!(found, requests);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_records_expire_and_the_rest_still_verifies() {
    let mut server = Server::start_with(&format!("audit_retention_days = 30\n{}", unlimited()));
    let (alice, _) = history(&server).await;
    assert_eq!(server.terminate().code(), Some(0));
    // Records as a server with a correct clock would have written them at the time.
    let account = AccountId::parse(&alice.account).unwrap();
    let catalog = catalog(&server.data()).await;
    write_old(&catalog, &account, &[31, 40, 400, 29]).await;
    // Retention observed the clock at these times, so that it trusts the clock now.
    for hours in [25, 13, 1] {
        let at = Timestamp::from_unix_ms(now().unix_ms() - hours * HOUR_MS);
        assert_eq!(catalog.expire_audit_records(at, 30).await.unwrap(), 0);
    }
    drop(catalog);
    server.launch();
    let secret = String::from_utf8(alice.secret.expose().to_vec()).unwrap();
    let alice = server.client_for(&alice.account, &alice.key, &secret);
    let left = eventually("the old records expire", async || {
        let found = records(&alice, &[]).await;
        (found.len() == 11).then_some(found)
    })
    .await;
    assert_eq!(left[0]["RequestId"], "OLD-29");
    let (_, reports) = verify(&server.data(), &["--account", &alice.account]);
    assert!(reports[0]["RemovedBefore"].is_string(), "{reports:?}");
    // The records were inserted long after their timestamps, which is reported; the removed ones
    // are not reported as missing.
    let problems = reports[0]["Problems"].as_array().unwrap();
    let late = |problem: &Value| problem.as_str().unwrap().contains("inserted later");
    assert!(problems.iter().all(late), "{reports:?}");
    server.stop();
}

async fn catalog(data: &Path) -> Catalog {
    let url = StoreUrl::Sqlite(data.join("store.db"));
    let store = open(&url, now).await.unwrap();
    let keyring = Keyring::parse(&fs::read_to_string(data.join("kek")).unwrap()).unwrap();
    Catalog::new(store, keyring)
}

async fn write_old(catalog: &Catalog, account: &AccountId, days: &[i64]) {
    for days in days {
        let audit = AuditContext {
            account: account.clone(),
            principal: format!("acs:ram::{account}:root"),
            access_key: "-".to_owned(),
            source: "-".to_owned(),
            action: "Test".to_owned(),
            resource: String::new(),
            request_id: format!("OLD-{days}"),
            nonce: None,
            now: Timestamp::from_unix_ms(now().unix_ms() - days * DAY_MS),
        };
        catalog.record_refusal(&audit, "Code", &[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_and_exports() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    for n in 0..4 {
        api.add(&format!("{n}.cli.example"), &origin).await;
    }
    api.refused(EDGESEAL, "CreateAccount", &[]).await;
    let run = |line: &str| {
        let mut command = binary();
        command
            .arg("audit")
            .args(line.split(' '))
            .stdin(Stdio::null());
        let output = command
            .env("EDGESEAL_DATA", server.data())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code(),
            said,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said, _) = run("list --limit 3 --action AddCdnDomain");
    assert_eq!(code, Some(0));
    assert!(
        said.contains("3.cli.example") && said.contains("1.cli.example"),
        "{said}"
    );
    assert!(!said.contains("0.cli.example"), "at most three: {said}");
    let (_, said, _) = run("list --json --resource 2.cli.example");
    let listed: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(listed["Records"].as_array().unwrap().len(), 1);
    let (code, said, _) = run("export --action AddCdnDomain");
    assert_eq!(code, Some(0));
    let names: Vec<String> = said
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["Resource"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        names,
        [
            "0.cli.example",
            "1.cli.example",
            "2.cli.example",
            "3.cli.example"
        ]
    );
    let (code, said, errors) = run("verify --head 1:00");
    assert_eq!((code, said.as_str()), (Some(64), ""), "{errors}");
    let (code, said, _) = run("list --since yesterday");
    assert_eq!((code, said.as_str()), (Some(77), ""));
    server.stop();
}
