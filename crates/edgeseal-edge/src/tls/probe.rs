//! The edge as its own client: a real handshake with its own listener, to read what is served.

use std::{io, net::SocketAddr, sync::Arc};

use edgeseal_core::certificate::Digest;
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Duration, timeout},
};
use tokio_rustls::TlsConnector;

use super::{SetupError, provider};
use crate::{proxy_protocol, served_domain::KeyKind};

/// Makes handshakes with one listener.
#[derive(Clone)]
pub struct Probe {
    any: TlsConnector,
    ecdsa: TlsConnector,
    rsa: TlsConnector,
    listener: SocketAddr,
    expects_header: bool,
}

/// Which signature schemes a handshake offers, and so which certificate it gets where there are
/// two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedKeys {
    /// Schemes of all key kinds.
    Any,
    /// Only those of one key kind.
    Only(KeyKind),
}

/// What a handshake showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The SHA-256 of this leaf; the handshake signature proved that its key is in use.
    Leaf(Digest),
    /// The fatal alert `unrecognized_name`.
    UnrecognizedName,
}

/// The chain that a handshake showed, or a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbedChain {
    /// The leaf, and what came with it; the handshake signature proved that the leaf's key is in
    /// use.
    Chain(CertificateDer<'static>, Vec<CertificateDer<'static>>),
    /// The fatal alert `unrecognized_name`.
    UnrecognizedName,
}

/// Why a handshake showed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The name is not a valid server name.
    #[error("{0:?} cannot be a server name")]
    Name(String),
    /// It took more than five seconds.
    #[error("the handshake took too long")]
    TimedOut,
    /// The connection failed, or another alert was received.
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl Probe {
    /// A client of the listener that is bound to `bound`. `expects_header`: whether that expects a
    /// PROXY protocol header.
    ///
    /// # Errors
    /// [`SetupError`] if TLS cannot be set up.
    pub fn new(bound: SocketAddr, expects_header: bool) -> Result<Self, SetupError> {
        Ok(Self {
            any: connector(OfferedKeys::Any)?,
            ecdsa: connector(OfferedKeys::Only(KeyKind::Ecdsa))?,
            rsa: connector(OfferedKeys::Only(KeyKind::Rsa))?,
            listener: reachable(bound),
            expects_header,
        })
    }

    /// A client of another server, without PROXY protocol headers. Cheap.
    #[must_use]
    pub fn of_server(&self, server: SocketAddr) -> Self {
        Self {
            listener: server,
            expects_header: false,
            ..self.clone()
        }
    }

    /// Reads what the listener serves for `host` to a client with this offer.
    ///
    /// # Errors
    /// [`ProbeError`] if the handshake showed nothing.
    pub async fn probe(&self, host: &str, offer: OfferedKeys) -> Result<ProbeResult, ProbeError> {
        Ok(match self.chain(host, offer).await? {
            ProbedChain::Chain(leaf, _) => ProbeResult::Leaf(Digest::of(&leaf)),
            ProbedChain::UnrecognizedName => ProbeResult::UnrecognizedName,
        })
    }

    /// As [`probe`](Self::probe); the whole chain.
    ///
    /// # Errors
    /// [`ProbeError`] if the handshake showed nothing.
    pub async fn chain(&self, host: &str, offer: OfferedKeys) -> Result<ProbedChain, ProbeError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| ProbeError::Name(host.to_owned()))?;
        let connector = match offer {
            OfferedKeys::Any => &self.any,
            OfferedKeys::Only(KeyKind::Ecdsa) => &self.ecdsa,
            OfferedKeys::Only(KeyKind::Rsa) => &self.rsa,
        };
        let handshake = async {
            let mut stream = TcpStream::connect(self.listener).await?;
            if self.expects_header {
                stream.write_all(&proxy_protocol::local_header()).await?;
            }
            connector.connect(name, stream).await
        };
        let stream = match timeout(PATIENCE, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if is_unrecognized_name(&error) => {
                return Ok(ProbedChain::UnrecognizedName);
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(ProbeError::TimedOut),
        };
        match stream.get_ref().1.peer_certificates() {
            Some([leaf, rest @ ..]) => Ok(ProbedChain::Chain(leaf.clone(), rest.to_vec())),
            _ => Err(io::Error::other("the listener showed no certificate").into()),
        }
    }
}

fn connector(offer: OfferedKeys) -> Result<TlsConnector, SetupError> {
    let provider = provider();
    let verifier = AnyCertificate {
        provider: Arc::clone(&provider),
        offer,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// An address that a client on this machine can connect to: an unspecified address is none.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        _ => bound.ip(),
    };
    SocketAddr::new(ip, bound.port())
}

fn is_unrecognized_name(error: &io::Error) -> bool {
    let cause = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    matches!(
        cause,
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnrecognisedName
        ))
    )
}

/// Accepts any certificate, because the question is which one is served; verifies that the listener
/// has its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    offer: OfferedKeys,
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
        verify_tls12_signature(
            message,
            cert,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        let mut schemes = known.supported_schemes();
        if let OfferedKeys::Only(kind) = self.offer {
            schemes.retain(|scheme| signs_with(*scheme) == Some(kind));
        }
        schemes
    }
}

/// The kind of the keys that sign with this scheme.
const fn signs_with(scheme: SignatureScheme) -> Option<KeyKind> {
    match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
        | SignatureScheme::ECDSA_NISTP384_SHA384
        | SignatureScheme::ECDSA_NISTP521_SHA512 => Some(KeyKind::Ecdsa),
        SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512
        | SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PSS_SHA512 => Some(KeyKind::Rsa),
        _ => None,
    }
}
