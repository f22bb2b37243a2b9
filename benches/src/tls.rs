//! A client that does full handshakes, and tells what it was shown.

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

use crate::Outcome;

/// Key exchanges that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// X25519 alone.
    X25519,
    /// X25519MLKEM768 alone.
    Hybrid,
}

impl Offer {
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

/// Connects afresh each time: TLS 1.3, no resumption.
#[derive(Clone)]
pub(crate) struct Client {
    connector: TlsConnector,
    offer: Offer,
}

impl Client {
    pub(crate) fn new(offer: Offer) -> Outcome<Self> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![offer.group()];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            offer,
        })
    }

    /// A full handshake; an error if it was anything less.
    pub(crate) async fn handshake(
        &self,
        address: SocketAddr,
        name: &ServerName<'static>,
    ) -> Outcome<Connection> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let stream = self.connector.connect(name.clone(), socket).await?;
        let (_, session) = stream.get_ref();
        let as_wanted = session.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && session.handshake_kind() == Some(HandshakeKind::Full)
            && session
                .negotiated_key_exchange_group()
                .map(|group| group.name())
                == Some(self.offer.name());
        if !as_wanted {
            return Err("not a full TLS 1.3 handshake with the offered group".into());
        }
        Ok(Connection(stream))
    }
}

/// A connection after its handshake.
pub(crate) struct Connection(TlsStream<TcpStream>);

impl Connection {
    /// The leaf that was shown.
    pub(crate) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.0.get_ref().1.peer_certificates()?.first()
    }

    /// Says farewell and waits until the server has closed, so that it has done the whole handshake.
    pub(crate) async fn close(mut self) -> Outcome<()> {
        self.0.shutdown().await?;
        let mut rest = Vec::new();
        self.read_to_end(&mut rest).await
    }

    /// One request on which the server closes; an error unless it is answered with 200.
    pub(crate) async fn request(mut self, host: &str) -> Outcome<()> {
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
    /// Reads until the server has closed, with or without a farewell of its own.
    async fn read_to_end(&mut self, into: &mut Vec<u8>) -> Outcome<()> {
        let read = self.0.read_to_end(into);
        match tokio::time::timeout(Duration::from_secs(5), read).await? {
            Err(why) if why.kind() != io::ErrorKind::UnexpectedEof => Err(why.into()),
            _ => Ok(()),
        }
    }
}

/// Trusts anybody: what is measured is the server.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
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
