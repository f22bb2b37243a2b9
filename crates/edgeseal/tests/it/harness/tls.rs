//! TLS clients: rustls in this process, and `openssl s_client`, which shares nothing with the edge.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::pki;

/// The result of a handshake: the chain, leaf first, or how it failed.
pub(crate) type Served = Result<Vec<Vec<u8>>, HandshakeFailure>;

/// How a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// The fatal alert `unrecognized_name`.
    UnrecognizedName,
    /// Any other failure.
    Other(String),
}

/// Makes a handshake with rustls, without resumption. Verifies that the server has the key.
pub(crate) async fn served(edge: SocketAddr, name: &str) -> Served {
    let stream = connect(edge, name, &[]).await?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap();
    Ok(chain.iter().map(|der| der.to_vec()).collect())
}

/// Opens a connection and accepts any certificate.
pub(crate) async fn connect(
    edge: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    connect_with_versions(edge, name, rustls::DEFAULT_VERSIONS, alpn).await
}

/// Makes a handshake in these versions with these signature schemes only.
pub(crate) async fn served_with_schemes(
    edge: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: &[SignatureScheme],
) -> Served {
    let stream = connect_with_schemes(edge, name, versions, schemes.to_vec(), &[]).await?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap();
    Ok(chain.iter().map(|der| der.to_vec()).collect())
}

/// As [`connect`], with these versions only.
pub(crate) async fn connect_with_versions(
    edge: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    let algorithms = provider().signature_verification_algorithms;
    connect_with_schemes(edge, name, versions, algorithms.supported_schemes(), alpn).await
}

async fn connect_with_schemes(
    edge: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    let config = config(versions, schemes, alpn);
    let otherwise = |error: std::io::Error| HandshakeFailure::Other(error.to_string());
    let stream = TcpStream::connect(edge).await.map_err(otherwise)?;
    handshake_with_config(stream, name, config).await
}

/// As [`connect`], over an existing connection.
pub(crate) async fn handshake_over(
    stream: TcpStream,
    name: &str,
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    let schemes = provider()
        .signature_verification_algorithms
        .supported_schemes();
    handshake_with_config(
        stream,
        name,
        config(rustls::DEFAULT_VERSIONS, schemes, alpn),
    )
    .await
}

async fn handshake_with_config(
    stream: TcpStream,
    name: &str,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, HandshakeFailure> {
    let otherwise = |error: std::io::Error| HandshakeFailure::Other(error.to_string());
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(server, stream);
    connecting.await.map_err(|error| {
        let tls = error.get_ref().and_then(|e| e.downcast_ref());
        match tls {
            Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
                HandshakeFailure::UnrecognizedName
            }
            _ => otherwise(error),
        }
    })
}

fn config(
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
    alpn: &[&str],
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate { schemes }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Makes a handshake with the `openssl` command.
pub(crate) fn served_to_openssl(edge: SocketAddr, name: &str) -> Served {
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &edge.to_string(),
            "-servername",
            name,
        ])
        .arg("-showcerts")
        .stdin(Stdio::null())
        .output()
        .expect("this test needs the openssl command");
    let text = String::from_utf8_lossy(&output.stdout);
    let begin = "-----BEGIN CERTIFICATE-----";
    // The output of -showcerts comes first; then the leaf is printed again.
    let shown = text
        .split("\nServer certificate")
        .next()
        .unwrap_or_default();
    let chain: Vec<Vec<u8>> = shown
        .match_indices(begin)
        .map(|(at, _)| pki::pem_decode(&shown[at..]))
        .collect();
    if !chain.is_empty() {
        return Ok(chain);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("alert number 112") {
        Err(HandshakeFailure::UnrecognizedName)
    } else {
        Err(HandshakeFailure::Other(said))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Accepts any chain, but verifies that the server has the key of the leaf.
#[derive(Debug)]
struct AcceptAnyCertificate {
    schemes: Vec<SignatureScheme>,
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
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
