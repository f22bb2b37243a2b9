//! The CA of a take-over and its one certificate, in files.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use edgeseal_core::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PublicKeyData as _,
};
use time::{Duration, OffsetDateTime};
use x509_parser::{
    extensions::GeneralName,
    pem::parse_x509_pem,
    prelude::{FromDer as _, X509Certificate},
};
use zeroize::Zeroizing;

use super::hosts;
use crate::{bootstrap::BootstrapError, private_files};

/// Certificates are renewed when less than this remains.
const RENEW_BEFORE: Duration = Duration::days(30);
/// Validity of the CA: long, since tools are configured once to trust it.
const CA_VALIDITY: Duration = Duration::days(3650);
/// Validity of the certificate. Some TLS libraries refuse longer ones.
const LEAF_VALIDITY: Duration = Duration::days(397);

/// A CA that tools on this machine trust, and the certificate that it issued.
#[derive(Debug)]
pub(super) struct Authority {
    /// The directory, as an absolute path.
    data: PathBuf,
    directory: PathBuf,
    /// When the certificate expires.
    pub(super) leaf_not_after: Timestamp,
    /// The file of system roots that the bundle includes; `None` if there is none.
    pub(super) system_roots: Option<PathBuf>,
}

/// Why CA or certificate cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] BootstrapError),
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A certificate cannot be created.
    #[error("the certificate authority of the take-over: {0}")]
    Make(#[from] rcgen::Error),
}

impl Authority {
    /// Creates what is missing in `DATA/takeover`, and renews what expires within 30 days.
    ///
    /// The CA is recreated only if it is missing, about to expire, or damaged, because tools are
    /// configured to trust it.
    ///
    /// # Errors
    /// [`AuthorityError`] names the file.
    pub(super) fn ensure(
        data: &Path,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        private_files::create_private_dir(data)?;
        // The instructions must work in any directory.
        let data = data.canonicalize().map_err(|cause| AuthorityError::Read {
            path: data.to_owned(),
            cause,
        })?;
        let directory = data.join("takeover");
        private_files::create_private_dir(&directory)?;
        let ca = CertFiles::at(&directory, "ca");
        let (ca_pem, issuer) = match ca.usable(now, |_| true)? {
            Some(kept) => kept,
            None => ca.write(&new_ca(now)?)?,
        };
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, issuer)?;
        let leaf = CertFiles::at(&directory, "api");
        let fits =
            |found: &X509Certificate<'_>| covers_hosts(found) && is_signed_by(found, &ca_pem);
        let (leaf_pem, _) = match leaf.usable(now, fits)? {
            Some(kept) => kept,
            None => leaf.write(&new_leaf(&issuer, now)?)?,
        };
        let mut authority = Self {
            data,
            directory,
            leaf_not_after: parse_pem_certificate(&leaf_pem, not_after).unwrap_or(now),
            system_roots: None,
        };
        authority.write_bundle(&ca_pem, SYSTEM_ROOTS)?;
        write_if_changed(&authority.hosts_file(), &hosts::lines(address))?;
        Ok(authority)
    }

    /// The CA's certificate.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The system's roots and the CA's certificate.
    pub(super) fn bundle_file(&self) -> PathBuf {
        self.directory.join("bundle.pem")
    }

    /// The lines for `/etc/hosts`.
    pub(super) fn hosts_file(&self) -> PathBuf {
        self.directory.join("hosts")
    }

    /// The certificate of the API.
    pub(super) fn cert_file(&self) -> PathBuf {
        self.directory.join("api.pem")
    }

    /// The key of the certificate.
    pub(super) fn key_file(&self) -> PathBuf {
        self.directory.join("api.key")
    }

    /// The data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// The directory of all files.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Most variables that name a root file replace the system's roots, so both go into one file.
    fn write_bundle(&mut self, ca_pem: &str, candidates: &[&str]) -> Result<(), AuthorityError> {
        let mut bundle = String::new();
        for path in candidates.iter().map(PathBuf::from) {
            if let Some(roots) = read(&path)? {
                bundle.push_str(&roots);
                self.system_roots = Some(path);
                break;
            }
        }
        if !bundle.is_empty() && !bundle.ends_with('\n') {
            bundle.push('\n');
        }
        bundle.push_str(ca_pem);
        write_if_changed(&self.bundle_file(), &bundle)
    }
}

/// The files of a certificate and its key.
struct CertFiles {
    cert: PathBuf,
    key: PathBuf,
}

/// A certificate and its key.
struct IssuedCertificate {
    pem: String,
    key: KeyPair,
}

impl CertFiles {
    fn at(directory: &Path, name: &str) -> Self {
        Self {
            cert: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        }
    }

    /// The content of the files, if it does not expire soon and `fits`.
    fn usable(
        &self,
        now: Timestamp,
        fits: impl FnOnce(&X509Certificate<'_>) -> bool,
    ) -> Result<Option<(String, KeyPair)>, AuthorityError> {
        let (Some(pem), Some(key)) = (read(&self.cert)?, read(&self.key)?.map(Zeroizing::new))
        else {
            return Ok(None);
        };
        let Ok(key) = KeyPair::from_pem(&key) else {
            return Ok(None);
        };
        let usable = parse_pem_certificate(&pem, |found| {
            let left = not_after(found).utc() - now.utc();
            // A crash between the two files leaves a mismatched pair.
            found.public_key().raw == key.subject_public_key_info()
                && left > RENEW_BEFORE
                && fits(found)
        });
        Ok((usable == Some(true)).then_some((pem, key)))
    }

    fn write(&self, made: &IssuedCertificate) -> Result<(String, KeyPair), AuthorityError> {
        let key = Zeroizing::new(made.key.serialize_pem());
        private_files::replace_private_file(&self.key, key.as_bytes())?;
        private_files::replace_private_file(&self.cert, made.pem.as_bytes())?;
        tracing::info!(file = %self.cert.display(), "certificate made");
        Ok((made.pem.clone(), KeyPair::from_pem(&key)?))
    }
}

/// A CA constrained to names below the cloud's domain (RFC 5280 §4.2.1.10). A constraint on host
/// names does not cover IP addresses, so these are excluded separately.
fn new_ca(now: Timestamp) -> Result<IssuedCertificate, rcgen::Error> {
    let every =
        |address: IpAddr| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 0));
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("Edgeseal take-over of {}", hosts::DOMAIN));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(hosts::DOMAIN.to_owned())],
        excluded_subtrees: vec![
            every(Ipv4Addr::UNSPECIFIED.into()),
            every(Ipv6Addr::UNSPECIFIED.into()),
        ],
    });
    set_validity(&mut params, now, CA_VALIDITY);
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok(IssuedCertificate { pem, key })
}

fn new_leaf(
    issuer: &Issuer<'_, KeyPair>,
    now: Timestamp,
) -> Result<IssuedCertificate, rcgen::Error> {
    let names = hosts::names();
    let mut params = CertificateParams::new(names.clone())?;
    params.distinguished_name = common_name(&names[0]);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, LEAF_VALIDITY);
    let key = KeyPair::generate()?;
    let pem = params.signed_by(&key, issuer)?.pem();
    Ok(IssuedCertificate { pem, key })
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, validity: Duration) {
    let now: OffsetDateTime = now.utc();
    params.not_before = now - Duration::HOUR;
    params.not_after = now + validity;
}

fn common_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Parses a certificate in PEM; `None` if it is invalid.
fn parse_pem_certificate<T>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    Some(look(&certificate))
}

fn not_after(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp())
}

/// Whether it has all current names: a later version may add some.
fn covers_hosts(certificate: &X509Certificate<'_>) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let names = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
    names.eq(hosts::names())
}

fn is_signed_by(certificate: &X509Certificate<'_>, ca_pem: &str) -> bool {
    let verify =
        |ca: &X509Certificate<'_>| certificate.verify_signature(Some(ca.public_key())).is_ok();
    parse_pem_certificate(ca_pem, verify) == Some(true)
}

/// Reads a text file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read(path) {
        // Root files may contain comments in any encoding.
        Ok(bytes) => Ok(Some(String::from_utf8(bytes).unwrap_or_else(|other| {
            String::from_utf8_lossy(other.as_bytes()).into_owned()
        }))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(AuthorityError::Read {
            path: path.to_owned(),
            cause,
        }),
    }
}

/// Writes a file unless it has this content already.
fn write_if_changed(path: &Path, content: &str) -> Result<(), AuthorityError> {
    if read(path)?.as_deref() != Some(content) {
        private_files::replace_private_file(path, content.as_bytes())?;
    }
    Ok(())
}

/// Files of system roots, as listed in Go's `crypto/x509` (`root_linux.go`).
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[cfg(test)]
mod tests;
