//! The handshake. This file and those below it are the only ones that name rustls types.
//!
//! A ClientHello is read first, under a deadline; then [`select`](crate::select) decides, once;
//! then the handshake goes on with exactly that domain. A resolver called by rustls could not
//! select it: without a certificate rustls sends `access_denied`, and the client must get
//! `unrecognized_name`. [`CertResolver`] therefore only chooses between the certificates of the
//! selected domain. Selection runs for resumed sessions as well, so a ticket never revives a domain
//! that was switched off; and a ticket is valid only for the server name it was issued for, which
//! rustls checks. TLS versions and ALPN protocols follow the domain's delivery settings
//! (`configs`).
//!
//! A ClientHello that offers only `acme-tls/1` validates a name. If there is a challenge for it, it
//! gets that certificate (`challenge`), whatever the state of the domain; otherwise it is treated
//! like any other, and ends with an alert. Only it may wait for the store.

use std::{fmt, io, net::IpAddr, sync::Arc};

use edgeseal_core::{DomainPattern, delivery::DeliveryConfig};
use rustls::{
    AlertDescription, HandshakeKind, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{Accepted, Acceptor},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Duration, Instant, timeout, timeout_at},
};

use crate::{
    challenges::Challenges,
    index::{Index, MatchedDomain},
    limits::Limiter,
    select::{NoCertificate, select},
    served_domain::ServedDomain,
    telemetry::{self, HandshakeResult, RejectReason, Shed},
};

mod cert_resolver;
mod challenge;
mod client_hello;
mod configs;
mod key_cache;
mod origin;
mod probe;
mod stream;
mod tickets;

use cert_resolver::CertResolver;
use challenge::ChallengeConfigs;
use client_hello::{ParsedClientHello, RecordChecker, alert_for};
use configs::Configs;

pub(crate) use key_cache::{KeyCache, MaterialError};
pub(crate) use origin::OriginTls;
pub use origin::OriginTrustError;
pub use probe::{OfferedKeys, Probe, ProbeError, ProbeResult, ProbedChain};
pub(crate) use stream::TlsStream;
pub(crate) use tickets::{StoredTicketKey, TicketKeys};

/// Terminates TLS 1.2 and 1.3 by SNI, with each domain's delivery settings.
pub(crate) struct Terminator {
    index: Arc<Index<ServedDomain>>,
    keys: Arc<KeyCache>,
    configs: Configs,
    challenges: Arc<Challenges>,
    challenge_configs: ChallengeConfigs,
    default_host: Option<Box<str>>,
    timeout: Duration,
    limiter: Arc<Limiter>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct TlsConnection {
    /// The decrypted stream.
    pub(crate) stream: Box<TlsStream>,
    /// Whether `h2` was negotiated; HTTP/1.1 otherwise.
    pub(crate) h2: bool,
    /// The name that the certificate was selected for, and its domain.
    pub(crate) domain: MatchedDomain<'static>,
    /// Why one of the domain's two certificates cannot be used; the handshake used the other one.
    pub(crate) unusable: Option<MaterialError>,
}

impl TlsConnection {
    /// The TLS version, as in `1.3`.
    pub(crate) fn version(&self) -> &'static str {
        match self.stream.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        }
    }

    /// Whether an earlier session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// Why there is no connection. All cases are counted already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    /// There is no certificate; the client got an alert.
    #[error("refused: {0}")]
    Refused(#[from] NoCertificate),
    /// The selected certificate cannot be used; the client got `internal_error`, or
    /// `handshake_failure` if there is another one that it cannot verify.
    #[error("the certificate cannot be used: {reason}")]
    Unusable {
        /// The domain.
        domain: Option<DomainPattern>,
        /// The reason.
        reason: MaterialError,
    },
    /// It was the validation of a name by tls-alpn-01, and is closed.
    #[error("a challenge was answered")]
    ChallengeAnswered,
    /// The edge is overloaded; nothing was sent to the client.
    #[error("shed: {0}")]
    Shed(#[from] Shed),
    /// The client was too slow.
    #[error("the handshake took too long")]
    TimedOut,
    /// The edge is draining, and the client had sent nothing.
    #[error("the edge is draining and the client had sent nothing")]
    Draining,
    /// The client disconnected, or used no TLS that is served.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// TLS cannot be set up: the crypto provider refuses.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct SetupError(#[from] rustls::Error);

impl Terminator {
    /// A terminator over `index`. A ClientHello without SNI is treated as if it named
    /// `default_host`, if there is one. The ClientHello and the rest of the handshake have
    /// `timeout` each.
    pub(crate) fn new(
        index: Arc<Index<ServedDomain>>,
        keys: Arc<KeyCache>,
        tickets: Arc<TicketKeys>,
        challenges: Arc<Challenges>,
        default_host: Option<Box<str>>,
        timeout: Duration,
        limiter: Arc<Limiter>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            index,
            keys,
            configs: Configs::new(tickets)?,
            challenges,
            challenge_configs: ChallengeConfigs::new()?,
            default_host,
            timeout,
            limiter,
        })
    }

    /// Does the handshake on an accepted connection. A client that has sent nothing when `draining`
    /// is ready loses nothing and is disconnected.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        client: IpAddr,
        draining: impl Future<Output = ()>,
    ) -> Result<TlsConnection, AcceptError> {
        let result = self.handshake(stream, client, draining).await;
        telemetry::handshake(match &result {
            Ok(_) | Err(AcceptError::ChallengeAnswered) => HandshakeResult::Completed,
            Err(AcceptError::Refused(_) | AcceptError::Unusable { .. }) => HandshakeResult::Refused,
            Err(AcceptError::TimedOut) => HandshakeResult::TimedOut,
            Err(AcceptError::Shed(_)) => HandshakeResult::Shed,
            Err(AcceptError::Failed(_) | AcceptError::Draining) => HandshakeResult::Failed,
        });
        result
    }

    async fn handshake(
        &self,
        mut stream: TcpStream,
        client: IpAddr,
        draining: impl Future<Output = ()>,
    ) -> Result<TlsConnection, AcceptError> {
        let (accepted, bytes) = self.client_hello(&mut stream, draining).await?;
        self.limiter.wait_turn().await?;
        let hello = accepted.client_hello();
        if challenge::is_validation(&hello)
            && let Some(host) = hello.server_name()
            && let Some(challenge) = Box::pin(self.challenges.tls_alpn_01(host, client)).await
        {
            drop(accepted);
            return Err(self.answer_challenge(stream, bytes, &challenge).await);
        }
        let selected = match self.select(hello.server_name()) {
            Ok(selected) => selected,
            Err(SelectError::None(reason)) => return Err(refuse(stream, reason).await),
            Err(SelectError::Unusable(domain, reason)) => {
                return Err(refuse_unusable(stream, domain, reason).await);
            }
        };
        let can_sign = |offered: &[_]| selected.resolver.can_sign(offered);
        let read = ParsedClientHello::read(&bytes).unwrap_or_default();
        let schemes = hello.signature_schemes();
        if let Some(alert) = read.incompatibility_alert(selected.delivery.tls, schemes, can_sign) {
            send_alert_and_close(&mut stream, alert).await;
            return Err(invalid("the client has nothing in common with the domain").into());
        }
        let config = self.configs.config_for(
            selected.domain.domain_id,
            &selected.delivery,
            Arc::clone(&selected.resolver),
            hello.cipher_suites(),
        );
        drop(accepted);
        let stream = self.complete(stream, bytes, config.into()).await?;
        let terminated = selected.into_connection(stream)?;
        telemetry::session(terminated.is_resumed());
        Ok(terminated)
    }

    /// Does the rest of the handshake after the ClientHello.
    async fn complete(
        &self,
        stream: TcpStream,
        hello: Vec<u8>,
        config: Arc<ServerConfig>,
    ) -> Result<io::Result<Box<TlsStream>>, AcceptError> {
        let accepting = TlsStream::accept(stream, hello, config);
        timeout(self.timeout, accepting)
            .await
            .map_err(|_| AcceptError::TimedOut)
    }

    /// Reads and checks the ClientHello.
    async fn client_hello(
        &self,
        stream: &mut TcpStream,
        draining: impl Future<Output = ()>,
    ) -> Result<(Accepted, Vec<u8>), AcceptError> {
        let deadline = Instant::now() + self.timeout;
        // Peek first: a socket may be reported readable when nothing is there.
        let mut first = [0];
        let first_byte = tokio::select! {
            () = draining => return Err(AcceptError::Draining),
            first_byte = timeout_at(deadline, stream.peek(&mut first)) => first_byte,
        };
        first_byte.map_err(|_| AcceptError::TimedOut)??;
        let read = timeout_at(deadline, read_client_hello(stream)).await;
        match read.map_err(|_| AcceptError::TimedOut)? {
            Ok(read) => Ok(read),
            Err(ClientHelloError::Io(error)) => Err(error.into()),
            Err(ClientHelloError::Refused(alert, error)) => {
                send_alert_and_close(stream, alert).await;
                Err(error.into())
            }
        }
    }

    /// Selects the domain for a client that named this host, if any.
    fn select(&self, named: Option<&str>) -> Result<Selection, SelectError> {
        let sni = named.or(self.default_host.as_deref());
        let selected = select(&self.index, sni).map_err(SelectError::None)?;
        let resolver = CertResolver::of(&self.keys, &selected.material)
            .map_err(|reason| SelectError::Unusable(selected.domain.name(), reason))?;
        Ok(Selection {
            resolver: Arc::new(resolver),
            domain: selected.domain.into_owned(),
            delivery: selected.delivery,
        })
    }
}

/// The selected domain, with the resolver that chooses its certificate.
struct Selection {
    resolver: Arc<CertResolver>,
    domain: MatchedDomain<'static>,
    delivery: DeliveryConfig,
}

/// Why nothing was selected.
enum SelectError {
    None(NoCertificate),
    /// The certificate of this domain cannot be used.
    Unusable(Option<DomainPattern>, MaterialError),
}

impl Selection {
    fn into_connection(
        self,
        stream: io::Result<Box<TlsStream>>,
    ) -> Result<TlsConnection, AcceptError> {
        let unusable = self.resolver.unusable().cloned();
        let stream = match (stream, unusable.as_ref()) {
            (Ok(stream), _) => stream,
            (Err(error), None) => return Err(error.into()),
            (Err(_), Some(reason)) => {
                let (domain, reason) = (self.domain.name(), reason.clone());
                return Err(AcceptError::Unusable { domain, reason });
            }
        };
        Ok(TlsConnection {
            h2: stream.alpn_protocol() == Some(b"h2"),
            stream,
            domain: self.domain,
            unusable,
        })
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").finish_non_exhaustive()
    }
}

/// The crypto provider: parses keys, signs and seals tickets. Passed explicitly, never installed as
/// the process default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Why there is no ClientHello.
enum ClientHelloError {
    Io(io::Error),
    /// It is refused with this alert.
    Refused(AlertDescription, io::Error),
}

impl From<io::Error> for ClientHelloError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a ClientHello: parsed, and as bytes, with which the handshake begins.
async fn read_client_hello(
    stream: &mut TcpStream,
) -> Result<(Accepted, Vec<u8>), ClientHelloError> {
    const LENGTH: usize = 2048; // most are shorter, also with an ML-KEM key share
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(LENGTH);
    let mut records = RecordChecker::default();
    loop {
        let start = bytes.len();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some(alert) = records.alert(&bytes) {
            return Err(ClientHelloError::Refused(
                alert,
                invalid("not a ClientHello"),
            ));
        }
        let mut fresh = &bytes[start..];
        // Bounded: rustls refuses messages longer than 64 KiB.
        while !fresh.is_empty() {
            if let Err(error) = acceptor.read_tls(&mut fresh) {
                return Err(ClientHelloError::Refused(
                    AlertDescription::DecodeError,
                    error,
                ));
            }
            let accepted = match acceptor.accept() {
                Ok(None) => continue,
                Ok(Some(accepted)) => Ok(accepted),
                Err((error, mut alert)) => {
                    let mut said = Vec::new();
                    alert.write_all(&mut said)?;
                    let said = said.last().copied().map(AlertDescription::from);
                    let alert = said.unwrap_or_else(|| alert_for(&error));
                    Err((alert, invalid(error)))
                }
            };
            let read = ParsedClientHello::read(&bytes);
            if let Some(alert) = read.as_ref().and_then(ParsedClientHello::version_alert) {
                let reason = invalid("the client speaks no version of TLS that is served");
                return Err(ClientHelloError::Refused(alert, reason));
            }
            return match accepted {
                Ok(accepted) => Ok((accepted, bytes)),
                Err((alert, error)) => {
                    let missing = read.as_ref().and_then(ParsedClientHello::extension_alert);
                    Err(ClientHelloError::Refused(missing.unwrap_or(alert), error))
                }
            };
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn refuse(mut stream: TcpStream, reason: NoCertificate) -> AcceptError {
    telemetry::handshake_rejected(RejectReason::NoCertificate(reason));
    send_alert_and_close(&mut stream, AlertDescription::UnrecognisedName).await;
    AcceptError::Refused(reason)
}

async fn refuse_unusable(
    mut stream: TcpStream,
    domain: Option<DomainPattern>,
    reason: MaterialError,
) -> AcceptError {
    telemetry::handshake_rejected(RejectReason::KeyUnusable);
    send_alert_and_close(&mut stream, AlertDescription::InternalError).await;
    AcceptError::Unusable { domain, reason }
}

/// Sends a fatal alert in response to a ClientHello, and closes. At this point it is unencrypted in
/// every version (RFC 5246 §7.2, RFC 8446 §5.1).
async fn send_alert_and_close(stream: &mut TcpStream, alert: AlertDescription) {
    // Whether the client received it changes nothing here.
    if stream
        .write_all(&client_hello::record_of(alert))
        .await
        .is_ok()
    {
        linger(stream).await;
    }
}

/// Shuts down the sending side, then reads for a moment what the client still sends: closing a
/// socket with unread data resets the connection, and the client may never see the alert.
async fn linger(stream: &mut TcpStream) {
    const LINGER: Duration = Duration::from_secs(1);
    let farewell = async {
        stream.shutdown().await?;
        let mut rest = [0; 2048];
        for _ in 0..64 {
            if stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(LINGER, farewell).await;
}
