//! The key set of a provider, over HTTPS.

use std::{fmt, sync::Arc};

use ::http::{Uri, header, uri::Scheme};
use bytes::Bytes;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::fetch::{self, FetchError, TIMEOUT};

/// A URL fetched over HTTPS: a certificate trusted by the roots, one request, no redirects.
#[derive(Clone)]
pub struct HttpsSource {
    uri: Uri,
    host: String,
    server: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

/// Why a source is invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSource {
    /// Not a URL of the form `https://host/path`.
    #[error("{given:?} is not https://host/path")]
    Uri {
        /// The value given.
        given: String,
    },
    /// The root certificates are unusable.
    #[error("the trusted root certificates cannot be used")]
    Roots(#[source] rustls::Error),
}

impl HttpsSource {
    /// The URL `given`, trusting `roots`; the Mozilla roots if there are none.
    ///
    /// # Errors
    /// [`InvalidSource`].
    pub fn new(given: &str, roots: &[CertificateDer<'static>]) -> Result<Self, InvalidSource> {
        let refused = || InvalidSource::Uri {
            given: given.to_owned(),
        };
        let uri: Uri = given.parse().map_err(|_| refused())?;
        let authority = uri.authority().ok_or_else(refused)?;
        if uri.scheme() != Some(&Scheme::HTTPS) || authority.as_str().contains('@') {
            return Err(refused());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let server = ServerName::try_from(host.clone()).map_err(|_| refused())?;
        let mut store = RootCertStore::empty();
        if roots.is_empty() {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for root in roots {
            store.add(root.clone()).map_err(InvalidSource::Roots)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(InvalidSource::Roots)?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self {
            uri,
            host,
            server,
            tls: Arc::new(tls),
        })
    }

    /// Fetches the current content: at most `max_bytes`.
    pub(super) async fn fetch(&self, max_bytes: usize) -> Result<Bytes, FetchError> {
        timeout(TIMEOUT, self.fetch_once(max_bytes))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    async fn fetch_once(&self, bytes_max: usize) -> Result<Bytes, FetchError> {
        let port = self.uri.port_u16().unwrap_or(443);
        let stream = TcpStream::connect((self.host.as_str(), port)).await?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(self.server.clone(), stream).await?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |host| host.as_str());
        let accept = (header::ACCEPT, "application/json, application/jwk-set+json");
        fetch::get(stream, authority, path, accept, bytes_max).await
    }
}

impl fmt::Debug for HttpsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpsSource").field(&self.uri).finish()
    }
}
