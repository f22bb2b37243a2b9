//! Clients: TLS, HTTP over it, and raw text over TCP.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::harness::TIMEOUT;

pub(crate) const BOTH: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A client that accepts any certificate.
pub(crate) fn config(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConfig {
    let provider = aws_lc_rs::default_provider();
    let schemes = provider
        .signature_verification_algorithms
        .supported_schemes();
    let mut config = config_checking(provider, versions, schemes);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A client that accepts any certificate, and only these signature schemes.
pub(crate) fn config_checking(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
) -> ClientConfig {
    let provider = Arc::new(provider);
    let verifier = AnyCertificate {
        provider: Arc::clone(&provider),
        schemes,
    };
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

pub(crate) async fn connect(
    edge: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(edge).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(TIMEOUT, connecting).await?
}

/// The chain that a handshake for `name` shows, or the alert that ends it.
pub(crate) async fn chain(
    edge: SocketAddr,
    name: &str,
) -> Result<Vec<Vec<u8>>, Option<AlertDescription>> {
    match connect(edge, name, config(BOTH, &[])).await {
        Ok(stream) => Ok(chain_of(&stream)),
        Err(error) => Err(alert_of(&error)),
    }
}

pub(crate) async fn leaf(
    edge: SocketAddr,
    name: &str,
) -> Result<Vec<u8>, Option<AlertDescription>> {
    Ok(chain(edge, name).await?.swap_remove(0))
}

pub(crate) const UNRECOGNIZED: Option<AlertDescription> = Some(AlertDescription::UnrecognisedName);

pub(crate) fn chain_of(stream: &TlsStream<TcpStream>) -> Vec<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain.iter().map(|der| der.to_vec()).collect()
}

pub(crate) fn alert_of(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// An HTTP connection.
pub(crate) enum Http {
    H1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    H2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Http {
    pub(crate) async fn h1(edge: SocketAddr, name: &str) -> Self {
        let stream = connect(edge, name, config(BOTH, &["http/1.1"]))
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::H1(sender)
    }

    /// Plaintext HTTP/1.1.
    pub(crate) async fn plain(edge: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(edge).await.unwrap());
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self::H1(sender)
    }

    pub(crate) async fn h2(edge: SocketAddr, name: &str) -> Self {
        let stream = connect(edge, name, config(BOTH, &["h2", "http/1.1"]))
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let io = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::H2(sender)
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::H1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::H2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Whether the connection accepts no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::H1(sender) => sender.is_closed(),
            Self::H2(sender) => sender.is_closed(),
        }
    }

    /// A request without a body for a path at a host.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        host: &str,
        path: &str,
    ) -> Response<Incoming> {
        let request = Request::builder().method(method);
        let request = match self {
            Self::H1(_) => request.uri(path).header("host", host),
            Self::H2(_) => request.uri(format!("https://{host}{path}")),
        };
        let request = request.body(Full::default()).unwrap();
        timeout(TIMEOUT, self.send(request)).await.unwrap().unwrap()
    }

    /// GET of a path at a host: status and text.
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> (u16, String) {
        let response = self.ask(Method::GET, host, path).await;
        let status = response.status().as_u16();
        (status, text(response).await)
    }
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let body = timeout(TIMEOUT, response.into_body().collect());
    let bytes = body.await.unwrap().unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sends raw text and reads until the other side closes.
pub(crate) async fn bare(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    timeout(TIMEOUT, reading).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// GET over plain HTTP/1.1, on its own connection.
pub(crate) async fn plain(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = bare(address, &text).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}

#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
