//! Sockets: accept, handshake, HTTP; and the end of each in order.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use edgeseal_core::Pattern;
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    time::sleep,
};

use crate::{
    drain::Token,
    follow::Holdings,
    proxy::{Inbound, InboundTls, Proxy},
    telemetry::OpenConnection,
    tls::{NoConnection, Terminator, Unusable},
};

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) terminator: Terminator,
    pub(crate) proxy: Proxy,
    pub(crate) holdings: Arc<Holdings>,
    /// For the head of a request, idle time before it included.
    pub(crate) header_timeout: Duration,
    /// Requests on one connection, at least one.
    pub(crate) connection_requests: u32,
    /// Connections at a time. More wait in the system's backlog.
    pub(crate) room: Arc<Semaphore>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// TLS, and HTTP in it.
    Https,
    /// HTTP/1.1 in the clear.
    Http,
}

/// Streams of one HTTP/2 connection at a time (RFC 9113 §6.5.2 advises 100 or more).
const STREAMS_MAX: u32 = 128;
/// The fields of one request. Heads of 20 KB are normal for signed requests.
const HEAD_BYTES_MAX: usize = 128 * 1024;

impl Server {
    /// Accepts until the drain begins.
    pub(crate) async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        speaks: Speaks,
        mut token: Token,
    ) {
        loop {
            let accepted = tokio::select! {
                () = token.draining() => return,
                accepted = self.accept_one(&listener) => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let server = Arc::clone(&self);
                    let token = token.clone();
                    tokio::spawn(async move {
                        let _open = OpenConnection::new();
                        let mut cut = token.clone();
                        tokio::select! {
                            () = server.serve(stream, peer, speaks, token) => {}
                            () = cut.cut() => {}
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, or a client that left again: neither ends a listener.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a connection cannot be accepted"
                    );
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn accept_one(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let room = Arc::clone(&self.room);
        let permit = room.acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer, permit))
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        speaks: Speaks,
        token: Token,
    ) {
        // Failing leaves the connection slower, not wrong.
        let _ = stream.set_nodelay(true);
        let mut drains = token.clone();
        let mut inbound = Inbound {
            peer,
            tls: None,
            token,
            flow: self.proxy.flow(),
        };
        match speaks {
            Speaks::Http => self.http1(stream, inbound).await,
            Speaks::Https => match self.terminator.accept(stream, drains.draining()).await {
                Ok(terminated) => {
                    if let Some(why) = &terminated.unusable {
                        let domain = terminated.host.domain(terminated.found);
                        self.quarantine(domain.as_ref(), why);
                    }
                    inbound.tls = Some(InboundTls {
                        version: terminated.version(),
                        resumed: terminated.is_resumed(),
                        host: terminated.host,
                        found: terminated.found,
                    });
                    if terminated.h2 {
                        self.http2(terminated.stream, inbound).await;
                    } else {
                        self.http1(terminated.stream, inbound).await;
                    }
                }
                Err(NoConnection::Unusable { domain, why }) => {
                    self.quarantine(domain.as_ref(), &why);
                }
                Err(error) => {
                    tracing::debug!(
                        %peer,
                        error = &error as &dyn std::error::Error,
                        "no handshake"
                    );
                }
            },
        }
    }

    fn quarantine(&self, domain: Option<&Pattern>, why: &Unusable) {
        if let Some(domain) = domain {
            self.holdings.quarantine().put(domain, &why.to_string());
        }
    }

    async fn http1<S>(self: Arc<Self>, stream: S, inbound: Inbound)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut token = inbound.token.clone();
        let flow = inbound.flow.clone();
        let inbound = Arc::new(inbound);
        let timeout = self.header_timeout;
        let allowance = Allowance::new(self.connection_requests);
        let counted = Arc::clone(&allowance);
        let service = service_fn(move |request| {
            counted.take();
            Self::answer(&self, &inbound, request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = flow.stalled() => return tracing::debug!("a client takes nothing: cut"),
            () = allowance.ends(&mut token) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = flow.stalled() => return,
                }
            }
        };
        log_end(result);
    }

    async fn http2<S>(self: Arc<Self>, stream: S, inbound: Inbound)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut token = inbound.token.clone();
        let flow = inbound.flow.clone();
        let inbound = Arc::new(inbound);
        let timeout = self.header_timeout;
        let allowance = Allowance::new(self.connection_requests);
        let counted = Arc::clone(&allowance);
        let service = service_fn(move |request| {
            counted.take();
            // In a box: a stream of HTTP/2 is a task, which hyper and tokio move several times.
            Box::pin(Self::answer(&self, &inbound, request))
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = flow.stalled() => return tracing::debug!("a client takes nothing: cut"),
            () = allowance.ends(&mut token) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = flow.stalled() => return,
                }
            }
        };
        log_end(result);
    }

    fn answer(
        this: &Arc<Self>,
        inbound: &Arc<Inbound>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<http::Response<crate::proxy::Reply>, std::convert::Infallible>>
    + Send
    + use<> {
        let this = Arc::clone(this);
        let inbound = Arc::clone(inbound);
        async move { Ok(this.proxy.serve(request, &inbound).await) }
    }
}

/// The requests that a connection may still carry.
#[derive(Debug)]
struct Allowance {
    left: AtomicU32,
    spent: Notify,
}

impl Allowance {
    fn new(requests: u32) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU32::new(requests),
            spent: Notify::new(),
        })
    }

    /// Takes one. Requests of HTTP/2 that cross the end are still served.
    fn take(&self) {
        let fewer = |left: u32| left.checked_sub(1);
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        if before == Ok(1) {
            self.spent.notify_one();
        }
    }

    /// Waits until the connection should end.
    async fn ends(&self, token: &mut Token) {
        tokio::select! {
            () = token.draining() => {}
            () = self.spent.notified() => {}
        }
    }
}

fn log_end(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a connection ended early"
        );
    }
}
