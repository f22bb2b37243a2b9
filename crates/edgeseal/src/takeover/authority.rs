//! The files of a takeover: its CA, the certificate of the API, and what the instructions refer to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use edgeseal_core::Timestamp;
use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use time::Duration;

use super::hosts;
use crate::{
    local_ca::{CertFiles, LeafParams, LocalCa, LocalCaError},
    private_files::{self, PrivateFileError},
};

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

impl Authority {
    /// Creates what is missing in `DATA/takeover`, and renews what expires within 30 days.
    ///
    /// # Errors
    /// [`LocalCaError`] names the file.
    pub(super) fn ensure(
        data: &Path,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Self, LocalCaError> {
        private_files::create_private_dir(data)?;
        // The instructions must work in any directory.
        let absolute = data.canonicalize();
        let data = absolute.map_err(PrivateFileError::of("read", data))?;
        let directory = data.join("takeover");
        let name = format!("Edgeseal takeover of {}", hosts::DOMAIN);
        let ca = LocalCa::open_or_create(&directory, &name, Some(name_constraints()), now)?;
        let params = LeafParams {
            names: &hosts::names(),
            validity: LEAF_VALIDITY,
        };
        let leaf = ca.issue_into(&CertFiles::at(&directory, "api"), &params, now)?;
        let mut authority = Self {
            data,
            directory,
            leaf_not_after: leaf.not_after().unwrap_or(now),
            system_roots: None,
        };
        authority.write_bundle(ca.pem(), SYSTEM_ROOTS)?;
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

    /// The certificate of the API, and its key.
    pub(super) fn leaf_files(&self) -> CertFiles {
        CertFiles::at(&self.directory, "api")
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
    fn write_bundle(&mut self, ca_pem: &str, candidates: &[&str]) -> Result<(), PrivateFileError> {
        let mut bundle = String::new();
        for path in candidates.iter().map(PathBuf::from) {
            if let Some(roots) = private_files::read_text(&path)? {
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

/// Names below the cloud's domain only (RFC 5280 §4.2.1.10). A constraint on host names does not
/// cover IP addresses, so these are excluded separately.
fn name_constraints() -> NameConstraints {
    let every =
        |address: IpAddr| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 0));
    NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(hosts::DOMAIN.to_owned())],
        excluded_subtrees: vec![
            every(Ipv4Addr::UNSPECIFIED.into()),
            every(Ipv6Addr::UNSPECIFIED.into()),
        ],
    }
}

/// Writes a file unless it has this content already.
fn write_if_changed(path: &Path, content: &str) -> Result<(), PrivateFileError> {
    let existing = private_files::read_text(path)?;
    if existing.is_none_or(|existing| *existing != content) {
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
