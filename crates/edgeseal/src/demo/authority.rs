//! The demo's own CA, stored so that a browser has to trust it only once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use edgeseal_core::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::{bootstrap::BootstrapError, private_files};

/// A CA on disk.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

/// A certificate with its key, in PEM.
pub(super) struct IssuedCertificate {
    /// Leaf and root.
    pub(super) chain: String,
    /// The private key.
    pub(super) key: Zeroizing<String>,
}

/// Why no certificate can be issued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] BootstrapError),
    /// The CA's file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// A certificate cannot be created.
    #[error("the demo's certificate authority: {0}")]
    Make(#[from] rcgen::Error),
}

impl Authority {
    /// Opens the CA in `directory`, or creates one.
    pub(super) fn open(directory: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        private_files::create_private_dir(directory)?;
        let key_file = directory.join("ca.key");
        if !key_file.exists() {
            let key = KeyPair::generate()?;
            let certificate = ca_params(now.utc()).self_signed(&key)?;
            private_files::replace_private_file(
                &directory.join("ca.pem"),
                certificate.pem().as_bytes(),
            )?;
            private_files::replace_private_file(
                &key_file,
                Zeroizing::new(key.serialize_pem()).as_bytes(),
            )?;
        }
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|cause| AuthorityError::Read {
                path: path.to_owned(),
                cause,
            })
        };
        let key = KeyPair::from_pem(&Zeroizing::new(read(&key_file)?))?;
        let ca = read(&directory.join("ca.pem"))?;
        let issuer = Issuer::from_ca_cert_pem(&ca, key)?;
        Ok(Self { issuer, ca })
    }

    /// Issues a certificate for a domain, valid for 90 days.
    pub(super) fn issue(
        &self,
        domain: &str,
        now: Timestamp,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let mut params = CertificateParams::new([domain.to_owned()])?;
        params.distinguished_name = common_name(domain);
        params.not_before = now.utc() - Duration::HOUR;
        params.not_after = now.utc() + Duration::days(90);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(IssuedCertificate {
            chain: format!("{}{}", leaf.pem(), self.ca),
            key: Zeroizing::new(key.serialize_pem()),
        })
    }
}

fn ca_params(now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Edgeseal demo CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::days(3650);
    params
}

fn common_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
