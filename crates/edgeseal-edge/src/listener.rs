//! Sockets: accept, handshake, HTTP, and the graceful end of connections.
//!
//! [`Server::spawn_connection`] acquires a permit, [`Server::establish`] does the handshake
//! ([`Terminator::accept`]: ClientHello, domain, certificate), and [`http1`] or [`http2`] passes
//! each request to [`Proxy::serve`].

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use edgeseal_core::DomainPattern;
use http::Request;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    SetupError,
    drain::DrainToken,
    edge::EdgeContext,
    limits::{ConnectionPermit, Limiter},
    proxy::{Inbound, InboundTls, ListenPorts, Proxy, UnreadBody},
    proxy_protocol::TrustedProxies,
    serving_state::ServingState,
    telemetry::{self, Shed},
    tls::{AcceptError, MaterialError, OriginTls, Terminator, TlsStream},
};

mod close_delimited;
mod header_budget;
mod http1;
mod http2;
mod idle;
mod request_budget;

use close_delimited::{CloseDelimited, EndsConnection, OverTcp};
use request_budget::RequestBudget;

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct Server {
    terminator: Terminator,
    proxy: Proxy,
    serving: Arc<ServingState>,
    /// Time limit for the headers of a request, including the idle time before them.
    header_timeout: Duration,
    /// Maximum number of requests on one connection, at least one.
    keepalive_requests: u32,
    /// The limits on connections, handshakes and streams.
    limiter: Arc<Limiter>,
    /// Load balancers that report client addresses.
    trusted_proxies: TrustedProxies,
    /// Time limit for a PROXY protocol header.
    proxy_header_timeout: Duration,
}

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP over TLS.
    Https,
    /// Plaintext HTTP/1.1.
    Http,
}

/// Pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);
/// The process has no file descriptors left.
const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
/// The system has no file descriptors left.
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();

/// The next stage of a connection, on the heap: the task of a connection is no larger than what an
/// idle one needs.
type ServeFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Server {
    /// Must be called on the runtime.
    ///
    /// # Errors
    /// [`SetupError`] if TLS cannot be set up.
    pub(crate) fn new(
        context: &EdgeContext,
        origin_tls: OriginTls,
        ports: ListenPorts,
    ) -> Result<Self, SetupError> {
        let (options, serving) = (&context.options, &context.serving);
        let default_host = options.default_domain.as_ref();
        let limiter = Limiter::new(options.limits, options.memory_used);
        Ok(Self {
            terminator: Terminator::new(
                Arc::clone(serving.index()),
                Arc::clone(serving.keys()),
                Arc::clone(&context.tickets),
                Arc::clone(&context.challenges),
                default_host.map(|name| name.as_str().into()),
                options.client_hello_timeout,
                Arc::clone(&limiter),
            )?,
            proxy: Proxy::new(
                Arc::clone(serving.index()),
                Arc::clone(&context.challenges),
                options,
                origin_tls,
                ports,
                context.access_log.clone(),
                context.clock,
            ),
            serving: Arc::clone(serving),
            header_timeout: options.header_timeout,
            keepalive_requests: options.keepalive_requests.max(1),
            limiter,
            trusted_proxies: TrustedProxies::new(&options.proxy_protocol_from),
            proxy_header_timeout: options.client_hello_timeout,
        })
    }

    /// Accepts until the drain begins.
    pub(crate) async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        protocol: Protocol,
        mut token: DrainToken,
    ) {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                () = token.leaving() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    Arc::clone(&self).spawn_connection(stream, peer, protocol, token.clone());
                }
                Err(error) => {
                    // Out of file descriptors, or a client that disconnected: neither ends a
                    // listener.
                    let descriptors = [Some(EMFILE), Some(ENFILE)].contains(&error.raw_os_error());
                    telemetry::accept_failure(descriptors);
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "connections cannot be accepted"
                        );
                    }
                    // Connections that end release descriptors.
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection in its own task, if the limits allow it.
    fn spawn_connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        protocol: Protocol,
        token: DrainToken,
    ) {
        // Behind a load balancer the client is not known yet.
        let handshake = protocol == Protocol::Https && !self.trusted_proxies.is_enabled();
        let permit = match self.limiter.acquire(peer.ip(), handshake) {
            Ok(permit) => permit,
            Err(reason) => return telemetry::shed(reason),
        };
        tokio::spawn(async move {
            let mut drain = token.clone();
            tokio::select! {
                () = self.serve(stream, peer, protocol, token, permit) => {}
                () = drain.aborted() => {}
            }
        });
    }

    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        protocol: Protocol,
        token: DrainToken,
        permit: ConnectionPermit,
    ) {
        let (peer, permit) = if self.trusted_proxies.is_enabled() {
            let client = Box::pin(self.client(&mut stream, peer, &token));
            let Some(client) = unless_evicted(&permit, client).await.flatten() else {
                return telemetry::shed(Shed::ProxyHeader);
            };
            drop(permit);
            let handshake = protocol == Protocol::Https;
            match self.limiter.acquire(client.ip(), handshake) {
                Ok(permit) => (client, permit),
                Err(reason) => return telemetry::shed(reason),
            }
        } else {
            (peer, permit)
        };
        let permit = Arc::new(permit);
        // Each stage has its own allocation while it lasts: an idle connection does not keep what
        // its handshake needed.
        let http = Box::pin(self.establish(stream, peer, protocol, token, Arc::clone(&permit)));
        if let Some(Some(http)) = unless_evicted(&permit, http).await {
            unless_evicted(&permit, http).await;
        }
    }

    /// Does the TLS handshake, if there is one; returns the future that serves HTTP. `None` if the
    /// client is not to be served.
    async fn establish(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        protocol: Protocol,
        token: DrainToken,
        permit: Arc<ConnectionPermit>,
    ) -> Option<ServeFuture> {
        // Without it the connection is slower, but works.
        let _ = stream.set_nodelay(true);
        let mut inbound = Inbound {
            peer,
            tls: None,
            token,
            stall_monitor: self.proxy.stall_monitor(),
            unread: UnreadBody::default(),
            permit,
        };
        Some(match protocol {
            Protocol::Http => Box::pin(self.http1(stream, inbound)),
            Protocol::Https => {
                let token = inbound.token.clone();
                let (stream, h2, tls) = self.handshake(stream, peer, token).await?;
                inbound.permit.handshake_done();
                inbound.tls = Some(tls);
                if h2 {
                    Box::pin(self.http2(stream, inbound))
                } else {
                    Box::pin(self.http1(stream, inbound))
                }
            }
        })
    }

    /// The connection after its handshake, and whether HTTP/2 was negotiated.
    async fn handshake(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        mut token: DrainToken,
    ) -> Option<(Box<TlsStream>, bool, InboundTls)> {
        let accepting = self.terminator.accept(stream, peer.ip(), token.draining());
        match accepting.await {
            Ok(terminated) => {
                if let Some(reason) = &terminated.unusable {
                    self.quarantine(terminated.domain.name().as_ref(), reason);
                }
                let tls = InboundTls {
                    version: terminated.version(),
                    resumed: terminated.is_resumed(),
                    domain: terminated.domain,
                };
                return Some((terminated.stream, terminated.h2, tls));
            }
            Err(AcceptError::Unusable { domain, reason }) => {
                self.quarantine(domain.as_ref(), &reason)
            }
            Err(error) => {
                if let AcceptError::Shed(reason) = error {
                    telemetry::shed(reason);
                }
                let error: &dyn std::error::Error = &error;
                tracing::debug!(%peer, error, "handshake failed");
            }
        }
        None
    }

    /// The client, as reported by a load balancer; `None` if it is not to be served.
    async fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        token: &DrainToken,
    ) -> Option<SocketAddr> {
        let mut drain = token.clone();
        let header = self.trusted_proxies.client(stream, peer);
        let client = tokio::select! {
            client = timeout(self.proxy_header_timeout, header) => client,
            () = drain.draining() => return None,
        };
        match client {
            Ok(Ok(client)) => Some(client),
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(%peer, error, "connection refused");
                None
            }
            Err(_) => {
                tracing::debug!(%peer, "the PROXY protocol header took too long");
                None
            }
        }
    }

    fn quarantine(&self, domain: Option<&DomainPattern>, reason: &MaterialError) {
        if let Some(domain) = domain {
            self.serving.quarantine().put(domain, &reason.to_string());
        }
    }

    /// Serves HTTP/1.1 until the connection ends.
    fn http1<S>(self: Arc<Self>, stream: S, inbound: Inbound) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + OverTcp + Unpin + Send + 'static,
    {
        let ends = http1::ConnectionEnd {
            header_timeout: self.header_timeout,
            request_budget: RequestBudget::new(self.keepalive_requests),
            stall_monitor: inbound.stall_monitor.clone(),
            unread: inbound.unread.clone(),
            token: inbound.token.clone(),
            permit: Arc::clone(&inbound.permit),
        };
        let inbound = Arc::new(inbound);
        let ends_connection = EndsConnection::default();
        let stream = CloseDelimited::new(stream, ends_connection.clone());
        let answer = move |request: Request<Incoming>| {
            let in_flight = inbound.permit.request();
            let (this, inbound) = (Arc::clone(&self), Arc::clone(&inbound));
            let (version, ends_connection) = (request.version(), ends_connection.clone());
            async move {
                let mut response = this.proxy.serve(request, &inbound).await;
                ends_connection.note(version, &response);
                response.body_mut().hold(in_flight);
                Ok(response)
            }
        };
        http1::serve(stream, ends, answer)
    }
}

/// The result of `future`; `None` if the connection must be closed before.
async fn unless_evicted<T>(
    permit: &ConnectionPermit,
    future: Pin<Box<dyn Future<Output = T> + Send + '_>>,
) -> Option<T> {
    tokio::select! {
        biased;
        () = permit.evicted() => None,
        done = future => Some(done),
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
