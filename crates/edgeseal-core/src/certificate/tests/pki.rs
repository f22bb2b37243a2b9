//! Certificates and keys made at run time.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use super::{BlockRef, Certificate, InvalidCertificate, admit};
use crate::Timestamp;

/// The time of every test, unless it says otherwise: 2026-06-01.
pub(super) const NOW: Timestamp = Timestamp::from_unix_seconds(1_780_272_000);

/// A certificate with its key.
pub(super) struct Issued {
    pub(super) der: Vec<u8>,
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
}

/// A root, an intermediate under it and a leaf under that, all ECDSA P-256.
pub(super) struct Chain {
    pub(super) root: Issued,
    pub(super) intermediate: Issued,
    pub(super) leaf: Issued,
}

/// One chain for the tests that only read it.
pub(super) static CHAIN: LazyLock<Chain> = LazyLock::new(Chain::new);

/// Leaf, intermediate and root under RSA keys of 2048 bits, which take long to make.
pub(super) static RSA: LazyLock<Chain> = LazyLock::new(|| {
    let key = || KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let root = Issued::root_with("RSA Root", key(), |_| {});
    let intermediate = root.authority_with("RSA Intermediate", key(), |_| {});
    let leaf = intermediate.leaf_with("rsa.example.com", key(), |_| {});
    Chain {
        root,
        intermediate,
        leaf,
    }
});

impl Chain {
    pub(super) fn new() -> Self {
        let root = Issued::root("Test Root");
        let intermediate = root.authority("Test Intermediate");
        let leaf = intermediate.leaf("www.example.com");
        Self {
            root,
            intermediate,
            leaf,
        }
    }
}

impl Issued {
    pub(super) fn root(name: &str) -> Self {
        Self::root_with(name, KeyPair::generate().unwrap(), |_| {})
    }

    /// A self-signed certificate of a CA.
    pub(super) fn root_with(
        name: &str,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = authority_params(name);
        params.use_authority_key_identifier_extension = false;
        adjust(&mut params);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, params, key }
    }

    pub(super) fn authority(&self, name: &str) -> Self {
        self.authority_with(name, KeyPair::generate().unwrap(), |_| {})
    }

    /// An intermediate issued by this one.
    pub(super) fn authority_with(
        &self,
        name: &str,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        self.issue(authority_params(name), key, adjust)
    }

    pub(super) fn leaf(&self, name: &str) -> Self {
        self.leaf_with(name, KeyPair::generate().unwrap(), |_| {})
    }

    /// A leaf issued by this one.
    pub(super) fn leaf_with(
        &self,
        name: &str,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        self.issue(leaf_params(name), key, adjust)
    }

    /// The same subject and key as `other`, issued by this one: a cross-signed certificate.
    pub(super) fn cross_sign(
        &self,
        other: &Self,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = other.params.clone();
        params.use_authority_key_identifier_extension = true;
        self.issue(params, same_key(&other.key), adjust)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        adjust(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self { der, params, key }
    }

    pub(super) fn pem(&self) -> String {
        block("CERTIFICATE", &self.der)
    }

    pub(super) fn key_pem(&self) -> String {
        block("PRIVATE KEY", self.key.serialized_der())
    }
}

pub(super) fn same_key(key: &KeyPair) -> KeyPair {
    KeyPair::try_from(key.serialized_der()).unwrap()
}

pub(super) fn leaf_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = common_name(name);
    params.use_authority_key_identifier_extension = true;
    valid_days(&mut params, -30, 90);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    valid_days(&mut params, -300, 3000);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Validity from and to so many days after [`NOW`].
pub(super) fn valid_days(params: &mut CertificateParams, from: i64, to: i64) {
    let now = OffsetDateTime::from_unix_timestamp(NOW.unix_seconds()).unwrap();
    params.not_before = now + Duration::days(from);
    params.not_after = now + Duration::days(to);
}

/// A block of any label around any octets.
pub(super) fn block(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = (0..base64.len())
        .step_by(64)
        .map(|at| &base64[at..base64.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Several certificates as one text.
pub(super) fn concat(certificates: &[&Issued]) -> String {
    certificates.iter().map(|one| one.pem()).collect()
}

/// `der` with every `from` replaced by `to`, which has the same length.
pub(super) fn patch(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut patched = der.to_vec();
    let mut found = 0;
    for at in 0..=der.len() - from.len() {
        if der[at..].starts_with(from) {
            patched[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "nothing to patch");
    patched
}

/// What the `openssl` command makes of `input`.
pub(super) fn openssl(arguments: &str, input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs the openssl command");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Admits, and fails the test if the refusal shows any eight characters of the key.
pub(super) fn admit_now(chain: &str, key: &str) -> Result<Certificate, InvalidCertificate> {
    let admitted = admit(chain, key, NOW);
    if let Err(why) = &admitted {
        assert_shows_nothing_of(key, why);
    }
    admitted
}

pub(super) fn assert_shows_nothing_of(key: &str, why: &InvalidCertificate) {
    let shown = format!("{why}\n{why:?}");
    let body = key.lines().filter(|line| !line.contains("-----"));
    for line in body.filter(|line| line.len() >= 8 && !line.contains([' ', ':'])) {
        for at in 0..=line.len() - 8 {
            let piece = line.get(at..at + 8);
            assert!(!piece.is_some_and(|piece| shown.contains(piece)), "{shown}");
        }
    }
}

/// Asserts that `chain` with the key of `leaf` is refused as `why`.
#[track_caller]
pub(super) fn refused(what: &str, chain: String, leaf: &Issued, why: InvalidCertificate) {
    let got = admit_now(&chain, &leaf.key_pem()).map(|_| ());
    assert_eq!(got, Err(why), "{what}");
}

/// Asserts that `key` is refused as `why` under a sound chain.
#[track_caller]
pub(super) fn key_refused(what: &str, key: String, why: InvalidCertificate) {
    let chain = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let got = admit_now(&chain, &key).map(|_| ());
    assert_eq!(got, Err(why), "{what}");
}

pub(super) fn named(block: usize, subject: &str) -> BlockRef {
    BlockRef {
        block,
        subject: subject.to_owned(),
    }
}
