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

/// What a client is shown: the chain, leaf first, or how it is turned away.
pub(crate) type Served = Result<Vec<Vec<u8>>, TurnedAway>;

/// How a handshake ends without a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// The fatal alert `unrecognized_name`.
    UnrecognizedName,
    /// Anything else: a failure of the edge.
    Otherwise(String),
}

/// Asks with rustls. The server proves that it has the key; no session is resumed.
pub(crate) async fn served(edge: SocketAddr, name: &str) -> Served {
    let stream = connect(edge, name, &[]).await?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap();
    Ok(chain.iter().map(|der| der.to_vec()).collect())
}

/// Opens a connection whose certificate may be any.
pub(crate) async fn connect(
    edge: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, TurnedAway> {
    connect_in(edge, name, rustls::DEFAULT_VERSIONS, alpn).await
}

/// Asks in these versions with a client that checks only these signatures.
pub(crate) async fn served_checking(
    edge: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: &[SignatureScheme],
) -> Served {
    let stream = connect_checking(edge, name, versions, schemes.to_vec(), &[]).await?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap();
    Ok(chain.iter().map(|der| der.to_vec()).collect())
}

/// As [`connect`], by a client that speaks these versions only.
pub(crate) async fn connect_in(
    edge: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, TurnedAway> {
    let algorithms = provider().signature_verification_algorithms;
    connect_checking(edge, name, versions, algorithms.supported_schemes(), alpn).await
}

async fn connect_checking(
    edge: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
    alpn: &[&str],
) -> Result<TlsStream<TcpStream>, TurnedAway> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyChain { schemes }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let otherwise = |error: std::io::Error| TurnedAway::Otherwise(error.to_string());
    let stream = TcpStream::connect(edge).await.map_err(otherwise)?;
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(server, stream);
    connecting.await.map_err(|error| {
        let tls = error.get_ref().and_then(|e| e.downcast_ref());
        match tls {
            Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
                TurnedAway::UnrecognizedName
            }
            _ => otherwise(error),
        }
    })
}

/// Asks with the `openssl` command.
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
    // What -showcerts prints comes first; the leaf is printed once more after it.
    let shown = text
        .split("\nServer certificate")
        .next()
        .unwrap_or_default();
    let chain: Vec<Vec<u8>> = shown
        .match_indices(begin)
        .map(|(at, _)| pki::unblock(&shown[at..]))
        .collect();
    if !chain.is_empty() {
        return Ok(chain);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("alert number 112") {
        Err(TurnedAway::UnrecognizedName)
    } else {
        Err(TurnedAway::Otherwise(said))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Takes any chain, but only from who has the key of its leaf.
#[derive(Debug)]
struct AnyChain {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyChain {
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
