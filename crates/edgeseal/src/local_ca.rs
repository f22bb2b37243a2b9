//! A CA of this machine and the certificates that it issues, in files: for the demo, and for tools
//! that `edgeseal takeover` serves.

use std::path::{Path, PathBuf};

use edgeseal_core::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData as _,
};
use time::Duration;
use x509_parser::{
    extensions::GeneralName,
    pem::parse_x509_pem,
    prelude::{FromDer as _, X509Certificate},
};
use zeroize::Zeroizing;

use crate::private_files::{self, PrivateFileError};

/// Files are renewed when less than this remains.
const RENEW_BEFORE: Duration = Duration::days(30);
/// Validity of the CA: long, since browsers and tools are configured once to trust it.
const CA_VALIDITY: Duration = Duration::days(3650);

/// A CA with its key.
pub(crate) struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a leaf certificate is for.
pub(crate) struct LeafParams<'a> {
    /// Its host names; the first is the common name.
    pub(crate) names: &'a [String],
    /// Its validity, from now on.
    pub(crate) validity: Duration,
}

/// A certificate and its key.
pub(crate) struct IssuedCertificate {
    /// The certificate alone, in PEM.
    pub(crate) pem: String,
    /// The private key, in PEM.
    pub(crate) key_pem: Zeroizing<String>,
}

/// Why a CA or certificate cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalCaError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A certificate cannot be created.
    #[error("the local certificate authority: {0}")]
    Create(#[from] rcgen::Error),
}

impl LocalCa {
    /// Opens the CA in `directory`. It is created if it is missing, about to expire, or damaged,
    /// and only then, because browsers and tools are configured to trust it.
    ///
    /// # Errors
    /// [`LocalCaError`] names the file.
    pub(crate) fn open_or_create(
        directory: &Path,
        name: &str,
        constraints: Option<NameConstraints>,
        now: Timestamp,
    ) -> Result<Self, LocalCaError> {
        private_files::create_private_dir(directory)?;
        let files = CertFiles::at(directory, "ca");
        let ca = match files.read_usable(now, |_| true)? {
            Some(kept) => kept,
            None => files.write(create_ca(name, constraints, now)?)?,
        };
        let issuer = Issuer::from_ca_cert_pem(&ca.pem, KeyPair::from_pem(&ca.key_pem)?)?;
        let pem = ca.pem;
        Ok(Self { issuer, pem })
    }

    /// The CA's certificate, in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate.
    ///
    /// # Errors
    /// [`LocalCaError::Create`].
    pub(crate) fn issue(
        &self,
        leaf: &LeafParams<'_>,
        now: Timestamp,
    ) -> Result<IssuedCertificate, LocalCaError> {
        let mut params = CertificateParams::new(leaf.names)?;
        params.distinguished_name = common_name(leaf.names.first().map_or("", String::as_str));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, leaf.validity);
        let key = KeyPair::generate()?;
        Ok(IssuedCertificate {
            pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }

    /// The certificate in `files`. It is issued again if it is missing, about to expire, damaged,
    /// of another CA, or for other names: a later version may add some.
    ///
    /// # Errors
    /// [`LocalCaError`] names the file.
    pub(crate) fn issue_into(
        &self,
        files: &CertFiles,
        leaf: &LeafParams<'_>,
        now: Timestamp,
    ) -> Result<IssuedCertificate, LocalCaError> {
        match files.read_usable(now, |found| self.has_issued(found, leaf.names))? {
            Some(kept) => Ok(kept),
            None => files.write(self.issue(leaf, now)?),
        }
    }

    /// Whether it is of this CA and has exactly these names.
    fn has_issued(&self, certificate: &X509Certificate<'_>, names: &[String]) -> bool {
        let is_signed = read_certificate(&self.pem, |ca| {
            certificate.verify_signature(Some(ca.public_key())).is_ok()
        });
        let Ok(Some(found)) = certificate.subject_alternative_name() else {
            return false;
        };
        let found = found.value.general_names.iter();
        let found = found.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
        is_signed == Some(true) && found.eq(names)
    }
}

impl IssuedCertificate {
    /// When it expires; `None` if it cannot be parsed.
    pub(crate) fn not_after(&self) -> Option<Timestamp> {
        read_certificate(&self.pem, not_after)
    }
}

/// The files of a certificate and its key: `NAME.pem` and `NAME.key`.
pub(crate) struct CertFiles {
    /// The certificate.
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

impl CertFiles {
    /// The files of this name.
    pub(crate) fn at(directory: &Path, name: &str) -> Self {
        Self {
            cert: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        }
    }

    /// The content of the files, if it does not expire soon and `fits`.
    fn read_usable(
        &self,
        now: Timestamp,
        fits: impl FnOnce(&X509Certificate<'_>) -> bool,
    ) -> Result<Option<IssuedCertificate>, LocalCaError> {
        let pem = private_files::read_text(&self.cert)?;
        let (Some(pem), Some(key_pem)) = (pem, private_files::read_text(&self.key)?) else {
            return Ok(None);
        };
        let Ok(key) = KeyPair::from_pem(&key_pem) else {
            return Ok(None);
        };
        let usable = read_certificate(&pem, |found| {
            let left = not_after(found).utc() - now.utc();
            // Created while the clock was ahead.
            let begun = found.validity().not_before.timestamp() <= now.unix_seconds();
            // A crash between the two files leaves a mismatched pair.
            found.public_key().raw == key.subject_public_key_info()
                && begun
                && left > RENEW_BEFORE
                && fits(found)
        });
        let pem = pem.to_string();
        Ok((usable == Some(true)).then_some(IssuedCertificate { pem, key_pem }))
    }

    fn write(&self, issued: IssuedCertificate) -> Result<IssuedCertificate, LocalCaError> {
        private_files::replace_private_file(&self.key, issued.key_pem.as_bytes())?;
        private_files::replace_private_file(&self.cert, issued.pem.as_bytes())?;
        tracing::info!(file = %self.cert.display(), "certificate created");
        Ok(issued)
    }
}

fn create_ca(
    name: &str,
    constraints: Option<NameConstraints>,
    now: Timestamp,
) -> Result<IssuedCertificate, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = constraints;
    set_validity(&mut params, now, CA_VALIDITY);
    let key = KeyPair::generate()?;
    Ok(IssuedCertificate {
        pem: params.self_signed(&key)?.pem(),
        key_pem: Zeroizing::new(key.serialize_pem()),
    })
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, validity: Duration) {
    params.not_before = now.utc() - Duration::HOUR;
    params.not_after = now.utc() + validity;
}

fn common_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Reads a certificate in PEM; `None` if it cannot be parsed.
fn read_certificate<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    Some(read(&certificate))
}

fn not_after(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp())
}
