//! Warnings: calls that are accepted with a warning return it, in every variant of the call.

use std::fs;

use edgeseal_api::client::Reply;
use rcgen::CertificateParams;
use serde_json::Value;

use crate::harness::{
    ApiClient, CAS, CAS_2018, CDN_2014, CDN_VERSION, DCDN, EDGESEAL, Origin, SET, Server,
    TestCertificate,
    api::upload_params,
    eventually, pem,
    pki::{AUTHORITY, set_validity_days},
    raw,
    server::binary,
    unlimited,
};

const NAME: &str = "www.warned.example";
const OTHER: &str = "www.other.example";
const LEGACY: &str = "SetDomainServerCertificate";
const BATCH: &str = "BatchSetCdnDomainServerCertificate";

/// A certificate without its issuing intermediate.
fn leaf_only(mut pem: TestCertificate) -> TestCertificate {
    pem.chain = pem::encode("CERTIFICATE", &pem.leaf);
    pem
}

async fn call(api: &ApiClient, version: &str, action: &str, params: &[(&str, &str)]) -> Reply {
    let called = api.call(version, action, params).await;
    called.unwrap_or_else(|error| panic!("{action}: {error:?}"))
}

/// The kinds in the body. The header has each of them once.
fn kinds(reply: &Reply) -> Vec<String> {
    let warnings = reply.body["Warnings"].as_array().cloned();
    let warnings = warnings.unwrap_or_default();
    for warning in &warnings {
        assert!(!warning["Detail"].as_str().unwrap().is_empty());
    }
    let kind = |warning: &Value| warning["Kind"].as_str().unwrap().to_owned();
    let all: Vec<String> = warnings.iter().map(kind).collect();
    let mut once = Vec::new();
    for kind in &all {
        if !once.contains(kind) {
            once.push(kind.clone());
        }
    }
    let header = reply.headers.get("x-edgeseal-warnings");
    let header = header.map(|header| header.to_str().unwrap().to_owned());
    assert_eq!(header, (!once.is_empty()).then(|| once.join(", ")));
    // Deploy scripts take these members for an error, wherever they occur.
    let body = reply.body.to_string();
    assert!(
        !body.contains("\"Message\"") && !body.contains("\"Code\""),
        "{body}"
    );
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_variant_warns_of_a_missing_intermediate() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.add(NAME, &origin).await;
    api.add(OTHER, &origin).await;
    let whole = AUTHORITY.issue(&[NAME, OTHER]);
    let bare = leaf_only(whole.clone());

    let new = upload_params(NAME, &bare);
    let legacy = [
        ("DomainName", NAME),
        ("ServerCertificateStatus", "on"),
        ("ServerCertificate", &bare.chain),
        ("PrivateKey", &bare.key),
    ];
    let both = format!("{NAME},{OTHER}");
    let batch = upload_params(&both, &bare);
    let centre = [("Name", "bare"), ("Cert", &bare.chain), ("Key", &bare.key)];
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
    let table: [Row<'_>; 8] = [
        (CDN_VERSION, SET, &new),
        (DCDN, "SetDcdnDomainSSLCertificate", &new),
        (CDN_VERSION, LEGACY, &legacy),
        (CDN_2014, LEGACY, &legacy),
        (CDN_VERSION, BATCH, &batch),
        (CDN_2014, BATCH, &batch),
        (CAS, "UploadUserCertificate", &centre),
        (CAS_2018, "CreateUserCertificate", &centre),
    ];
    for (version, action, params) in table {
        let reply = call(&api, version, action, params).await;
        assert_eq!(kinds(&reply), ["IncompleteChain"], "{action} {version}");
        let detail = reply.body["Warnings"][0]["Detail"].as_str().unwrap();
        assert!(detail.contains("CN=Test Intermediate"), "{detail}");
    }
    // A stored certificate causes the same warning when it is bound.
    let stored = [
        ("DomainName", NAME),
        ("SSLProtocol", "on"),
        ("CertType", "cas"),
        ("CertName", "bare"),
    ];
    let reply = call(&api, CDN_VERSION, SET, &stored).await;
    assert_eq!(kinds(&reply), ["IncompleteChain"]);
    // A complete chain causes no warning, nor does switching HTTPS off.
    let reply = api.set(NAME, &whole).await.unwrap();
    assert_eq!(kinds(&reply), [] as [&str; 0]);
    assert_eq!(kinds(&api.off(NAME).await), [] as [&str; 0]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_warning_is_returned() {
    let config = format!("name_mismatch = \"accept\"\n{}", unlimited());
    let server = Server::start_with(&config);
    let (api, origin) = (server.root_client(), Origin::start().await);
    for name in [NAME, OTHER] {
        api.add(name, &origin).await;
    }
    let good = AUTHORITY.issue(&[NAME]);
    let shorter = |days| {
        let adjust = move |params: &mut CertificateParams| set_validity_days(params, -1, days);
        AUTHORITY.issue_with(&[NAME], adjust)
    };
    let mut mixed_up = AUTHORITY.issue(&[NAME]);
    let leaf = pem::encode("CERTIFICATE", &mixed_up.leaf);
    mixed_up.chain = format!("{}{leaf}", AUTHORITY.intermediate.pem());
    let steps: [(&TestCertificate, &[&str]); 6] = [
        (&good, &[]),
        (&shorter(60), &["ExpiresEarlier"]),
        (&shorter(20), &["ExpiresSoon", "ExpiresEarlier"]),
        (&mixed_up, &["ChainReordered"]),
        (&AUTHORITY.issue_rsa(&[NAME]), &["KeyTypeChanged"]),
        (&good, &["KeyTypeChanged"]),
    ];
    for (pem, expected) in steps {
        assert_eq!(kinds(&api.set(NAME, pem).await.unwrap()), expected);
    }
    let rsa = AUTHORITY.issue_rsa(&[NAME]);
    let beside = [&upload_params(NAME, &rsa)[..], &[("Companion", "true")]].concat();
    assert_eq!(
        kinds(&call(&api, CDN_VERSION, SET, &beside).await),
        [] as [&str; 0]
    );
    let replaced = kinds(&api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap());
    assert_eq!(replaced, ["ReplacesCompanion", "KeyTypeChanged"]);

    // A batch warns about each domain by name.
    let both = format!("{NAME},{OTHER}");
    let newest = AUTHORITY.issue(&[NAME]);
    let reply = call(&api, CDN_VERSION, BATCH, &upload_params(&both, &newest)).await;
    assert_eq!(kinds(&reply), ["NameMismatch"]);
    let detail = reply.body["Warnings"][0]["Detail"].as_str().unwrap();
    assert!(detail.contains(OTHER), "{detail}");

    // Publishing to production returns the warning again.
    let staged = leaf_only(shorter(10));
    let staged = [&upload_params(NAME, &staged)[..], &[("Env", "staging")]].concat();
    call(&api, CDN_VERSION, SET, &staged).await;
    let reply = api
        .call_on_domain("PublishStagingConfigToProduction", NAME)
        .await;
    let expected = ["IncompleteChain", "ExpiresSoon", "ExpiresEarlier"];
    assert_eq!(kinds(&reply), expected);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_warnings_in_log_metrics_audit_and_on_the_terminal() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.add(NAME, &origin).await;
    let bare = leaf_only(AUTHORITY.issue(&[NAME]));
    let reply = api.set(NAME, &bare).await.unwrap();
    let request = reply.body["RequestId"].as_str().unwrap();

    let line = eventually("the line of the call", || async {
        let log = server.log();
        let of_call = |line: &&str| line.contains(request) && line.contains("api call");
        log.lines().find(of_call).map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line.await).unwrap();
    assert_eq!(line["warnings"], "IncompleteChain", "{line}");

    let metric =
        format!("edgeseal_api_warnings_total{{action=\"{SET}\",kind=\"IncompleteChain\"}} 1");
    let admin = server.addresses().admin;
    eventually("the warning in the metrics", || async {
        let answer = raw::get(admin, "admin", "/metrics").await;
        answer.body.contains(&metric).then_some(())
    })
    .await;

    let found = [("RequestId", request)];
    let audited = api.ok(EDGESEAL, "DescribeAuditRecords", &found).await;
    let notes = audited["Records"][0]["Notes"].to_string();
    assert!(notes.contains("the chain is incomplete"), "{notes}");

    fs::write(server.home().join("cert.pem"), &bare.chain).unwrap();
    fs::write(server.home().join("key.pem"), &bare.key).unwrap();
    for json in [false, true] {
        let mut command = binary();
        command.args([
            "cert", "set", NAME, "--cert", "cert.pem", "--key", "key.pem",
        ]);
        command.args(json.then_some("--json"));
        command
            .current_dir(server.home())
            .env("EDGESEAL_DATA", server.data());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let begins = "edgeseal: warning: IncompleteChain: the chain is incomplete: ";
        assert!(said.starts_with(begins), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    server.stop();
}

/// Operators who look into a failed deployment have the ID or the time of the call, and the server
/// log or the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn operators_see_why_a_call_was_refused() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.add(NAME, &origin).await;
    let other = AUTHORITY.issue(&[OTHER]);
    for dry in [false, true] {
        let asked = [("DryRun", if dry { "true" } else { "false" })];
        let params = [&upload_params(NAME, &other)[..], &asked].concat();
        let refusal = api.refused(CDN_VERSION, SET, &params).await;
        assert!(refusal.detail.contains(OTHER), "{refusal:?}");
        let request = &refusal.request;

        let line = eventually("the line of the refusal", || async {
            let log = server.log();
            let of_call = |line: &&str| line.contains(request) && line.contains("api call");
            log.lines().find(of_call).map(str::to_owned)
        });
        let line: Value = serde_json::from_str(&line.await).unwrap();
        assert_eq!(line["code"], "Certificate.MissMatch", "{line}");
        assert_eq!(line["error"], refusal.detail.as_str(), "{line}");
        assert_eq!(line["dry_run"] == true, dry, "{line}");

        let table = eventually("the refusal in the audit", || async {
            let mut command = binary();
            command
                .args(["audit", "list"])
                .env("EDGESEAL_DATA", server.data());
            let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
            said.contains(request).then_some(said)
        });
        let table = table.await;
        assert!(table.contains("REASON"), "{table}");
        let row = table.lines().find(|row| row.contains(request)).unwrap();
        assert!(row.contains(&refusal.detail), "{row}");
        assert_eq!(row.contains("dry run"), dry, "{row}");
    }
    server.stop();
}
