//! The trusted CAs of an `https://` endpoint.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::CliError;

/// The CAs in `file`, or those of the system; `SSL_CERT_FILE` and `SSL_CERT_DIR` can override the
/// latter.
pub(super) fn roots(file: Option<&Path>) -> Result<RootCertStore, CliError> {
    let certificates = match file {
        Some(file) => read(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    match (taken, file) {
        (0, Some(file)) => Err(no_certificate(file)),
        (0, None) => Err(CliError::Usage(
            "no certificate authority is known to this system: name one with --cacert FILE"
                .to_owned(),
        )),
        _ => Ok(roots),
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let unreadable = |error| CliError::Usage(format!("cannot read {}: {error}", file.display()));
    let pem = std::fs::read(file).map_err(unreadable)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    certificates.map_err(|_| no_certificate(file))
}

fn no_certificate(file: &Path) -> CliError {
    let file = file.display();
    CliError::Usage(format!(
        "{file} holds no certificate in PEM that could vouch for others"
    ))
}
