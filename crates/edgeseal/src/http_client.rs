//! An HTTP client for addresses that the operator has configured.

use std::{io, path::Path};

use bytes::Bytes;
use edgeseal_api::client;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// HTTP/1.1, plaintext or TLS.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpClientError {
    /// The file of CAs cannot be read.
    #[error("the file of certificate authorities cannot be read")]
    File(#[source] io::Error),
    /// It contains no certificate.
    #[error("the file of certificate authorities contains no certificate in PEM")]
    NoCertificate,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// A client that trusts the CAs of the system, and those in `ca_file`.
///
/// # Errors
/// [`HttpClientError`].
pub(crate) fn new(ca_file: Option<&Path>) -> Result<HttpClient, HttpClientError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let pem = std::fs::read(file).map_err(HttpClientError::File)?;
        let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let (added, _) = roots.add_parsable_certificates(all.unwrap_or_default());
        if added == 0 {
            return Err(HttpClientError::NoCertificate);
        }
    }
    Ok(client::http_client(roots)?)
}
