//! Certificate and key of the API itself, where it listens in TLS. Read at the start only.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};

/// Why the API cannot listen in TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableFile {
    /// A file that is not there or cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A file without the PEM of its kind. What it holds instead is not told: it may be a key.
    #[error("{} holds no {wanted} in PEM, or a damaged one", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The two are there and cannot be used, or not together.
    #[error("{} cannot be used with {}: {cause}", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        cause: rustls::Error,
    },
}

/// A TLS server with this certificate: TLS 1.2 and 1.3, HTTP/1.1.
///
/// # Errors
/// [`UnusableFile`] names the file.
pub(crate) fn server(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, UnusableFile> {
    let no = |wanted, path: &Path| {
        let path = path.to_owned();
        move |error| match error {
            pem::Error::Io(cause) => UnusableFile::Read { path, cause },
            _ => UnusableFile::Pem { path, wanted },
        }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(no("certificate", cert))?;
    if chain.is_empty() {
        return Err(no("certificate", cert)(pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(no("private key", key))?;
    let unusable = |cause| UnusableFile::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        cause,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
