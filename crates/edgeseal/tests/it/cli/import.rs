//! `edgeseal import`: layouts of ACME clients, precedence, and repeated runs.

use std::{fs, os::unix::fs::symlink, path::Path};

use rcgen::CertificateParams;
use serde_json::Value;

use super::{CommandOutput, command, edgeseal};
use crate::harness::{
    Origin, Server, TestCertificate,
    pki::{AUTHORITY, leaf_params, new_key, set_validity_days},
};

mod interrupted;

fn put(directory: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
}

/// The leaf certificate alone.
fn leaf(pem: &TestCertificate) -> String {
    let end = "-----END CERTIFICATE-----\n";
    let at = pem.chain.find(end).unwrap() + end.len();
    pem.chain[..at].to_owned()
}

fn issue(name: &str) -> TestCertificate {
    AUTHORITY.issue(&[name, &format!("*.{name}")])
}

/// One site in each client's layout; returns the sites' certificates.
fn layouts(root: &Path) -> Vec<(&'static str, TestCertificate)> {
    let names = [
        "certbot.example",
        "acme-sh.example",
        "lego.example",
        "caddy.example",
        "flat.example",
    ];
    let sites: Vec<(&str, TestCertificate)> = names.map(|name| (name, issue(name))).into();
    let issuer = AUTHORITY.intermediate.pem();
    let [certbot, acme_sh, lego, caddy, flat] = [0, 1, 2, 3, 4].map(|n| &sites[n].1);

    let archive = root.join("letsencrypt/archive/certbot.example");
    put(
        &archive,
        &[
            ("cert1.pem", &leaf(certbot)),
            ("chain1.pem", &issuer),
            ("fullchain1.pem", &certbot.chain),
            ("privkey1.pem", &certbot.key),
        ],
    );
    let live = root.join("letsencrypt/live/certbot.example");
    put(&live, &[("README", "about these files")]);
    for file in ["cert", "chain", "fullchain", "privkey"] {
        let to = format!("../../archive/certbot.example/{file}1.pem");
        symlink(to, live.join(format!("{file}.pem"))).unwrap();
    }
    put(
        &root.join(".acme.sh/acme-sh.example_ecc"),
        &[
            ("acme-sh.example.cer", &leaf(acme_sh)),
            ("ca.cer", &issuer),
            ("fullchain.cer", &acme_sh.chain),
            ("acme-sh.example.key", &acme_sh.key),
            ("acme-sh.example.conf", "Le_Domain='acme-sh.example'\n"),
        ],
    );
    put(
        &root.join(".lego/certificates"),
        &[
            ("lego.example.crt", &lego.chain),
            ("lego.example.issuer.crt", &issuer),
            ("lego.example.key", &lego.key),
            ("lego.example.json", "{}"),
        ],
    );
    let account = AUTHORITY.issue(&["account.example"]);
    put(&root.join(".lego/accounts"), &[("me.key", &account.key)]);
    // A CSR is neither importable nor an error.
    let request = CertificateParams::new(["acme-sh.example".to_owned()]).unwrap();
    let request = request.serialize_request(&new_key()).unwrap();
    let requests = root.join("letsencrypt/csr");
    put(&requests, &[("0000_csr.pem", &request.pem().unwrap())]);
    fs::write(requests.join("request.der"), request.der()).unwrap();
    let authority = "caddy/certificates/acme-v02.api.letsencrypt.org-directory/caddy.example";
    put(
        &root.join(authority),
        &[
            ("caddy.example.crt", &caddy.chain),
            ("caddy.example.key", &caddy.key),
            ("caddy.example.json", "{}"),
        ],
    );
    // Uninformative file names, and the issuer in a separate file.
    put(
        &root.join("flat"),
        &[
            ("1.pem", &leaf(flat)),
            ("2.pem", &flat.key),
            ("3.pem", &issuer),
        ],
    );
    sites
}

fn import(server: &Server, line: &str) -> CommandOutput {
    edgeseal(server, &format!("import {line} --origin 127.0.0.1:1"))
}

fn domains(server: &Server) -> usize {
    let listed = edgeseal(server, "domain list --json").success();
    serde_json::from_str::<Value>(&listed)
        .unwrap()
        .as_array()
        .unwrap()
        .len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_s_layout_is_served() {
    let server = Server::start();
    let sites = layouts(&server.home().join("found"));

    let dry = import(&server, "found --dry-run").success();
    for (name, _) in &sites {
        assert!(dry.contains(&format!("{name},*.{name}")), "{dry}");
    }
    assert!(
        dry.contains("5 certificates for 10 domains: 10 to be added\n"),
        "{dry}"
    );
    assert!(
        dry.contains("1 key passed over"),
        "the key of an account: {dry}"
    );
    assert_eq!(domains(&server), 0, "a dry run changes nothing");

    let said = import(&server, "found").success();
    assert!(
        said.contains("5 certificates for 10 domains: 10 added\n"),
        "{said}"
    );
    assert!(said.ends_with("10 of 10 domains are served\n"), "{said}");
    for (name, pem) in &sites {
        for name in [(*name).to_owned(), format!("any.{name}")] {
            let shown = server.served(&name).await.unwrap();
            assert_eq!(shown[0], pem.leaf, "{name}");
            assert_eq!(shown.len(), 2, "{name} with its issuer");
        }
    }
    let again: Value = serde_json::from_str(&import(&server, "found --json").success()).unwrap();
    assert_eq!(
        (&again["Served"], &again["Domains"]),
        (&10.into(), &10.into())
    );
    for certificate in again["Certificates"].as_array().unwrap() {
        for domain in certificate["Domains"].as_array().unwrap() {
            assert_eq!(domain["Result"], "Unchanged", "{certificate}");
        }
    }
    server.stop();
}

/// Of two certificates for one name, the one issued last is served, whatever its path or file name;
/// the certificate already on the server competes as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_was_issued_last_wins() {
    let server = Server::start();
    let name = "twice.example";
    let aged = |days: i64| {
        AUTHORITY.issue_with(&[name], |params| {
            set_validity_days(params, -days, 90 - days)
        })
    };
    let (oldest, older, newest) = (aged(30), aged(20), aged(10));
    let found = server.home().join("found");
    put(
        &found,
        &[
            ("a-newest.pem", &newest.chain),
            ("a.key", &newest.key),
            ("z-older.pem", &older.chain),
            ("z.key", &older.key),
        ],
    );
    let dry = import(&server, "found --dry-run").success();
    assert!(
        dry.contains("a-newest.pem was issued later for the same names"),
        "{dry}"
    );
    let said = import(&server, "found").success();
    assert!(
        said.contains("1 certificate for 1 domain: 1 added\n"),
        "{said}"
    );
    assert!(
        said.contains("1 certificate passed over for a later one\n"),
        "{said}"
    );
    server
        .assert_serves(name, &newest.leaf, "after the import")
        .await;

    put(
        &server.home().join("before"),
        &[("c.pem", &oldest.chain), ("k.pem", &oldest.key)],
    );
    let said = import(&server, "before").success();
    assert!(
        said.contains("1 kept: the server has one that was issued later\n"),
        "{said}"
    );
    server
        .assert_serves(name, &newest.leaf, "after an import of an older one")
        .await;
    let latest = AUTHORITY.issue(&[name]);
    put(
        &server.home().join("before"),
        &[("c.pem", &latest.chain), ("k.pem", &latest.key)],
    );
    assert!(import(&server, "before").success().contains("1 replaced\n"));
    server
        .assert_serves(name, &latest.leaf, "after a renewal")
        .await;
    server.stop();
}

/// The exit code is 0 only if everything found is served; each exception is listed with a reason.
#[tokio::test(flavor = "multi_thread")]
async fn unserved_certificates_are_reported_with_a_reason() {
    let server = Server::start();
    let origin = Origin::start().await;
    let bob = server.create_account("bob").await;
    bob.add("his.example", &origin).await;
    let expired = AUTHORITY.issue_with(&["expired.example"], |params| {
        set_validity_days(params, -90, -1)
    });
    let (good, his, lone) = (
        issue("good.example"),
        issue("his.example"),
        issue("lone.example"),
    );
    let mine = issue("held.example");
    put(
        &server.home().join("found"),
        &[
            ("expired.pem", &expired.chain),
            ("expired.key", &expired.key),
            ("good.pem", &format!("{}{}", good.key, good.chain)),
            ("his.pem", &format!("{}{}", his.key, his.chain)),
            ("held.pem", &format!("{}{}", mine.key, mine.chain)),
            ("lone.pem", &lone.chain),
            ("broken.pem", "-----BEGIN CERTIFICATE-----\nAAA\n"),
            ("notes.txt", "nothing"),
        ],
    );
    edgeseal(&server, "domain add held.example --origin 127.0.0.1:1").success();
    edgeseal(&server, "domain stop held.example").success();
    let said = import(&server, "found");
    assert_eq!(said.code, Some(70), "{}", said.err);
    let row = |file: &str| {
        let found = said.out.lines().find(|line| line.contains(file));
        found
            .unwrap_or_else(|| panic!("no row of {file}: {}", said.out))
            .to_owned()
    };
    for (file, why) in [
        ("expired.pem", "skipped: it expired at "),
        ("his.pem", "refused: DomainAlreadyExist"),
        ("lone.pem", "skipped: there is no private key for it"),
        ("broken.pem", "skipped: it is PEM, and damaged"),
        ("held.pem", "1 added, 1 held: stopped, or kept by its mode"),
    ] {
        assert!(row(file).contains(why), "{}", row(file));
    }
    assert!(
        !said.out.contains("good.pem"),
        "served certificates are not listed: {}",
        said.out
    );
    assert!(
        said.out.ends_with("3 of 6 domains are served\n"),
        "{}",
        said.out
    );
    assert!(
        said.err
            .contains("3 of 6 domains are not served, 2 certificates skipped, 1 file not readable"),
        "{}",
        said.err
    );
    assert_eq!(server.served("good.example").await.unwrap()[0], good.leaf);

    for (line, code, says) in [
        ("nowhere", 64, "cannot read nowhere"),
        (
            "found/notes.txt",
            70,
            "nothing was found that could be served",
        ),
        (
            "found/good.pem --password-file nowhere",
            64,
            "cannot read nowhere",
        ),
        (
            "found/good.pem --endpoint http://127.0.0.1:1",
            69,
            "does not answer",
        ),
    ] {
        let said = import(&server, line);
        assert_eq!(said.code, Some(code), "{line}: {}", said.err);
        assert!(said.err.contains(says), "{line}: {}", said.err);
    }
    server.stop();
}

/// A private root completes the chain, whether in the same file or beside it; a missing
/// intermediate is still reported.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_root_that_is_there_is_not_missed() {
    let server = Server::start();
    let root = &AUTHORITY.root;
    let below = root.issue(leaf_params(&["root.private.example"]), new_key());
    let found = server.home().join("found");
    put(
        &found,
        &[
            ("fullchain.pem", &format!("{}{}", below.pem(), root.pem())),
            ("privkey.pem", &below.key_pem()),
        ],
    );
    let beside = root.issue(leaf_params(&["beside.private.example"]), new_key());
    put(
        &found,
        &[("1.pem", &beside.pem()), ("2.pem", &beside.key_pem())],
    );
    let said: Value = serde_json::from_str(&import(&server, "found --json").success()).unwrap();
    assert_eq!(said["Served"], 2, "{said}");
    for certificate in said["Certificates"].as_array().unwrap() {
        assert_eq!(certificate["Warnings"], Value::Null, "{said}");
    }
    for name in ["root.private.example", "beside.private.example"] {
        let shown = server.served(name).await.unwrap();
        assert_eq!(shown.len(), 1, "{name}: the root is not sent");
    }
    let looked = edgeseal(&server, "doctor");
    let problem = "is served without the one of its issuer";
    assert!(!looked.out.contains(problem), "{}", looked.out);

    let alone = AUTHORITY.issue(&["alone.private.example"]);
    put(
        &server.home().join("alone"),
        &[
            ("cert.pem", &format!("{}{}", leaf(&alone), root.pem())),
            ("key.pem", &alone.key),
        ],
    );
    let said = import(&server, "alone").success();
    assert!(said.contains("CN=Test Intermediate is missing"), "{said}");
    let looked = edgeseal(&server, "doctor");
    assert_eq!(looked.code, Some(65), "{}", looked.out);
    assert!(
        looked
            .out
            .contains(&format!("{problem}, Test Intermediate")),
        "{}",
        looked.out
    );
    server.stop();
}

/// More names than one call accepts.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_many_names() {
    let server = Server::start();
    let names: Vec<String> = (0..75).map(|n| format!("{n}.names.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let pem = AUTHORITY.issue(&names);
    put(
        &server.home().join("found"),
        &[("all.pem", &format!("{}{}", pem.chain, pem.key))],
    );
    let said = import(&server, "found").success();
    assert!(said.ends_with("75 of 75 domains are served\n"), "{said}");
    server
        .assert_serves(names[74], &pem.leaf, "after the import")
        .await;
    server.stop();
}

/// Another user of the account needs only this permission, on the domain.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_import_what_a_policy_says() {
    let server = Server::start();
    let pem = AUTHORITY.issue(&["may.example"]);
    let other = AUTHORITY.issue(&["may-not.example"]);
    put(
        &server.home().join("may"),
        &[("a.pem", &format!("{}{}", pem.chain, pem.key))],
    );
    put(
        &server.home().join("not"),
        &[("a.pem", &format!("{}{}", other.chain, other.key))],
    );
    edgeseal(&server, "call CreateUser --UserName importer").success();
    let policy = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"edgeseal:ImportCertificate","Resource":"acs:edgeseal:*:*:domain/may.example"}]}"#;
    let mut create = command(
        &server,
        "call CreatePolicy --PolicyName import --PolicyDocument",
    );
    CommandOutput::run(create.arg(policy)).success();
    edgeseal(
        &server,
        "call AttachPolicyToUser --PolicyType Custom --PolicyName import --UserName importer",
    )
    .success();
    let key = edgeseal(
        &server,
        "call --json --api-version 2015-05-01 CreateAccessKey --UserName importer",
    )
    .success();
    let key: Value = serde_json::from_str(&key).unwrap();
    let text = |name: &str| key["AccessKey"][name].as_str().unwrap().to_owned();
    let secret = text("AccessKeySecret");
    crate::harness::secrets::register_secret(&secret);
    let with = |directory: &str| {
        import(
            &server,
            &format!(
                "{directory} --access-key-id {} --access-key-secret {secret}",
                text("AccessKeyId")
            ),
        )
    };
    assert!(
        with("may")
            .success()
            .ends_with("1 of 1 domains are served\n")
    );
    let denied = with("not");
    assert_eq!(denied.code, Some(70));
    assert!(
        denied.out.contains("refused: NoPermission"),
        "{}",
        denied.out
    );
    server.stop();
}
