//! New connections to origins: name resolution, TCP, TLS, HTTP.
//!
//! Whoever may add a domain chooses where its origin is, and the owner of a name where it leads, at any
//! time. So it is the very addresses that are connected to which are checked ([`address::check_origin`]).

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

/// What may be under way of one answer over HTTP/2 (RFC 9113 §5.2), and stays in memory if its client
/// does not take it: over 20 ms there and back that is 12 MB/s.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Streams of one connection. All of their answers together fit into its window: none that its client
/// does not take keeps the others from moving.
pub(super) const STREAMS_MAX: usize = 64;
/// What may be under way of all of them: 16 MiB.
const CONNECTION_WINDOW: u32 = 64 * STREAM_WINDOW;
/// The fields of one answer over HTTP/2; by default it would be 16 KiB.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// Bytes that are read from an origin ahead of its client, over HTTP/1.1; the head of an answer has
/// no more either.
const READ_MAX: usize = 32 * 1024;

/// Makes connections.
#[derive(Debug)]
pub(super) struct Connector {
    resolver: Resolver,
    tls: OriginTls,
    rules: ConnectPolicy,
}

/// Where names are asked about, and what nobody's origin is.
#[derive(Debug)]
pub(in crate::proxy) struct ConnectPolicy {
    /// `None`: as the system does.
    pub(in crate::proxy) dns: Option<SocketAddr>,
    pub(in crate::proxy) listeners: OwnListeners,
}

/// A new connection, and where it leads.
pub(super) struct NewConnection {
    pub(super) sender: Sender,
    pub(super) peer: IpAddr,
    /// What the DNS said, if the origin has a name.
    pub(super) resolution: Option<Resolution>,
    /// Takes what counts a connection of HTTP/2 until it ends, and ends it if it is needed for another.
    pub(super) http2_permit: Option<oneshot::Sender<UpstreamPermit>>,
}

/// A sender, and what [`NewConnection::keeps`] it.
type Spoken = (Sender, Option<oneshot::Sender<UpstreamPermit>>);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Its name has no address.
    #[error("its name does not resolve")]
    Unresolved(#[from] NetError),
    /// None of its addresses is one that it may have; this is the first one.
    #[error("{address} is not connected to: {reason}", address = .0, reason = .1)]
    AddressNotAllowed(IpAddr, #[source] OriginAddressError),
    /// It refuses.
    #[error("it cannot be connected to")]
    Tcp(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not prove to be the host that is asked for, or speaks no TLS.
    #[error("the TLS handshake for {host} failed")]
    Tls {
        /// The host.
        host: Box<str>,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// HTTP does not begin.
    #[error("HTTP does not begin")]
    Http(#[from] hyper::Error),
    /// As many connections as are allowed are in use.
    #[error("all connections that are allowed to it are in use")]
    ConnectionLimit,
    /// There is no connection of TCP in time.
    #[error("connecting took too long")]
    TcpTimeout,
    /// There is one, but the TLS handshake on it took too long.
    #[error("the TLS handshake took too long")]
    HandshakeTimeout,
}

impl ConnectError {
    /// Whether there was a connection of TCP.
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

    /// A new connection, until `deadline`. It lives in a task of its own, and with it the permit.
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

    /// The addresses of an origin's name; `None` if it has an address instead.
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
        let malformed = || ConnectError::Tcp("the address of the origin does not read".into());
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

    /// Those of some addresses that may be connected to: at least one.
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

/// An IPv6 address without its brackets.
fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host).to_owned(), authority.port_u16()?))
}

/// A name that was resolved, and its addresses checked, before.
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
                tracing::debug!("a connection to an origin was needed for another");
                // Without anybody to tell, it has ended by itself.
                let _ = end.send(());
                end.closed().await;
            }
        }
        drop(permit);
    });
    Ok((Sender::Http2(sender), Some(keeps)))
}

/// Runs all that belongs to one connection: until it ends, or it is told to end.
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

/// Holds what counts the connection, and waits until it is needed for another.
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
