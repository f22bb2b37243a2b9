use std::{fs, os::unix::fs::PermissionsExt as _};

use tempfile::TempDir;
use x509_parser::{extensions::GeneralName, parse_x509_certificate, pem::parse_x509_pem};

use super::*;
use crate::certificate_files::is_issued_by;

const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// CA and certificate after a start that many days after the first.
fn start_after(data: &TempDir, days: i64) -> (String, String) {
    let now = START.plus_ms(days * 86_400_000);
    let authority = Authority::ensure(data.path(), HERE, now).unwrap();
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let files = authority.leaf_files();
    let (ca, leaf) = (read(authority.ca_file()), read(files.cert.clone()));
    assert!(authority.leaf_not_after.since_ms(now) > 30 * 86_400_000);
    assert!(read(authority.bundle_file()).ends_with(&ca));
    crate::api_tls::ApiTls::open(&files.cert, &files.key).unwrap();
    // Whatever was kept or created, it belongs together.
    let (leaf_der, ca_der) = (der(&leaf), der(&ca));
    assert!(is_issued_by(&leaf_der, &ca_der));
    let (_, parsed) = parse_x509_certificate(&leaf_der).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other:?}"),
    });
    assert!(names.eq(hosts::names()));
    (ca, leaf)
}

fn der(pem: &str) -> Vec<u8> {
    parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

#[test]
fn files_about_to_expire_are_renewed() {
    let data = tempfile::tempdir().unwrap();
    let first = start_after(&data, 0);
    assert_eq!(start_after(&data, 0), first);
    assert_eq!(start_after(&data, 366), first);
    let second = start_after(&data, 368);
    assert_eq!(second.0, first.0, "the same authority");
    assert_ne!(second.1, first.1);
    let late = start_after(&data, 3619);
    assert_eq!(late.0, first.0);
    let last = start_after(&data, 3621);
    assert_ne!(last.0, first.0, "another authority");
    assert_ne!(last.1, late.1, "and what it issued");
}

#[test]
fn damaged_and_mismatched_files_are_recreated() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("takeover");
    let other = tempfile::tempdir().unwrap();
    start_after(&other, 0);
    let others = other.path().join("takeover");
    for (name, content, same_ca) in [
        ("api.key", None, true),
        ("api.pem", None, true),
        ("api.key", Some("damaged".to_owned()), true),
        ("api.pem", Some("damaged".to_owned()), true),
        // As after a crash between the two files.
        (
            "api.key",
            Some(fs::read_to_string(others.join("api.key")).unwrap()),
            true,
        ),
        (
            "ca.key",
            Some(fs::read_to_string(others.join("ca.key")).unwrap()),
            false,
        ),
        ("ca.key", None, false),
        ("ca.pem", None, false),
        ("ca.pem", Some("damaged".to_owned()), false),
    ] {
        let before = start_after(&data, 0);
        match &content {
            Some(content) => fs::write(directory.join(name), content).unwrap(),
            None => fs::remove_file(directory.join(name)).unwrap(),
        }
        let after = start_after(&data, 0);
        assert_eq!(after.0 == before.0, same_ca, "{name} {content:?}");
        assert_ne!(after.1, before.1, "{name} {content:?}");
    }
}

#[test]
fn a_certificate_for_fewer_names_is_issued_again() {
    let data = tempfile::tempdir().unwrap();
    let first = start_after(&data, 0);
    let directory = data.path().join("takeover");
    let ca = LocalCa::open_or_create(&directory, "", None, START).unwrap();
    let params = LeafParams {
        names: &["cdn.aliyuncs.com".to_owned()],
        validity: LEAF_VALIDITY,
    };
    let fewer = ca.issue_into(&CertFiles::at(&directory, "api"), &params, START);
    let fewer = (first.0, fewer.unwrap().pem);
    assert_ne!(fewer.1, first.1);
    let again = start_after(&data, 0);
    assert_eq!(again.0, fewer.0, "the same authority");
    assert_ne!(again.1, fewer.1);
}

#[test]
fn a_file_that_cannot_be_read_is_not_replaced() {
    let data = tempfile::tempdir().unwrap();
    let in_the_way = data.path().join("takeover/ca.key");
    fs::create_dir_all(&in_the_way).unwrap();
    fs::write(data.path().join("takeover/ca.pem"), "").unwrap();
    let error = Authority::ensure(data.path(), HERE, START).unwrap_err();
    assert!(error.to_string().contains("ca.key"), "{error}");
    assert!(in_the_way.is_dir());
}

#[test]
fn the_bundle_contains_the_first_root_file_found() {
    let data = tempfile::tempdir().unwrap();
    let mut authority = Authority::ensure(data.path(), HERE, START).unwrap();
    let roots = data.path().join("roots");
    fs::write(&roots, b"# caf\xe9\nroots without a final line break").unwrap();
    let (missing, roots) = (data.path().join("missing"), roots.to_str().unwrap());
    let candidates = [missing.to_str().unwrap(), roots, "/etc/hostname"];
    authority.write_bundle("CA\n", &candidates).unwrap();
    let bundle = fs::read_to_string(authority.bundle_file()).unwrap();
    assert_eq!(
        bundle,
        "# caf\u{fffd}\nroots without a final line break\nCA\n"
    );
    assert_eq!(authority.system_roots.as_deref(), Some(Path::new(roots)));

    authority.system_roots = None;
    authority.write_bundle("CA\n", &candidates[..1]).unwrap();
    assert_eq!(fs::read_to_string(authority.bundle_file()).unwrap(), "CA\n");
    assert_eq!(authority.system_roots, None);
}

#[test]
fn only_the_owner_can_read_the_files() {
    let data = tempfile::tempdir().unwrap();
    start_after(&data, 0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = data.path().join("takeover");
    assert_eq!(mode(&directory), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        names.push(path.file_name().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "api.key",
            "api.pem",
            "bundle.pem",
            "ca.key",
            "ca.pem",
            "hosts"
        ]
    );
}
