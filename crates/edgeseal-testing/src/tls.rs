//! TLS clients that accept any certificate: rustls in this process, and `openssl s_client`, which
//! shares no code with the edge.

use std::{error::Error, fmt, io, net::SocketAddr, sync::Arc};

use rustls::{
    AlertDescription, ClientConfig, DEFAULT_VERSIONS, DigitallySignedStruct, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::{openssl, pem, pki::TestCertificate, wait::TIMEOUT};

/// The result of a handshake: the chain in DER, leaf first, or how it failed.
pub type Served = Result<Vec<Vec<u8>>, HandshakeFailure>;

/// How a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The server sent a fatal alert.
    Alert(AlertDescription),
    /// Any other failure.
    Other(String),
}

impl HandshakeFailure {
    pub const UNRECOGNIZED_NAME: Self = Self::Alert(AlertDescription::UnrecognisedName);
}

impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => Self::Alert(*alert),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Error for HandshakeFailure {}

/// Makes a handshake with rustls; the chain that the server shows.
pub async fn served_chain(server: SocketAddr, name: &str) -> Served {
    Ok(chain_of(&connect(server, name, &[]).await?))
}

/// As [`served_chain`]; the leaf only.
pub async fn served_leaf(server: SocketAddr, name: &str) -> Result<Vec<u8>, HandshakeFailure> {
    Ok(served_chain(server, name).await?.swap_remove(0))
}

/// As [`served_chain`], to a client of these versions and signature schemes only.
pub async fn served_with_schemes(
    server: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: &[SignatureScheme],
) -> Served {
    let config = config_with_schemes(provider(), versions, schemes.to_vec());
    Ok(chain_of(&connect_with(server, name, config).await?))
}

/// The chain that the server has shown.
pub fn chain_of(stream: &TlsStream<TcpStream>) -> Vec<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain.iter().map(|der| der.to_vec()).collect()
}

/// Opens a connection.
pub async fn connect(
    server: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    connect_with(server, name, client_config(DEFAULT_VERSIONS, alpn)).await
}

/// As [`connect`], with this configuration.
pub async fn connect_with(
    server: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    connect_over(TcpStream::connect(server).await?, name, config).await
}

/// As [`connect_with`], over an existing connection.
pub async fn connect_over(
    stream: TcpStream,
    name: &str,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let connected = timeout(TIMEOUT, connecting).await;
    Ok(connected.map_err(io::Error::from)??)
}

/// Opens a connection as an authority does that validates a name by tls-alpn-01 (RFC 8737).
pub async fn connect_to_validate(
    server: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    let mut config = client_config(versions, &["acme-tls/1"]);
    let verifier = AcceptAnyCertificate {
        provider: Arc::new(provider()),
        schemes: provider()
            .signature_verification_algorithms
            .supported_schemes(),
        verifies: false,
    };
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(verifier));
    connect_with(server, name, config).await
}

/// A client that accepts any certificate.
pub fn client_config(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConfig {
    let schemes = provider().signature_verification_algorithms;
    let mut config = config_with_schemes(provider(), versions, schemes.supported_schemes());
    config.alpn_protocols = protocols(alpn);
    config
}

/// A client that accepts any certificate whose key signs by one of these schemes.
pub fn config_with_schemes(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
) -> ClientConfig {
    let provider = Arc::new(provider);
    let verifier = AcceptAnyCertificate {
        provider: Arc::clone(&provider),
        schemes,
        verifies: true,
    };
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

/// A server with this certificate.
pub fn server_config(certificate: &TestCertificate, alpn: &[&str]) -> ServerConfig {
    let chain = pem::decode_all(&certificate.chain);
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols(alpn);
    config
}

/// Accepts connections with this certificate, and closes each after its handshake, until the
/// returned task is dropped.
pub fn serve(listener: TcpListener, certificate: &TestCertificate) -> JoinSet<()> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, &[])));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client may go away.
            let _ = acceptor.accept(stream).await;
        }
    });
    tasks
}

/// Makes a handshake with the `openssl` command.
pub async fn served_to_openssl(server: SocketAddr, name: &str) -> Served {
    let text = openssl::s_client(server, &["-servername", name, "-showcerts"]).await;
    // The output of -showcerts comes first; then the leaf is printed again.
    let shown = text.split("\nServer certificate").next();
    let chain = pem::decode_all(shown.unwrap_or_default());
    if !chain.is_empty() {
        return Ok(chain);
    }
    if text.contains("alert number 112") {
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    } else {
        Err(HandshakeFailure::Other(text))
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// Accepts any chain, but verifies that the server has the key of the leaf.
#[derive(Debug)]
struct AcceptAnyCertificate {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
    /// Not those of a challenge: rustls refuses its critical extension before it verifies the
    /// signature. OpenSSL verifies it.
    verifies: bool,
}

impl ServerCertVerifier for AcceptAnyCertificate {
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
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.verifies {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.verifies {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
