//! Certificates that the tests create. Every generated private key is registered with [`secrets`].

use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::{pem, secrets};

/// A CA and an intermediate below it, both ECDSA P-256.
pub struct Authority {
    pub root: CertificateWithKey,
    pub intermediate: CertificateWithKey,
}

/// A certificate with its key, which can issue others.
pub struct CertificateWithKey {
    pub der: Vec<u8>,
    pub params: CertificateParams,
    pub key: KeyPair,
    /// The validity of what it issues is relative to this time.
    pub now: OffsetDateTime,
}

/// A certificate and key in the form of an upload.
#[derive(Clone)]
pub struct TestCertificate {
    /// Leaf and intermediates.
    pub chain: String,
    /// The private key.
    pub key: String,
    /// DER of the leaf.
    pub leaf: Vec<u8>,
}

/// The time of all certificates that are not issued at another one. One for the whole run, so that
/// of two certificates with the same validity none expires before the other.
static NOW: LazyLock<OffsetDateTime> = LazyLock::new(OffsetDateTime::now_utc);

/// The CA that most tests share.
pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

impl Authority {
    pub fn new() -> Self {
        let root = CertificateWithKey::root("Test Root");
        let intermediate = root.authority("Test Intermediate");
        Self { root, intermediate }
    }

    /// Issues a certificate for these names, issued a day ago, valid for 90 more days.
    pub fn issue(&self, names: &[&str]) -> TestCertificate {
        self.issue_with(names, |_| {})
    }

    pub fn issue_with(
        &self,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> TestCertificate {
        self.issue_for(names, new_key(), adjust)
    }

    /// As [`issue`](Self::issue), for an RSA key.
    pub fn issue_rsa(&self, names: &[&str]) -> TestCertificate {
        self.issue_for(names, new_rsa_key(), |_| {})
    }

    /// As [`issue`](Self::issue), for an Ed25519 key.
    pub fn issue_ed25519(&self, names: &[&str]) -> TestCertificate {
        self.issue_for(names, new_key_of(&rcgen::PKCS_ED25519), |_| {})
    }

    /// As [`issue_with`](Self::issue_with), for this key.
    pub fn issue_for(
        &self,
        names: &[&str],
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> TestCertificate {
        let mut params = leaf_params(names);
        adjust(&mut params);
        self.pem(&self.intermediate.issue(params, key))
    }

    /// A leaf of this CA with its chain.
    pub fn pem(&self, leaf: &CertificateWithKey) -> TestCertificate {
        TestCertificate {
            chain: leaf.pem() + &self.intermediate.pem(),
            ..leaf.alone()
        }
    }
}

impl TestCertificate {
    /// A self-signed certificate that is valid at any time.
    pub fn self_signed(name: &str) -> Self {
        Self::self_signed_with(name, new_key(), |_| {})
    }

    /// As [`self_signed`](Self::self_signed), for this key.
    pub fn self_signed_with(
        name: &str,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        // The validity that rcgen sets: from 1975 to 4096.
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        adjust(&mut params);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let now = *NOW;
        CertificateWithKey {
            der,
            params,
            key,
            now,
        }
        .alone()
    }

    /// DER of the certificates above the leaf.
    pub fn intermediates(&self) -> Vec<Vec<u8>> {
        pem::decode_all(&self.chain).split_off(1)
    }

    /// DER of the private key.
    pub fn key_der(&self) -> Vec<u8> {
        pem::decode(&self.key)
    }

    /// Chain and key in one text.
    pub fn combined(&self) -> String {
        format!("{}{}", self.chain, self.key)
    }
}

impl CertificateWithKey {
    pub fn root(name: &str) -> Self {
        Self::root_at(*NOW, name, new_key(), |_| {})
    }

    /// A self-signed certificate of a CA, created at this time.
    pub fn root_at(
        now: OffsetDateTime,
        name: &str,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = authority_params_at(now, name);
        params.use_authority_key_identifier_extension = false;
        adjust(&mut params);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            der,
            params,
            key,
            now,
        }
    }

    /// A certificate issued by this one.
    pub fn issue(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        let now = self.now;
        Self {
            der,
            params,
            key,
            now,
        }
    }

    /// An intermediate issued by this one.
    pub fn authority(&self, name: &str) -> Self {
        self.authority_with(name, new_key(), |_| {})
    }

    pub fn authority_with(
        &self,
        name: &str,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = authority_params_at(self.now, name);
        adjust(&mut params);
        self.issue(params, key)
    }

    /// A leaf issued by this one.
    pub fn leaf(&self, name: &str) -> Self {
        self.leaf_with(name, new_key(), |_| {})
    }

    pub fn leaf_with(
        &self,
        name: &str,
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = leaf_params_at(self.now, &[name]);
        adjust(&mut params);
        self.issue(params, key)
    }

    /// The same subject and key as `other`, issued by this one: a cross-signed certificate.
    pub fn cross_sign(&self, other: &Self, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = other.params.clone();
        params.use_authority_key_identifier_extension = true;
        adjust(&mut params);
        self.issue(params, same_key(&other.key))
    }

    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    pub fn key_pem(&self) -> String {
        pem::encode("PRIVATE KEY", self.key.serialized_der())
    }

    /// Without its chain.
    fn alone(&self) -> TestCertificate {
        TestCertificate {
            chain: self.pem(),
            key: self.key_pem(),
            leaf: self.der.clone(),
        }
    }
}

/// A new P-256 key.
pub fn new_key() -> KeyPair {
    let key = new_key_of(&rcgen::PKCS_ECDSA_P256_SHA256);
    // PKCS#8 of P-256 (RFC 5958, RFC 5915): a prefix of 36 bytes, the scalar, the public key.
    secrets::register_scalar(&key.serialized_der()[36..68]);
    key
}

/// A new RSA key of 2048 bits.
pub fn new_rsa_key() -> KeyPair {
    new_key_of(&rcgen::PKCS_RSA_SHA256)
}

/// A new key for this algorithm.
pub fn new_key_of(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    let key = KeyPair::generate_for(algorithm).unwrap();
    secrets::register_key(key.serialized_der());
    key
}

/// Another value of the same key.
pub fn same_key(key: &KeyPair) -> KeyPair {
    KeyPair::try_from(key.serialized_der()).unwrap()
}

/// Parameters of a leaf, issued a day ago, valid for 90 more days.
pub fn leaf_params(names: &[&str]) -> CertificateParams {
    leaf_params_at(*NOW, names)
}

/// As [`leaf_params`], at this time.
pub fn leaf_params_at(now: OffsetDateTime, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name = common_name(&names[0]);
    params.use_authority_key_identifier_extension = true;
    set_validity_days_at(now, &mut params, -1, 90);
    params
}

/// Parameters of a CA.
pub fn authority_params(name: &str) -> CertificateParams {
    authority_params_at(*NOW, name)
}

fn authority_params_at(now: OffsetDateTime, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    set_validity_days_at(now, &mut params, -300, 3000);
    params
}

pub fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Sets the validity, in days from now.
pub fn set_validity_days(params: &mut CertificateParams, from: i64, to: i64) {
    set_validity_days_at(*NOW, params, from, to);
}

/// As [`set_validity_days`], in days from this time.
pub fn set_validity_days_at(
    now: OffsetDateTime,
    params: &mut CertificateParams,
    from: i64,
    to: i64,
) {
    // X.509 has whole seconds.
    let now = now.replace_nanosecond(0).unwrap();
    params.not_before = now + Duration::days(from);
    params.not_after = now + Duration::days(to);
}
