//! The doctor reports nothing on intact data, finds each kind of planted damage, and changes
//! nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::Secret;
use edgeseal_store::{
    Key, Keyring,
    record::{decode_material, encode_material},
};
use rusqlite::Connection;

use crate::{
    harness::{
        CDN_VERSION, Origin, Server,
        api::upload_params,
        pki::{self, AUTHORITY},
        secrets,
        server::binary,
    },
    restart::{differing, files},
};

const NAME: &str = "www.doctor.example";

mod served;

/// The command, with a configuration whose connection limit suits the file descriptors of any
/// machine.
fn doctor_command(data: &Path) -> Command {
    let mut command = binary();
    command.arg("doctor").arg("--data").arg(data);
    command.env("EDGESEAL_CONNECTIONS", "100");
    command.stdin(Stdio::null());
    command
}

pub(crate) fn doctor(data: &Path) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = doctor_command(data).output().unwrap();
    for said in [&stdout, &stderr] {
        secrets::assert_no_secrets("the doctor", said);
    }
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

/// A server with one of everything: domains with certificates in production and staging, one with
/// HTTPS off, a deleted one, a signing request, another account.
async fn with_everything() -> Server {
    let server = Server::start_with("bound_certificate = \"release\"\n");
    let (api, origin) = (server.root_client(), Origin::start().await);
    server.create_account("second").await;
    let wildcard = "*.doctor.example";
    for name in [NAME, "off.doctor.example", wildcard] {
        api.serve(name, &origin).await;
    }
    api.off("off.doctor.example").await;
    let staged = AUTHORITY.issue(&[NAME]);
    let mut params = upload_params(NAME, &staged).to_vec();
    params.push(("Env", "staging"));
    api.ok(CDN_VERSION, "SetCdnDomainSSLCertificate", &params)
        .await;
    let asked = [("CommonName", "asked.doctor.example")];
    api.call(CDN_VERSION, "CreateCdnCertificateSigningRequest", &asked)
        .await
        .unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn intact_data_has_no_problem_and_is_not_changed() {
    let mut server = with_everything().await;
    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(0), "beside the server: {said}");
    assert!(!said.contains("warning"), "{said}");
    for line in [
        "checked 3 domains, 4 certificates, ",
        "checked 2 sealed records of access keys\n",
        "checked 4 sealed records of certificates\n",
        "checked 2 sealed records of session ticket keys\n",
        "checked 1 sealed records of signing requests\n",
        "checked 3 domains in the edge's replica\n",
        "checked the validity, names and chains of 2 certificates that are served\n",
        "checked 3 of 3 domains by a handshake with the edge\n",
        "everything is as it should be\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let none: [String; 0] = [];
    for killed in [true, false] {
        if killed {
            server.kill();
        } else {
            server.launch();
            server.terminate();
        }
        let before = files(&server.data());
        let (code, said) = doctor(&server.data());
        assert_eq!(code, Some(0), "killed: {killed}: {said}");
        assert_eq!(differing(&before, &files(&server.data())), none);
    }
    server.launch();
    server.stop();
}

/// The damage done to a copy of a data directory, and what the doctor reports.
type Damage = (&'static str, fn(&Path), &'static str);

const DAMAGE: &[Damage] = &[
    (
        "a sealed key",
        |data| {
            change(data, "material/%", |_, value| {
                let last = value.len() - 1;
                value[last] ^= 1;
            })
        },
        "the sealed value does not open: it was changed",
    ),
    (
        "another certificate's key",
        |data| {
            change(data, "material/%", |data, value| {
                let mut material = decode_material(value).unwrap();
                let der = pki::new_key().serialized_der().to_vec();
                let key = Key::from_stored(&first_key(data, "material/%"));
                material.sealed_key = keyring(data).seal(&Secret::new(der), &key);
                *value = encode_material(&material).unwrap().to_vec();
            })
        },
        "what is sealed is another key",
    ),
    (
        "not a private key",
        |data| {
            change(data, "material/%", |data, value| {
                let mut material = decode_material(value).unwrap();
                let key = Key::from_stored(&first_key(data, "material/%"));
                material.sealed_key = keyring(data).seal(&Secret::new(b"no key".to_vec()), &key);
                *value = encode_material(&material).unwrap().to_vec();
            })
        },
        "what is sealed is no private key",
    ),
    (
        "a signing request's key",
        |data| {
            change(data, "csr/%", |data, value| {
                let der = pki::new_key().serialized_der().to_vec();
                let key = Key::from_stored(&first_key(data, "csr/%"));
                let sealed = keyring(data).seal(&Secret::new(der), &key);
                let mut record: serde_json::Value = serde_json::from_slice(value).unwrap();
                record["sealed_key"] = STANDARD.encode(sealed).into();
                *value = record.to_string().into_bytes();
            })
        },
        "what is sealed is another key",
    ),
    (
        "an access key",
        |data| {
            change_text(
                data,
                "accesskey/%",
                "\"sealed_secret\":\"",
                "\"sealed_secret\":\"AA",
            )
        },
        "it does not read",
    ),
    (
        "no certificate",
        |data| delete(data, "cert/%"),
        "which it has bound, is not there",
    ),
    (
        "no material",
        |data| delete(data, "material/%"),
        "which it serves, is not there",
    ),
    ("no issuer", |data| delete(data, "issuer/%"), "is not there"),
    (
        "other issuer",
        |data| change(data, "issuer/%", |_, value| value[9] ^= 1),
        "do not have the digest",
    ),
    (
        "no account",
        |data| delete(data, "account/%"),
        " is missing",
    ),
    (
        "no account name",
        |data| delete(data, "accountname/%"),
        "its name does not lead to it",
    ),
    (
        "no access key in the account",
        |data| delete(data, "accountkey/%"),
        " is missing",
    ),
    (
        "no domain in the account",
        |data| delete(data, "accountdomain/%"),
        " is missing",
    ),
    (
        "another summary",
        |data| change(data, "accountdomain/%", |_, value| value[1] ^= 1),
        "says something else",
    ),
    (
        "no certificate in the account",
        |data| delete(data, "accountcert/%"),
        " is missing",
    ),
    (
        "no name of a certificate",
        |data| delete(data, "certname/%"),
        "its name does not lead to it",
    ),
    (
        "no content of a certificate",
        |data| delete(data, "content/%"),
        "its content does not lead to it",
    ),
    (
        "a use of a certificate by no domain",
        |data| {
            run(
                data,
                "INSERT INTO entry (key, value, changed) VALUES ('certuse/1/none.example', x'', 1)",
            )
        },
        "it leads to nothing that it belongs to",
    ),
    (
        "material of no certificate",
        |data| delete(data, "content/%"),
        "no certificate has it",
    ),
    (
        "no counter of an intermediate",
        |data| delete(data, "issuercount/%"),
        "its counter says nothing",
    ),
    (
        "another number of domains",
        |data| change(data, "count/%/domains", |_, value| value[0] += 1),
        "domains, and there are 3",
    ),
    (
        "fewer signing requests",
        |data| change(data, "count/%/csrkeys", |_, value| value[0] = b'0'),
        "it says 0 signing requests, and there are 1",
    ),
    (
        "no name below",
        |data| delete(data, "below/%"),
        " is missing",
    ),
    (
        "no domain",
        |data| delete(data, "domain/%"),
        "it leads to nothing that it belongs to",
    ),
    (
        "an unreadable domain",
        |data| change(data, "domain/%", |_, value| value[0] = b'?'),
        "it does not read",
    ),
    (
        "a record in another's place",
        |data| {
            run(
                data,
                "UPDATE entry SET key = 'domain/00/other.example' WHERE key = (SELECT min(key) FROM entry WHERE key LIKE 'domain/%')",
            )
        },
        "it is the record of domain/",
    ),
    (
        "a listing",
        |data| run(data, "DELETE FROM listed WHERE key LIKE 'accountcert/%'"),
        "rows of the table of listings",
    ),
    (
        "a store open to others",
        |data| make_readable(&data.join("store.db")),
        "store.db has mode 0644",
    ),
    (
        "keys open to others",
        |data| make_readable(&data.join("kek")),
        "kek has mode 0644",
    ),
    (
        "a replica open to others",
        |data| make_readable(&data.join("edge/replica.sqlite")),
        "replica.sqlite has mode 0644",
    ),
    (
        "an edge's directory open to others",
        |data| {
            fs::set_permissions(data.join("edge"), fs::Permissions::from_mode(0o755)).unwrap();
        },
        "edge has mode 0755",
    ),
    (
        "a damaged store",
        |data| corrupt(&data.join("store.db")),
        "store.db",
    ),
    (
        "a damaged replica",
        |data| corrupt(&data.join("edge/replica.sqlite")),
        "replica",
    ),
    (
        "a replica without material",
        |data| {
            let replica = Connection::open(data.join("edge/replica.sqlite")).unwrap();
            replica.execute("DELETE FROM material", []).unwrap();
        },
        "its material is missing",
    ),
    (
        "no keys",
        |data| fs::remove_file(data.join("kek")).unwrap(),
        "is needed for 2 access keys, 1 audit secrets, 4 certificates, \
         2 session ticket keys, 1 signing requests",
    ),
    (
        "other keys",
        |data| fs::write(data.join("kek"), &*Keyring::generate()).unwrap(),
        "which is not in the keyring",
    ),
    (
        "no text of keys",
        |data| fs::write(data.join("kek"), "AAAA").unwrap(),
        "line 1 is not a key-encryption key",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_damage_is_reported() {
    let mut server = with_everything().await;
    server.terminate();
    let copy = server.home().join("copy");
    for (name, damage, expected) in DAMAGE {
        copy_directory(&server.data(), &copy);
        damage(&copy);
        let (code, said) = doctor(&copy);
        assert_eq!(code, Some(65), "{name}: {said}");
        let problems = said.split("\nproblem: ").skip(1);
        let found = problems.filter(|problem| problem.contains(expected));
        let cured = found.filter(|problem| problem.contains("\n  "));
        assert!(cured.count() > 0, "{name}: {said}");
        fs::remove_dir_all(&copy).unwrap();
    }
    copy_directory(&server.data(), &copy);
    assert_eq!(doctor(&copy).0, Some(0), "an undamaged copy has no problem");
    let (code, said) = doctor(&server.home().join("nothing"));
    assert_eq!(code, Some(64), "{said}");
    server.launch();
    server.stop();
}

fn run(data: &Path, sql: &str) {
    let store = Connection::open(data.join("store.db")).unwrap();
    let rows = store.execute(sql, []).unwrap();
    assert!(rows > 0, "{sql}");
}

fn delete(data: &Path, pattern: &str) {
    run(
        data,
        &format!("DELETE FROM entry WHERE key LIKE '{pattern}'"),
    );
}

fn first_key(data: &Path, pattern: &str) -> String {
    let store = Connection::open(data.join("store.db")).unwrap();
    let sql = "SELECT min(key) FROM entry WHERE key LIKE ?1 AND value IS NOT NULL";
    store.query_row(sql, [pattern], |row| row.get(0)).unwrap()
}

/// Changes the value of the first key that matches.
fn change(data: &Path, pattern: &str, change: impl FnOnce(&Path, &mut Vec<u8>)) {
    let key = first_key(data, pattern);
    let store = Connection::open(data.join("store.db")).unwrap();
    let sql = "SELECT value FROM entry WHERE key = ?1";
    let mut value: Vec<u8> = store.query_row(sql, [&key], |row| row.get(0)).unwrap();
    change(data, &mut value);
    let sql = "UPDATE entry SET value = ?2 WHERE key = ?1";
    assert_eq!(store.execute(sql, (&key, value)), Ok(1));
}

fn change_text(data: &Path, pattern: &str, from: &str, to: &str) {
    change(data, pattern, |_, value| {
        let text = String::from_utf8(value.clone()).unwrap();
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        *value = changed.into_bytes();
    });
}

fn keyring(data: &Path) -> Keyring {
    Keyring::parse(&fs::read_to_string(data.join("kek")).unwrap()).unwrap()
}

fn make_readable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// Overwrites the middle of a file.
fn corrupt(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[100..middle].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_directory(&path, &target);
        } else if path.is_file() {
            fs::copy(&path, &target).unwrap();
        }
    }
}
