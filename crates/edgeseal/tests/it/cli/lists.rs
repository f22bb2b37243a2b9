//! Expiry in `edgeseal cert list` and `edgeseal domain list`.

use std::fs;

use rcgen::CertificateParams;

use super::{NAME, assert_row, edgeseal, json};
use crate::harness::{
    Server,
    pki::{AUTHORITY, CertificateWithKey, new_key, set_validity_days},
};

/// A chain whose intermediate ends before the leaf.
fn short_chain(name: &str) -> (String, String) {
    let short = |params: &mut CertificateParams| set_validity_days(params, -9, 20);
    let root = CertificateWithKey::root("Root of the short one");
    let intermediate = root.authority_with("Short", new_key(), short);
    let leaf = intermediate.leaf(name);
    (leaf.pem() + &intermediate.pem(), leaf.key_pem())
}

#[test]
fn certificates_and_domains_by_expiry() {
    let server = Server::start();
    let put = |name: &str, chain: &str, key: &str| {
        fs::write(server.home().join(format!("{name}.pem")), chain).unwrap();
        fs::write(server.home().join(format!("{name}.key")), key).unwrap();
    };
    let long = AUTHORITY.issue(&[NAME]);
    let (chain, key) = short_chain("short.cli.example");
    put("long", &long.chain, &long.key);
    put("short", &chain, &key);
    for name in [NAME, "short.cli.example", "plain.cli.example"] {
        edgeseal(&server, &format!("domain add {name} --origin 127.0.0.1:1")).success();
    }
    let unused = AUTHORITY.issue_with(&["unused.example"], |params| {
        set_validity_days(params, -1, 50);
    });
    put("unused", &unused.chain, &unused.key);
    let upload = "call UploadUserCertificate --Name spare --Cert @unused.pem --Key @unused.key";
    edgeseal(&server, upload).success();
    for (name, files) in [(NAME, "long"), ("short.cli.example", "short")] {
        let set = format!("cert set {name} --name {files} --cert {files}.pem --key {files}.key");
        let said = edgeseal(&server, &set);
        assert_eq!(said.code, Some(0), "{}", said.err);
    }

    let names = |line: &str| -> Vec<String> {
        let rows = json(&server, format!("cert list --json {line}").trim_end());
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["CertName"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(""), ["short", "spare", "long"]);
    assert_eq!(names("--expiring 30d"), ["short"]);
    assert_eq!(names("--expiring 60d"), ["short", "spare"]);
    assert_eq!(names("--unused"), ["spare"]);
    assert_eq!(names("--unused --expiring 30d"), [] as [&str; 0]);
    let row = &json(&server, "cert list --json")[0];
    assert_eq!(row["DaysLeft"], 19);
    assert_eq!(row["Domains"][0], "short.cli.example");
    assert!(
        row["ChainNotAfter"].as_str() < row["NotAfter"].as_str(),
        "{row}"
    );
    let table = edgeseal(&server, "cert list").success();
    assert_row(&table, &["EXPIRES", "NAME", "DOMAINS"]);
    assert_row(
        &table,
        &["19 days left (soon)", "short", "short.cli.example"],
    );
    assert_row(
        &table,
        &["49 days left", "spare", "unused.example", "unused"],
    );
    let wrong = edgeseal(&server, "cert list --expiring soon").failure(64);
    assert!(wrong.contains("30d"), "{wrong}");

    // The domain's column is that of the whole chain; a domain without HTTPS has none.
    let table = edgeseal(&server, "domain list").success();
    assert_row(&table, &["DOMAIN", "HTTPS", "EXPIRES"]);
    assert_row(&table, &["short.cli.example", "on", "19 days left"]);
    assert_row(&table, &[NAME, "on", "89 days left"]);
    let plain = table.lines().find(|line| line.contains("plain.cli"));
    assert!(!plain.unwrap().contains("left"), "{table}");
    server.stop();
}
