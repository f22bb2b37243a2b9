//! The handshake. This file and those below it are the only ones that name rustls types.
//!
//! A ClientHello is read first, under a deadline; then [`select`](crate::select) decides, once; then
//! the handshake goes on with exactly what was chosen. A resolver that rustls calls on its own could
//! not do this: when it has no certificate, rustls sends `access_denied`, and here the client must be
//! told `unrecognized_name`. Selection runs for resumed sessions as well, so a ticket never revives
//! a domain that was switched off; and a ticket is good only for the name it was made for, which
//! rustls checks. Versions and protocols are those that the domain's owner chose (`configs`).
//!
//! Nothing in here waits for the network beyond the client, for the store or for a writer.

use std::{fmt, io, sync::Arc};

use edgeseal_core::Pattern;
use rustls::{
    HandshakeKind,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{Accepted, Acceptor},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Duration, Instant, timeout, timeout_at},
};

use crate::{
    entry::Entry,
    index::{Host, Index, Match},
    limits::Limiter,
    select::{NoCertificate, select},
    telemetry::{self, Handshake, Refusal, Shed},
};

mod answer;
mod configs;
mod keys;
mod origin;
mod probe;
mod staples;
mod stream;
mod tickets;

use answer::Answer;
use configs::Configs;

pub(crate) use keys::{Keys, Unusable};
pub(crate) use origin::OriginTls;
pub use origin::OriginTrustError;
pub use probe::{Offer, Probe, ProbeError, Seen};
pub(crate) use staples::{Staple, demands as demands_staple};
pub(crate) use stream::TlsStream;
pub(crate) use tickets::{Stored as StoredTicketKey, Tickets};

/// Terminates TLS 1.2 and 1.3 by SNI, as each domain's owner chose.
pub(crate) struct Terminator {
    index: Arc<Index<Entry>>,
    keys: Arc<Keys>,
    configs: Configs,
    default_host: Option<Box<str>>,
    timeout: Duration,
    limiter: Arc<Limiter>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Terminated {
    /// The plain side.
    pub(crate) stream: Box<TlsStream>,
    /// Whether `h2` was negotiated; HTTP/1.1 otherwise.
    pub(crate) h2: bool,
    /// The name that the certificate was chosen for.
    pub(crate) host: Host<'static>,
    /// How its domain was found.
    pub(crate) found: Match,
    /// Why one of the domain's two certificates cannot be used; the handshake had the other one.
    pub(crate) unusable: Option<Unusable>,
}

impl Terminated {
    /// The version of TLS, as in `1.3`.
    pub(crate) fn version(&self) -> &'static str {
        match self.stream.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        }
    }

    /// Whether an earlier session goes on.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// Why there is no connection. All of it is counted already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoConnection {
    /// No certificate answers; the client was told so.
    #[error("refused: {0}")]
    Refused(#[from] NoCertificate),
    /// The certificate that would answer cannot be used; the client was told `internal_error`, or
    /// `handshake_failure` if there is another one that it cannot check.
    #[error("the certificate cannot be used: {why}")]
    Unusable {
        /// The domain.
        domain: Option<Pattern>,
        /// Why.
        why: Unusable,
    },
    /// There is too much to do; nothing was said to the client.
    #[error("shed: {0}")]
    Shed(#[from] Shed),
    /// Too slow.
    #[error("the handshake took too long")]
    TimedOut,
    /// The edge ends, and the client had not said a word.
    #[error("the edge ends before the client said anything")]
    GivenUp,
    /// The client broke off, or spoke no TLS that is served.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// TLS cannot be set up at all: the crypto provider refuses.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct SetupError(#[from] rustls::Error);

impl Terminator {
    /// A terminator over `index`. A ClientHello without a server name is answered as if it had
    /// named `default_host`, if there is one. The ClientHello and the rest of the handshake have
    /// `timeout` each.
    pub(crate) fn new(
        index: Arc<Index<Entry>>,
        keys: Arc<Keys>,
        tickets: Arc<Tickets>,
        default_host: Option<Box<str>>,
        timeout: Duration,
        limiter: Arc<Limiter>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            index,
            keys,
            configs: Configs::new(tickets)?,
            default_host,
            timeout,
            limiter,
        })
    }

    /// Does the handshake on an accepted connection. A client that has not said a word when
    /// `given_up` is ready has nothing to lose and is let go.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        given_up: impl Future<Output = ()>,
    ) -> Result<Terminated, NoConnection> {
        let result = self.handshake(stream, given_up).await;
        telemetry::handshake(match &result {
            Ok(_) => Handshake::Completed,
            Err(NoConnection::Refused(_) | NoConnection::Unusable { .. }) => Handshake::Refused,
            Err(NoConnection::TimedOut) => Handshake::TimedOut,
            Err(NoConnection::Shed(_)) => Handshake::Shed,
            Err(NoConnection::Failed(_) | NoConnection::GivenUp) => Handshake::Failed,
        });
        result
    }

    async fn handshake(
        &self,
        mut stream: TcpStream,
        given_up: impl Future<Output = ()>,
    ) -> Result<Terminated, NoConnection> {
        let deadline = Instant::now() + self.timeout;
        // Peeked at: a socket may be called readable when nothing is there.
        let mut first = [0];
        let spoke = tokio::select! {
            () = given_up => return Err(NoConnection::GivenUp),
            spoke = timeout_at(deadline, stream.peek(&mut first)) => spoke,
        };
        spoke.map_err(|_| NoConnection::TimedOut)??;
        let (accepted, octets) = timeout_at(deadline, read_hello(&mut stream))
            .await
            .map_err(|_| NoConnection::TimedOut)??;
        self.limiter.turn().await?;
        let hello = accepted.client_hello();
        let sni = hello.server_name().or(self.default_host.as_deref());
        let (host, found, delivery, answer) = match select(&self.index, sni) {
            Ok(selected) => {
                let host = selected.host.clone().into_owned();
                let stapling = selected.delivery.ocsp_stapling;
                match Answer::of(&self.keys, &selected.material, stapling) {
                    Ok(answer) => (host, selected.found, selected.delivery, Arc::new(answer)),
                    Err(why) => {
                        let domain = host.domain(selected.found);
                        return Err(refuse_unusable(stream, domain, why).await);
                    }
                }
            }
            Err(why) => return Err(refuse(stream, why).await),
        };
        let config = self
            .configs
            .of(&delivery, Arc::clone(&answer), hello.cipher_suites());
        drop(accepted);
        let deadline = Instant::now() + self.timeout;
        let stream = timeout_at(deadline, TlsStream::accept(stream, octets, config.into()))
            .await
            .map_err(|_| NoConnection::TimedOut)?;
        let unusable = answer.unusable().cloned();
        let stream = match (stream, unusable.as_ref()) {
            (Ok(stream), _) => stream,
            (Err(error), None) => return Err(error.into()),
            (Err(_), Some(why)) => {
                let (domain, why) = (host.domain(found), why.clone());
                return Err(NoConnection::Unusable { domain, why });
            }
        };
        let h2 = stream.alpn_protocol() == Some(b"h2");
        let terminated = Terminated {
            stream,
            h2,
            host,
            found,
            unusable,
        };
        telemetry::session(terminated.is_resumed());
        Ok(terminated)
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").finish_non_exhaustive()
    }
}

/// Parses keys, signs and seals tickets. Passed on, never installed as the process default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads a ClientHello: what it says, and its octets, from which the handshake begins.
async fn read_hello(stream: &mut TcpStream) -> io::Result<(Accepted, Vec<u8>)> {
    const LENGTH: usize = 2048; // most are shorter, with a key of ML-KEM too
    let mut acceptor = Acceptor::default();
    let mut octets = Vec::with_capacity(LENGTH);
    loop {
        let start = octets.len();
        if stream.read_buf(&mut octets).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fresh = &octets[start..];
        // Bounded: rustls takes no longer message than 64 KiB.
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok((accepted, octets)),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut told = Vec::new();
                    alert.write_all(&mut told)?;
                    stream.write_all(&told).await?;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }
}

/// `unrecognized_name` (RFC 6066 §3).
const UNRECOGNIZED_NAME: u8 = 112;
/// `internal_error` (RFC 8446 §6.2).
const INTERNAL_ERROR: u8 = 80;

async fn refuse(stream: TcpStream, why: NoCertificate) -> NoConnection {
    telemetry::refusal(Refusal::NoCertificate(why));
    say_and_close(stream, UNRECOGNIZED_NAME).await;
    NoConnection::Refused(why)
}

async fn refuse_unusable(
    stream: TcpStream,
    domain: Option<Pattern>,
    why: Unusable,
) -> NoConnection {
    telemetry::refusal(Refusal::KeyUnusable);
    say_and_close(stream, INTERNAL_ERROR).await;
    NoConnection::Unusable { domain, why }
}

/// Sends a fatal alert in answer to a ClientHello. At this point it travels in the clear in every
/// version (RFC 5246 §7.2, RFC 8446 §5.1). Then reads for a moment what the client still sends: a
/// socket closed with unread data resets the connection, and the client may never see the alert.
async fn say_and_close(mut stream: TcpStream, alert: u8) {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    const LINGER: Duration = Duration::from_secs(1);
    let record = [ALERT, 3, 3, 0, 2, FATAL, alert];
    let farewell = async {
        stream.write_all(&record).await?;
        stream.shutdown().await?;
        let mut rest = [0; 512];
        for _ in 0..64 {
            if stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Whether the client heard it changes nothing here.
    let _ = timeout(LINGER, farewell).await;
}
