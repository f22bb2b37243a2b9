//! TLS to origins: their certificates are always verified, without exception.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::provider;

/// Opens TLS connections to origins.
#[derive(Clone)]
pub(crate) struct OriginTls {
    any: TlsConnector,
    http1: TlsConnector,
}

/// A verified connection to an origin.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The decrypted stream.
    pub(crate) stream: TlsStream<TcpStream>,
    /// Whether `h2` was negotiated; HTTP/1.1 otherwise.
    pub(crate) h2: bool,
}

/// TLS to the origins cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OriginTrustError {
    /// The CA file cannot be read, or is not PEM.
    #[error("the authorities of origins in {}: {cause}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The error.
        #[source]
        cause: pem::Error,
    },
    /// A certificate in the file is not a valid trust anchor.
    #[error("the authorities of origins in {}: certificate {number}: {cause}", .file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// The number of the certificate in it, from 1.
        number: usize,
        /// The error.
        #[source]
        cause: rustls::Error,
    },
    /// There is no certificate in the file.
    #[error("the authorities of origins in {}: there is no certificate", .file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// The crypto provider refuses.
    #[error("TLS to origins cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl OriginTls {
    /// Trusts the certificate authorities of the system, and those of a PEM file in addition.
    ///
    /// # Errors
    /// [`OriginTrustError`]. A system without authorities is no error: origins whose certificates
    /// it cannot verify are refused one by one.
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, OriginTrustError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(added, ignored, "the system's authorities are trusted");
        if let Some(file) = file {
            add(&mut roots, file)?;
        }
        let mut http1 = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut any = http1.clone();
        any.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self {
            any: TlsConnector::from(Arc::new(any)),
            http1: TlsConnector::from(Arc::new(http1)),
        })
    }

    /// Does the handshake for `host`, which is also the name that the certificate must be valid
    /// for.
    ///
    /// # Errors
    /// Whatever ends the handshake.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
        http1_only: bool,
    ) -> io::Result<Verified> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = if http1_only { &self.http1 } else { &self.any };
        let stream = connector.connect(name, stream).await?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Verified { stream, h2 })
    }
}

impl fmt::Debug for OriginTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginTls").finish_non_exhaustive()
    }
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), OriginTrustError> {
    let unreadable = |cause| OriginTrustError::File {
        file: file.to_owned(),
        cause,
    };
    let mut number = 0;
    for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
        number += 1;
        let certificate = certificate.map_err(unreadable)?;
        roots
            .add(certificate)
            .map_err(|cause| OriginTrustError::Authority {
                file: file.to_owned(),
                number,
                cause,
            })?;
    }
    if number == 0 {
        return Err(OriginTrustError::Empty {
            file: file.to_owned(),
        });
    }
    Ok(())
}
