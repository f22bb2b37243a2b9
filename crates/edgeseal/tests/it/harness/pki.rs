//! Certificates that the tests create. Every private key is registered with [`secrets`].

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use super::{now, secrets};

/// A CA and an intermediate below it, both ECDSA P-256.
pub(crate) struct Authority {
    pub(crate) root: CertificateWithKey,
    pub(crate) intermediate: CertificateWithKey,
}

/// A certificate with its key.
pub(crate) struct CertificateWithKey {
    pub(crate) der: Vec<u8>,
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
}

/// A certificate and key in the form of an upload.
#[derive(Clone)]
pub(crate) struct TestCertificate {
    /// Leaf and intermediate.
    pub(crate) chain: String,
    /// The private key.
    pub(crate) key: String,
    /// DER of the leaf.
    pub(crate) leaf: Vec<u8>,
}

/// The CA that most tests share.
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

impl Authority {
    pub(crate) fn new() -> Self {
        let root = CertificateWithKey::root("Test Root");
        let intermediate = root.issue(authority_params("Test Intermediate"), new_key());
        Self { root, intermediate }
    }

    /// Issues a certificate for these names, valid for 90 days from yesterday.
    pub(crate) fn issue(&self, names: &[&str]) -> TestCertificate {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> TestCertificate {
        let mut params = leaf_params(names);
        adjust(&mut params);
        self.pem(&self.intermediate.issue(params, new_key()))
    }

    /// As [`issue`](Self::issue), for an RSA key.
    pub(crate) fn issue_rsa(&self, names: &[&str]) -> TestCertificate {
        self.pem(&self.intermediate.issue(leaf_params(names), new_rsa_key()))
    }

    /// As [`issue`](Self::issue), for an Ed25519 key.
    pub(crate) fn issue_ed25519(&self, names: &[&str]) -> TestCertificate {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        secrets::register_key(key.serialized_der());
        self.pem(&self.intermediate.issue(leaf_params(names), key))
    }

    /// A leaf of this CA with its chain.
    pub(crate) fn pem(&self, leaf: &CertificateWithKey) -> TestCertificate {
        TestCertificate {
            chain: format!("{}{}", leaf.pem(), self.intermediate.pem()),
            key: leaf.key_pem(),
            leaf: leaf.der.clone(),
        }
    }
}

impl CertificateWithKey {
    pub(crate) fn root(name: &str) -> Self {
        let (mut params, key) = (authority_params(name), new_key());
        params.use_authority_key_identifier_extension = false;
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, params, key }
    }

    /// A certificate issued by this one.
    pub(crate) fn issue(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self { der, params, key }
    }

    pub(crate) fn pem(&self) -> String {
        pem_encode("CERTIFICATE", &self.der)
    }

    pub(crate) fn key_pem(&self) -> String {
        pem_encode("PRIVATE KEY", self.key.serialized_der())
    }
}

/// A new P-256 key.
pub(crate) fn new_key() -> KeyPair {
    let key = KeyPair::generate().unwrap();
    let der = key.serialized_der();
    secrets::register_key(der);
    // PKCS#8 of P-256 (RFC 5958, RFC 5915): a prefix of 36 bytes, the scalar, the public key.
    secrets::register_scalar(&der[36..68]);
    key
}

/// A new RSA key of 2048 bits.
pub(crate) fn new_rsa_key() -> KeyPair {
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    secrets::register_key(key.serialized_der());
    key
}

pub(crate) fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name = common_name(&names[0]);
    params.use_authority_key_identifier_extension = true;
    set_validity_days(&mut params, -1, 90);
    params
}

pub(crate) fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    set_validity_days(&mut params, -30, 3650);
    params
}

pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Sets the validity, in days from now.
pub(crate) fn set_validity_days(params: &mut CertificateParams, from: i64, to: i64) {
    let now = OffsetDateTime::from_unix_timestamp(now().unix_seconds()).unwrap();
    params.not_before = now + Duration::days(from);
    params.not_after = now + Duration::days(to);
}

/// A PEM block with this label and content.
pub(crate) fn pem_encode(label: &str, der: &[u8]) -> String {
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

/// The content of the first PEM block.
pub(crate) fn pem_decode(pem: &str) -> Vec<u8> {
    let body = pem.split("-----").nth(2).unwrap();
    let base64: String = body.split_whitespace().collect();
    STANDARD.decode(base64).unwrap()
}
