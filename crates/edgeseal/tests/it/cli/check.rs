//! `edgeseal cert check`: without a server, and with one.

use std::{fs, process::Command};

use serde_json::Value;

use super::{CommandOutput, NAME, edgeseal, with_domain};
use crate::harness::{
    TestCertificate,
    openssl::openssl,
    pem,
    pki::{AUTHORITY, new_key, same_key, set_validity_days},
    server::binary,
};

/// A directory with files, and no server.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put("roots.pem", AUTHORITY.root.pem());
        files
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn put_pair(&self, name: &str, pair: &TestCertificate) {
        self.put(&format!("{name}.pem"), &pair.chain);
        self.put(&format!("{name}.key"), &pair.key);
    }

    fn check(&self, line: &str) -> CommandOutput {
        let mut command: Command = binary();
        command.args(["cert", "check"]).args(line.split(' '));
        CommandOutput::run(command.current_dir(self.0.path()))
    }

    /// The reports of the certificates.
    #[track_caller]
    fn json(&self, line: &str, code: i32) -> Vec<Value> {
        let said = self.check(&format!("--json {line}"));
        assert_eq!(
            (said.code, said.err.as_str()),
            (Some(code), ""),
            "{}",
            said.out
        );
        let report: Value = serde_json::from_str(&said.out).unwrap();
        let certificates = report["Certificates"].as_array().unwrap();
        let accepted = certificates.iter().all(|one| one["Accepted"] == true);
        assert_eq!(report["Accepted"], accepted);
        certificates.clone()
    }

    /// The kinds of what was found about the only certificate.
    #[track_caller]
    fn kinds(&self, line: &str) -> Vec<String> {
        let reports = self.json(line, 0);
        assert_eq!(reports.len(), 1, "{reports:?}");
        kinds(&reports[0])
    }
}

fn kinds(report: &Value) -> Vec<String> {
    let findings = report["Findings"].as_array().unwrap().iter();
    let kinds = findings.map(|one| one["Kind"].as_str().unwrap().to_owned());
    kinds.collect()
}

fn leaf(pair: &TestCertificate) -> String {
    pem::encode("CERTIFICATE", &pair.leaf)
}

#[test]
fn the_facts_of_a_certificate() {
    let files = Files::new();
    let pair = AUTHORITY.issue(&[NAME, "*.example.org"]);
    files.put_pair("a", &pair);
    let text = files.check("a.pem a.key --roots roots.pem --domain b.example.org");
    let text = text.success();
    for line in [
        "a.pem: would be accepted\n",
        "  names    www.cli.example, *.example.org\n",
        "  issuer   CN=Test Intermediate\n",
        "  key      ECDSA, 256 bits\n",
        "  expires  89 days left\n",
        "  browsers trust it with your roots: CN=Test Intermediate < CN=Test Root\n",
        "  SCTs     0\n",
        "  covers   yes\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    let reports = files.json("a.pem a.key --roots roots.pem --domain b.example.org", 0);
    let report = &reports[0];
    for (member, value) in [
        ("File", "a.pem".into()),
        ("Names", Value::from(vec![NAME, "*.example.org"])),
        ("Issuer", "CN=Test Intermediate".into()),
        ("Key", "ECDSA".into()),
        ("KeyBits", 256.into()),
        ("DaysLeft", 89.into()),
        ("PubliclyTrusted", false.into()),
        ("Root", "CN=Test Root".into()),
        ("Intermediates", Value::from(vec!["CN=Test Intermediate"])),
        ("EmbeddedScts", 0.into()),
        ("Covers", true.into()),
    ] {
        assert_eq!(report[member], value, "{member}");
    }
    // Of a private root nothing is missing, and a strict check passes.
    files.json("a.pem a.key --roots roots.pem --strict", 0);
    // Without its root nobody trusts it.
    let untrusted = &files.json("a.pem a.key", 0)[0];
    assert_eq!(kinds(untrusted), ["NotPubliclyTrusted"]);
    assert_eq!(untrusted["Findings"][0]["Severity"], "warning");
    assert_eq!(untrusted.get("Root"), None);
    // Warnings fail a strict check.
    files.json("a.pem a.key --strict", 1);
}

#[test]
fn certificate_chain_and_key_are_found_in_any_files() {
    let files = Files::new();
    let pair = AUTHORITY.issue(&[NAME]);
    let whole = format!("{}{}", pair.key, pair.chain);
    files.put_pair("full", &pair);
    files.put("leaf.pem", leaf(&pair));
    files.put("chain.pem", AUTHORITY.intermediate.pem());
    files.put("combined.pem", &whole);
    files.put("password", "secret\n");
    openssl(
        &format!(
            "pkcs12 -export -in {0}/full.pem -inkey {0}/full.key -passout pass:secret -out {0}/a.pfx",
            files.0.path().display()
        ),
        "",
    );
    files.put("leaf.der", &pair.leaf);
    for given in [
        "full.pem full.key",
        "full.key full.pem",
        "leaf.pem chain.pem full.key",
        "chain.pem leaf.der full.key",
        "combined.pem",
        "a.pfx --password-file password",
    ] {
        let found = files.kinds(&format!("{given} --roots roots.pem"));
        assert!(found.is_empty(), "{given}: {found:?}");
    }
    let without_key = files.kinds("full.pem --roots roots.pem");
    assert_eq!(without_key, ["NoKey"]);
    for (given, says) in [
        ("full.key", "no certificate in full.key"),
        ("missing.pem", "cannot read missing.pem"),
        ("a.pfx", "--password-file"),
        ("full.pem --domain a_b/c", "--domain a_b/c"),
        ("full.pem --roots full.key", "full.key"),
    ] {
        let said = files.check(given).failure(64);
        assert!(said.contains(says), "{given}: {said}");
    }
}

/// What `openssl x509 -trustout` writes: the leaf with a purpose, and the rest of its chain.
fn trusted(pair: &TestCertificate) -> Vec<u8> {
    let leaf = openssl("x509 -trustout -addtrust serverAuth", &leaf(pair));
    assert!(leaf.contains("BEGIN TRUSTED CERTIFICATE"), "{leaf}");
    (leaf + &AUTHORITY.intermediate.pem()).into()
}

/// The same certificate as editors, mail programs and other tools leave it.
#[test]
fn other_forms_of_the_same_text() {
    let files = Files::new();
    let pair = AUTHORITY.issue(&[NAME]);
    files.put("key.pem", pair.key.replace('\n', "\r\n"));
    let bag = "Bag Attributes\n    friendlyName: caf\u{e9}\n";
    for (form, content) in [
        ("CRLF", pair.chain.replace('\n', "\r\n").into_bytes()),
        (
            "a byte order mark",
            format!("\u{feff}{}", pair.chain).into_bytes(),
        ),
        (
            "text around it",
            format!("{bag}{}", pair.chain).into_bytes(),
        ),
        ("Latin-1", [b"caf\xe9\n", pair.chain.as_bytes()].concat()),
        ("indented", pair.chain.replace('\n', "\n  ").into_bytes()),
        ("spaces", pair.chain.replace('\n', " \n").into_bytes()),
        (
            "X509 CERTIFICATE",
            pair.chain.replace(" CERT", " X509 CERT").into_bytes(),
        ),
        ("TRUSTED CERTIFICATE", trusted(&pair)),
        ("no last line break", pair.chain.trim_end().into()),
    ] {
        files.put("chain.pem", content);
        let found = files.kinds("chain.pem key.pem --roots roots.pem");
        assert!(found.is_empty(), "{form}: {found:?}");
    }
}

#[test]
fn a_file_that_cannot_be_used_says_why_and_what_to_do() {
    let files = Files::new();
    let pair = AUTHORITY.issue(&[NAME]);
    let utf_16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect()
    };
    let lines = leaf(&pair);
    let inside: Vec<&str> = lines
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    for (name, content, says) in [
        ("empty", vec![], "it is empty"),
        ("blank", b" \n\n".to_vec(), "it is empty"),
        (
            "utf-16",
            utf_16(&pair.chain),
            "text in UTF-16; save it as UTF-8",
        ),
        (
            "bare",
            inside.join("\n").into(),
            "base64 without BEGIN and END lines; base64 -d",
        ),
        (
            "longer.der",
            [&pair.leaf[..], b"\r\n"].concat(),
            "damaged: 2 bytes follow its end",
        ),
        (
            "shorter.der",
            pair.leaf[..300].to_vec(),
            "damaged: its end is missing",
        ),
        ("words", b"0, nothing".to_vec(), "neither PEM nor DER"),
        (
            "long",
            vec![b'x'; (1 << 20) + 1],
            "longer than 1048576 bytes",
        ),
        ("request.der", request.into(), "CERTIFICATE REQUEST"),
    ] {
        files.put(name, content);
        let said = files.check(name);
        let said = format!("{}{}", said.out, said.err);
        assert!(said.contains(says), "{name}: {said}");
    }
    let said = files.check(".").failure(64);
    assert!(said.contains("cannot read .: "), "{said}");
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    files.put("ssh", ssh);
    files.put("chain.pem", &pair.chain);
    let detail = &files.json("chain.pem ssh", 1)[0]["Detail"];
    assert!(
        detail.as_str().unwrap().contains("ssh-keygen -p -m PKCS8"),
        "{detail}"
    );
}

#[test]
fn what_the_server_would_refuse_has_its_code() {
    let files = Files::new();
    let pair = AUTHORITY.issue(&[NAME]);
    files.put_pair("good", &pair);
    files.put_pair("other", &AUTHORITY.issue(&[NAME]));
    let expired = AUTHORITY.issue_with(&[NAME], |params| set_validity_days(params, -90, -1));
    files.put_pair("expired", &expired);
    files.put("broken.pem", pair.chain.replacen('M', "?", 1));
    files.put("broken.key", pair.key.replacen('M', "?", 1));
    files.put("stray.pem", &(leaf(&pair) + &leaf(&expired)));
    for (given, code, says) in [
        (
            "good.pem other.key",
            "Certificate.MissMatch",
            "is not the key of",
        ),
        ("good.pem broken.key", "Decode.Error", "private-key block"),
        ("broken.pem good.key", "Decode.Error", "certificate block 1"),
        (
            "expired.pem expired.key",
            "Certificate.Expired",
            "expired at",
        ),
        (
            "stray.pem good.key",
            "InvalidSSLPub",
            "both leaf certificates",
        ),
        (
            "good.pem good.key --domain other.example",
            "Certificate.MissMatch",
            NAME,
        ),
    ] {
        let reports = files.json(given, 1);
        assert_eq!(reports[0]["Code"], code, "{given}: {reports:?}");
        let detail = reports[0]["Detail"].as_str().unwrap();
        assert!(detail.contains(says), "{given}: {detail}");
        let said = files.check(given);
        let first = format!("would be refused: {code}\n  {detail}\n");
        assert!(said.out.contains(&first), "{given}: {}", said.out);
    }
    assert_eq!(files.json("expired.pem expired.key", 1)[0]["DaysLeft"], -2);
}

#[test]
fn what_is_not_served_and_what_is_shared() {
    let files = Files::new();
    let key = new_key();
    let first = AUTHORITY.issue_for(&[NAME], same_key(&key), |_| {});
    let second = AUTHORITY.issue_for(&["b.example"], key, |_| {});
    files.put("first.pem", &(first.chain.clone() + &AUTHORITY.root.pem()));
    files.put("first.key", &first.key);
    files.put(
        "second.pem",
        &(AUTHORITY.intermediate.pem() + &leaf(&second)),
    );
    let found = files.kinds("first.pem first.key --roots roots.pem");
    assert_eq!(found, ["RootIncluded"]);
    let found = files.kinds("second.pem first.key --roots roots.pem");
    assert_eq!(found, ["ChainReordered"]);
    // The key is both certificates' own.
    let reports = files.json("first.pem second.pem first.key --roots roots.pem", 0);
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0]["SpkiSha256"], reports[1]["SpkiSha256"]);
    for report in &reports {
        assert!(kinds(report).contains(&"SharedKey".to_owned()), "{report}");
    }
}

#[test]
fn the_server_says_which_domains_and_what_a_dry_run_finds() {
    let server = with_domain();
    let report = |line: &str, code: i32| -> Value {
        let line = format!("cert check cert.pem key.pem --json --online {line}");
        let said = edgeseal(&server, line.trim_end());
        assert_eq!(
            (said.code, said.err.as_str()),
            (Some(code), ""),
            "{}",
            said.out
        );
        let all: Value = serde_json::from_str(&said.out).unwrap();
        all["Certificates"][0].clone()
    };
    let before = report("", 0);
    assert_eq!(before["Domains"], Value::from(vec![NAME]));
    assert_eq!(kinds(&before), ["NotPubliclyTrusted"]);
    let missing = report("--domain missing.cli.example", 1);
    assert_eq!(missing["Code"], "Certificate.MissMatch");
    let clean = report(&format!("--domain {NAME}"), 0);
    assert_eq!(kinds(&clean), ["NotPubliclyTrusted"]);
    // Nothing was set.
    let shown = edgeseal(&server, &format!("cert show {NAME} --json")).success();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let status = &shown["CertInfos"]["CertInfo"][0]["ServerCertificateStatus"];
    assert_eq!(status, "off");
    let set = format!("cert set {NAME} --cert cert.pem --key key.pem");
    edgeseal(&server, &set).success();
    let same = report(&format!("--domain {NAME}"), 0);
    let expected = ["NotPubliclyTrusted", "AlreadyStored", "SameKeyAsBound"];
    assert_eq!(kinds(&same), expected);
    edgeseal(&server, &format!("domain stop {NAME}")).success();
    let stopped = report(&format!("--domain {NAME}"), 1);
    assert_eq!(stopped["Code"], "InvalidDomain.Offline");
    server.stop();
}
