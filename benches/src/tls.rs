//! A TLS client for full and resumed handshakes, which checks the certificate.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, NamedGroup, ProtocolVersion,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::BenchResult;

/// The offered key exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyExchange {
    /// X25519 alone.
    X25519,
    /// X25519MLKEM768 alone.
    Hybrid,
}

impl KeyExchange {
    fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519 => aws_lc_rs::kx_group::X25519,
            Self::Hybrid => aws_lc_rs::kx_group::X25519MLKEM768,
        }
    }

    const fn name(self) -> NamedGroup {
        match self {
            Self::X25519 => NamedGroup::X25519,
            Self::Hybrid => NamedGroup::X25519MLKEM768,
        }
    }
}

/// The kind of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeMode {
    /// A full handshake.
    Full,
    /// Resumed with a ticket of the previous connection; in TLS 1.3 with a new key exchange.
    Resumed,
}

/// The parameters of a client's handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeProfile {
    pub(crate) version: ProtocolVersion,
    pub(crate) offer: KeyExchange,
    pub(crate) mode: HandshakeMode,
    /// Whether HTTP/2 is offered, alone; HTTP/1.1 otherwise.
    pub(crate) h2: bool,
}

impl HandshakeProfile {
    /// Full, TLS 1.3, X25519, HTTP/1.1.
    pub(crate) const FULL: Self = Self {
        version: ProtocolVersion::TLSv1_3,
        offer: KeyExchange::X25519,
        mode: HandshakeMode::Full,
        h2: false,
    };
}

/// A client that makes a new connection each time, and fails unless it is of the requested kind.
#[derive(Clone)]
pub(crate) struct Client {
    connector: TlsConnector,
    way: HandshakeProfile,
}

impl Client {
    pub(crate) fn new(offer: KeyExchange) -> BenchResult<Self> {
        Self::with(HandshakeProfile {
            offer,
            ..HandshakeProfile::FULL
        })
    }

    /// A client with tickets of its own. One that resumes needs a first [`Client::obtain_ticket`].
    pub(crate) fn with(way: HandshakeProfile) -> BenchResult<Self> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![way.offer.group()];
        if way.version == ProtocolVersion::TLSv1_2 {
            // In TLS 1.2 the groups also list the curves of acceptable certificate keys.
            provider.kx_groups.push(aws_lc_rs::kx_group::SECP256R1);
        }
        let version = match way.version {
            ProtocolVersion::TLSv1_2 => &rustls::version::TLS12,
            _ => &rustls::version::TLS13,
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate))
            .with_no_client_auth();
        config.resumption = match way.mode {
            HandshakeMode::Full => Resumption::disabled(),
            HandshakeMode::Resumed => Resumption::in_memory_sessions(8),
        };
        let alpn = if way.h2 { "h2" } else { "http/1.1" };
        config.alpn_protocols = vec![alpn.into()];
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            way,
        })
    }

    /// Makes a full handshake to get a ticket.
    pub(crate) async fn obtain_ticket(
        &self,
        address: SocketAddr,
        name: &ServerName<'static>,
    ) -> BenchResult<()> {
        self.connect(address, name).await?.close().await
    }

    /// Makes a handshake of the requested kind; an error if it was another.
    pub(crate) async fn handshake(
        &self,
        address: SocketAddr,
        name: &ServerName<'static>,
    ) -> BenchResult<Connection> {
        let connection = self.connect(address, name).await?;
        let (_, session) = connection.0.get_ref();
        let wanted = match self.way.mode {
            HandshakeMode::Full => HandshakeKind::Full,
            HandshakeMode::Resumed => HandshakeKind::Resumed,
        };
        // A resumption of TLS 1.2 has no key exchange.
        let group = match (self.way.version, self.way.mode) {
            (ProtocolVersion::TLSv1_2, HandshakeMode::Resumed) => None,
            _ => Some(self.way.offer.name()),
        };
        let seen = (
            session.protocol_version(),
            session.handshake_kind(),
            session
                .negotiated_key_exchange_group()
                .map(|group| group.name()),
        );
        if seen != (Some(self.way.version), Some(wanted), group) {
            return Err(format!("{seen:?} is not a handshake as {:?}", self.way).into());
        }
        Ok(connection)
    }

    /// Makes a handshake that must show a certificate of this name.
    pub(crate) async fn connect_expecting(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> BenchResult<Connection> {
        let server_name = ServerName::try_from(name.to_owned())?;
        let connection = self.handshake(address, &server_name).await?;
        connection.check_name(name)?;
        Ok(connection)
    }

    async fn connect(
        &self,
        address: SocketAddr,
        name: &ServerName<'static>,
    ) -> BenchResult<Connection> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let stream = self.connector.connect(name.clone(), socket).await?;
        Ok(Connection(stream))
    }
}

/// A connection after its handshake.
pub(crate) struct Connection(TlsStream<TcpStream>);

impl Connection {
    /// The leaf.
    pub(crate) fn leaf(&self) -> Option<&[u8]> {
        let chain = self.0.get_ref().1.peer_certificates()?;
        chain.first().map(|der| &**der)
    }

    /// An error unless the leaf is of this name.
    pub(crate) fn check_name(&self, name: &str) -> BenchResult<()> {
        let leaf = self.leaf().ok_or("no leaf")?;
        let is_its_own = leaf
            .windows(name.len())
            .any(|bytes| bytes == name.as_bytes());
        if is_its_own {
            return Ok(());
        }
        Err(format!("{name} showed another certificate").into())
    }

    /// The plaintext side.
    pub(crate) fn into_stream(self) -> TlsStream<TcpStream> {
        self.0
    }

    /// Sends close_notify and waits until the server has closed: then it has finished the
    /// handshake.
    pub(crate) async fn close(mut self) -> BenchResult<()> {
        self.0.shutdown().await?;
        let mut rest = Vec::new();
        self.read_to_end(&mut rest).await
    }

    /// Makes one request with `Connection: close`; an error unless the response is 200.
    pub(crate) async fn request(mut self, host: &str) -> BenchResult<()> {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        self.0.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(512);
        self.read_to_end(&mut answer).await?;
        if answer.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&answer).into_owned().into())
    }
}

impl Connection {
    /// Reads until the server has closed, with or without close_notify.
    async fn read_to_end(&mut self, into: &mut Vec<u8>) -> BenchResult<()> {
        let read = self.0.read_to_end(into);
        match tokio::time::timeout(Duration::from_secs(5), read).await? {
            Err(why) if why.kind() != io::ErrorKind::UnexpectedEof => Err(why.into()),
            _ => Ok(()),
        }
    }
}

/// Accepts any certificate, because the server is measured.
#[derive(Debug)]
struct AcceptAnyCertificate;

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
