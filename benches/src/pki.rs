//! Certificates for the run: P-256 leaves under one intermediate under one root.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;

use crate::BenchResult;

/// Signs leaves.
pub(crate) struct Authority {
    intermediate_pem: String,
    intermediate_der: CertificateDer<'static>,
    intermediate: Issuer<'static, KeyPair>,
}

/// A leaf with its chain and key.
pub(crate) struct TestCertificate {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    pub(crate) leaf: CertificateDer<'static>,
}

impl TestCertificate {
    /// Leaf, intermediate and key in PEM, in this order.
    pub(crate) fn combined_pem(&self) -> String {
        format!("{}{}", self.chain_pem, self.key_pem)
    }
}

impl Authority {
    pub(crate) fn new() -> BenchResult<Self> {
        let root = Issuer::new(authority("Bench Root"), KeyPair::generate()?);
        let key = KeyPair::generate()?;
        let params = authority("Bench Intermediate");
        let intermediate = params.signed_by(&key, &root)?;
        Ok(Self {
            intermediate_pem: intermediate.pem(),
            intermediate_der: intermediate.der().clone(),
            intermediate: Issuer::new(params, key),
        })
    }

    /// A leaf with a new key and a random serial number.
    pub(crate) fn issue(&self, name: &str) -> BenchResult<TestCertificate> {
        self.issue_with(name, &KeyPair::generate()?)
    }

    /// DER of the intermediate.
    pub(crate) fn intermediate(&self) -> &[u8] {
        &self.intermediate_der
    }

    /// A leaf with this key and a random serial number.
    pub(crate) fn issue_with(&self, name: &str, key: &KeyPair) -> BenchResult<TestCertificate> {
        let leaf = self.leaf(name, key, 0)?;
        Ok(TestCertificate {
            chain_pem: leaf.pem() + &self.intermediate_pem,
            key_pem: key.serialize_pem(),
            leaf: leaf.der().clone(),
        })
    }

    /// A leaf with this key and `more` random bytes in an extension: leaves of public CAs contain some
    /// hundred bytes of SCTs and URLs.
    pub(crate) fn leaf(
        &self,
        name: &str,
        key: &KeyPair,
        more: usize,
    ) -> BenchResult<rcgen::Certificate> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let (now, day) = (time::OffsetDateTime::now_utc(), time::Duration::days(1));
        (params.not_before, params.not_after) = (now - day, now + day * 90);
        if more > 0 {
            let mut bytes = vec![0; more];
            aws_lc_rs::rand::fill(&mut bytes)?;
            let extension = CustomExtension::from_oid_content(&UNKNOWN_EXTENSION, bytes);
            params.custom_extensions.push(extension);
        }
        Ok(params.signed_by(key, &self.intermediate)?)
    }
}

/// An unassigned extension.
const UNKNOWN_EXTENSION: [u64; 7] = [1, 3, 6, 1, 4, 1, 55_555];

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
