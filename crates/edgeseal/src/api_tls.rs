//! Certificate and key of the API over TLS, read at startup and reloaded on request.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The API over TLS: TLS 1.2 and 1.3, HTTP/1.1, one certificate, which can be replaced.
pub(crate) struct ApiTls {
    config: Arc<ServerConfig>,
    resolver: Arc<ReloadableCertResolver>,
    cert: PathBuf,
    key: PathBuf,
}

/// The certificate for the next handshake.
#[derive(Debug)]
struct ReloadableCertResolver(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for ReloadableCertResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// Why the API cannot listen over TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiTlsError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A file without PEM of the expected kind. Its content is not shown: it may be a key.
    #[error("{} holds no {wanted} in PEM, or a damaged one", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should contain.
        wanted: &'static str,
    },
    /// Certificate or key cannot be used, or they do not match.
    #[error("{} cannot be used with {}: {cause}", cert.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        cause: rustls::Error,
    },
}

impl ApiTls {
    /// Loads the certificate chain and key from PEM files.
    ///
    /// # Errors
    /// [`ApiTlsError`] names the file.
    pub(crate) fn open(cert: &Path, key: &Path) -> Result<Self, ApiTlsError> {
        let loaded = Arc::new(load(cert, key)?);
        let current = Arc::new(ReloadableCertResolver(RwLock::new(loaded)));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(pair_error(cert, key))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            resolver: current,
            cert: cert.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The configuration for a listener.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads the files again, for later handshakes.
    ///
    /// # Errors
    /// [`ApiTlsError`]; the previous certificate stays in use.
    pub(crate) fn reload(&self) -> Result<(), ApiTlsError> {
        let loaded = Arc::new(load(&self.cert, &self.key)?);
        *self
            .resolver
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }
}

fn load(cert: &Path, key: &Path) -> Result<CertifiedKey, ApiTlsError> {
    let no = |wanted, path: &Path| {
        let path = path.to_owned();
        move |error| match error {
            pem::Error::Io(cause) => ApiTlsError::Read { path, cause },
            _ => ApiTlsError::Pem { path, wanted },
        }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(no("certificate", cert))?;
    if chain.is_empty() {
        return Err(no("certificate", cert)(pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(no("private key", key))?;
    let provider = aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map_err(pair_error(cert, key))
}

fn pair_error(cert: &Path, key: &Path) -> impl FnOnce(rustls::Error) -> ApiTlsError {
    let (cert, key) = (cert.to_owned(), key.to_owned());
    move |cause| ApiTlsError::Mismatch { cert, key, cause }
}
