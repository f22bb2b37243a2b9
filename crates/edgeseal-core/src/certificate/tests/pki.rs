//! Certificates and keys generated at run time, valid at the tests' time.

use std::sync::LazyLock;

use edgeseal_testing::pki::{leaf_params_at, new_key, new_rsa_key, set_validity_days_at};
pub(super) use edgeseal_testing::{
    openssl::openssl,
    pem::encode as pem_encode,
    pki::{CertificateWithKey, same_key},
};
use rcgen::{CertificateParams, KeyPair};
use time::OffsetDateTime;

use super::{BlockRef, Certificate, InvalidCertificate, validate_upload};
use crate::Timestamp;

/// The time of every test unless it sets another: 2026-06-01.
pub(super) const NOW: Timestamp = Timestamp::from_unix_seconds(1_780_272_000);

/// A root, an intermediate under it and a leaf under that, all ECDSA P-256.
pub(super) struct Chain {
    pub(super) root: CertificateWithKey,
    pub(super) intermediate: CertificateWithKey,
    pub(super) leaf: CertificateWithKey,
}

/// A chain shared by the tests that only read it.
pub(super) static CHAIN: LazyLock<Chain> = LazyLock::new(Chain::new);

/// Leaf, intermediate and root with 2048-bit RSA keys, which are slow to generate.
pub(super) static RSA: LazyLock<Chain> = LazyLock::new(|| {
    let root = root_with("RSA Root", new_rsa_key(), |_| {});
    let intermediate = root.authority_with("RSA Intermediate", new_rsa_key(), |_| {});
    let leaf = intermediate.leaf_with("rsa.example.com", new_rsa_key(), |_| {});
    Chain {
        root,
        intermediate,
        leaf,
    }
});

impl Chain {
    pub(super) fn new() -> Self {
        let root = root("Test Root");
        let intermediate = root.authority("Test Intermediate");
        let leaf = intermediate.leaf("www.example.com");
        Self {
            root,
            intermediate,
            leaf,
        }
    }
}

pub(super) fn root(name: &str) -> CertificateWithKey {
    root_with(name, new_key(), |_| {})
}

/// A self-signed CA certificate, valid at [`NOW`] like everything it issues.
pub(super) fn root_with(
    name: &str,
    key: KeyPair,
    adjust: impl FnOnce(&mut CertificateParams),
) -> CertificateWithKey {
    CertificateWithKey::root_at(now(), name, key, adjust)
}

pub(super) fn leaf_params(name: &str) -> CertificateParams {
    leaf_params_at(now(), &[name])
}

/// Sets the validity in days relative to [`NOW`].
pub(super) fn valid_days(params: &mut CertificateParams, from: i64, to: i64) {
    set_validity_days_at(now(), params, from, to);
}

pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW.unix_seconds()).unwrap()
}

/// Several certificates as one text.
pub(super) fn concat(certificates: &[&CertificateWithKey]) -> String {
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

/// Validates, and fails the test if the refusal contains any eight characters of the key.
pub(super) fn validate_now(chain: &str, key: &str) -> Result<Certificate, InvalidCertificate> {
    let validated = validate_upload(chain, key, NOW);
    if let Err(why) = &validated {
        assert_shows_nothing_of(key, why);
    }
    validated
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

/// Asserts that `chain` with the key of `leaf` is refused with `why`.
#[track_caller]
pub(super) fn refused(
    what: &str,
    chain: String,
    leaf: &CertificateWithKey,
    why: InvalidCertificate,
) {
    let got = validate_now(&chain, &leaf.key_pem()).map(|_| ());
    assert_eq!(got, Err(why), "{what}");
}

/// Asserts that `key` is refused with `why` under a valid chain.
#[track_caller]
pub(super) fn key_refused(what: &str, key: String, why: InvalidCertificate) {
    let chain = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let got = validate_now(&chain, &key).map(|_| ());
    assert_eq!(got, Err(why), "{what}");
}

pub(super) fn named(block: usize, subject: &str) -> BlockRef {
    BlockRef {
        block,
        subject: subject.to_owned(),
    }
}
