//! New connections to origins: name resolution, TCP, TLS, HTTP.
//!
//! Anyone who may add a domain chooses its origin, and the owner of a name changes its addresses at
//! any time. So the check applies to the very addresses that are connected to
//! ([`address::check_origin`]).

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
    vec,
};

use edgeseal_core::address::{self, OriginAddressError};
use hickory_resolver::net::NetError;
use http::{Uri, uri::Authority};
use hyper::{
    client::conn::{http1, http2},
    rt::Executor,
};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::{TokioIo, TokioTimer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, oneshot, watch},
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::{
    super::body::UpstreamBody,
    early_response::EarlyResponseStream,
    limiter::UpstreamPermit,
    pool::{Destination, Sender},
    resolve::{Resolution, Resolver},
};
use crate::{OwnListeners, tls::OriginTls};

/// Flow-control window of one HTTP/2 response (RFC 9113 §5.2), which stays in memory if its client
/// does not read it: with a round trip of 20 ms that is 12 MB/s.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Maximum streams of one connection. All of their windows together fit into the connection's
/// window: a response that its client does not read cannot block the others.
pub(super) const STREAMS_MAX: usize = 64;
/// Flow-control window of all of them: 16 MiB.
const CONNECTION_WINDOW: u32 = 64 * STREAM_WINDOW;
/// Maximum size of the headers of an HTTP/2 response; the default is 16 KiB.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// Bytes that are read ahead from an HTTP/1.1 origin; response headers are not larger either.
const READ_MAX: usize = 32 * 1024;

/// Opens connections.
#[derive(Debug)]
pub(super) struct Connector {
    resolver: Resolver,
    tls: OriginTls,
    rules: ConnectPolicy,
}

/// How names are resolved, and which addresses are not allowed as origins.
#[derive(Debug)]
pub(in crate::proxy) struct ConnectPolicy {
    /// `None`: by the system's configuration.
    pub(in crate::proxy) dns: Option<SocketAddr>,
    pub(in crate::proxy) listeners: OwnListeners,
}

/// A new connection, and its address.
pub(super) struct NewConnection {
    pub(super) sender: Sender,
    pub(super) peer: IpAddr,
    /// The DNS response, if the origin has a name.
    pub(super) resolution: Option<Resolution>,
    /// Receives the permit that counts an HTTP/2 connection until it ends; the connection ends when
    /// it is evicted.
    pub(super) http2_permit: Option<oneshot::Sender<UpstreamPermit>>,
}

/// A sender, and the [`NewConnection::http2_permit`].
type Spoken = (Sender, Option<oneshot::Sender<UpstreamPermit>>);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Its name has no address.
    #[error("its name does not resolve")]
    Unresolved(#[from] NetError),
    /// None of its addresses is allowed; this is the first one.
    #[error("address {address} is not allowed: {reason}", address = .0, reason = .1)]
    AddressNotAllowed(IpAddr, #[source] OriginAddressError),
    /// The connection was refused or failed.
    #[error("it cannot be connected to")]
    Tcp(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its certificate is not valid for the host, or it does not use TLS.
    #[error("the TLS handshake for {host} failed")]
    Tls {
        /// The host.
        host: Box<str>,
        /// The error.
        #[source]
        cause: io::Error,
    },
    /// The HTTP handshake failed.
    #[error("HTTP handshake failed")]
    Http(#[from] hyper::Error),
    /// All allowed connections are in use.
    #[error("the connection limit is reached")]
    ConnectionLimit,
    /// The TCP connection took too long.
    #[error("connecting took too long")]
    TcpTimeout,
    /// The TLS handshake took too long.
    #[error("the TLS handshake took too long")]
    HandshakeTimeout,
}

impl ConnectError {
    /// Whether the TCP connection was established.
    pub(super) const fn is_after_tcp(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::Http(_) | Self::HandshakeTimeout => true,
            Self::Unresolved(_)
            | Self::AddressNotAllowed(..)
            | Self::Tcp(_)
            | Self::ConnectionLimit
            | Self::TcpTimeout => false,
        }
    }
}

impl Connector {
    pub(super) const fn new(tls: OriginTls, resolver: Resolver, rules: ConnectPolicy) -> Self {
        Self {
            resolver,
            tls,
            rules,
        }
    }

    /// A new connection, until `deadline`. It runs in its own task, which holds the permit.
    pub(super) async fn connect(
        &self,
        to: &Destination,
        http1_only: bool,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<NewConnection, ConnectError> {
        let tcp = timeout_at(deadline, self.tcp(&to.authority, to.private));
        let (tcp, answer) = tcp.await.map_err(|_| ConnectError::TcpTimeout)??;
        let peer = tcp.peer_addr();
        let peer = peer.map_err(|error| ConnectError::Tcp(error.into()))?;
        let speaks = timeout_at(deadline, self.http_handshake(tcp, to, http1_only, permit));
        let (sender, keeps) = speaks.await.map_err(|_| ConnectError::HandshakeTimeout)??;
        Ok(NewConnection {
            sender,
            peer: peer.ip().to_canonical(),
            resolution: answer,
            http2_permit: keeps,
        })
    }

    /// The addresses of an origin's name; `None` if it is an address.
    pub(super) async fn resolve(&self, authority: &str) -> Option<Result<Resolution, NetError>> {
        let (host, _) = host_and_port(authority)?;
        match host.parse::<IpAddr>() {
            Ok(_) => None,
            Err(_) => Some(self.resolver.addresses(&host).await),
        }
    }

    async fn http_handshake(
        &self,
        tcp: TcpStream,
        to: &Destination,
        http1_only: bool,
        permit: OwnedSemaphorePermit,
    ) -> Result<Spoken, ConnectError> {
        let Some(host) = &to.tls_host else {
            return if to.h2c && !http1_only {
                http2(tcp, permit).await
            } else {
                http1(tcp, permit).await
            };
        };
        let verified = self
            .tls
            .connect(host, tcp, http1_only)
            .await
            .map_err(|cause| ConnectError::Tls {
                host: host.clone(),
                cause,
            })?;
        if verified.h2 {
            http2(verified.stream, permit).await
        } else {
            http1(verified.stream, permit).await
        }
    }

    async fn tcp(
        &self,
        authority: &str,
        private: bool,
    ) -> Result<(TcpStream, Option<Resolution>), ConnectError> {
        let malformed = || ConnectError::Tcp("the address of the origin is malformed".into());
        let (host, port) = host_and_port(authority).ok_or_else(malformed)?;
        let (found, answer) = match host.parse() {
            Ok(address) => (vec![address], None),
            Err(_) => {
                let answer = self.resolver.addresses(&host).await?;
                (answer.addresses.clone(), Some(answer))
            }
        };
        let may = self.allowed(&found, port, private)?;
        let uri = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query("/")
            .build()
            .map_err(|error| ConnectError::Tcp(error.into()))?;
        let mut connector = HttpConnector::new_with_resolver(Resolved(may));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let connected = connector.call(uri).await;
        let connected = connected.map_err(|error| ConnectError::Tcp(error.into()))?;
        Ok((connected.into_inner(), answer))
    }

    /// The allowed ones of some addresses: at least one.
    fn allowed(
        &self,
        found: &[IpAddr],
        port: u16,
        private: bool,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let listeners = self.rules.listeners.addresses();
        let mut refused = None;
        let mut may = Vec::with_capacity(found.len());
        for ip in found {
            let address = SocketAddr::new(*ip, port);
            match address::check_origin(address, private, &listeners, is_local) {
                Ok(()) => may.push(address),
                Err(reason) => refused = refused.or(Some((*ip, reason))),
            }
        }
        match refused {
            Some((address, reason)) if may.is_empty() => {
                Err(ConnectError::AddressNotAllowed(address, reason))
            }
            _ => Ok(may),
        }
    }
}

/// Whether this machine has the address: a socket can be bound to no other. Nothing is sent.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The host, IPv6 addresses without brackets, and the port.
fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host).to_owned(), authority.port_u16()?))
}

/// A resolved name whose addresses were checked.
#[derive(Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

async fn http1<S>(stream: S, permit: OwnedSemaphorePermit) -> Result<Spoken, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_MAX)
        .handshake::<_, UpstreamBody>(TokioIo::new(EarlyResponseStream::new(stream)))
        .await?;
    tokio::spawn(async move {
        log_end(connection.with_upgrades().await);
        drop(permit);
    });
    Ok((Sender::Http1(sender), None))
}

async fn http2<S>(stream: S, permit: OwnedSemaphorePermit) -> Result<Spoken, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (end, ended) = watch::channel(());
    let (sender, connection) = http2::Builder::new(Tasks(ended.clone()))
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake::<_, UpstreamBody>(TokioIo::new(stream))
        .await?;
    Tasks(ended).execute(async { log_end(connection.await) });
    let (keeps, kept) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            () = end.closed() => {}
            () = evicted(kept) => {
                tracing::debug!("a connection to an origin was evicted");
                // An error: the connection has ended by itself.
                let _ = end.send(());
                end.closed().await;
            }
        }
        drop(permit);
    });
    Ok((Sender::Http2(sender), Some(keeps)))
}

/// Runs the tasks of one connection: until it ends, or is told to end.
#[derive(Clone)]
struct Tasks(watch::Receiver<()>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let mut ended = self.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = ended.changed() => {}
                () = task => {}
            }
        });
    }
}

/// Holds the permit that counts the connection, and waits until it is evicted.
async fn evicted(kept: oneshot::Receiver<UpstreamPermit>) {
    match kept.await {
        Ok(exchange) => exchange.evicted().await,
        Err(_) => std::future::pending().await,
    }
}

fn log_end(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a connection to an origin ended early"
        );
    }
}
