//! From a request to the origin's response.
//!
//! A request belongs to the domain that its host names ([`route`]); it goes to the domain's origins
//! over HTTP/1.1 or HTTP/2, in plaintext or TLS ([`upstream`]), with hop-by-hop headers removed and
//! proxy headers added ([`headers`]). Before all that, the edge answers the [`challenge`]s of ACME. Bodies are streamed and never buffered as a whole: a slow
//! reader slows the writer. The edge's own responses are an [`error_page`] or a [`redirect`].
//! Delivery settings are looked up for each request, so a change applies to open connections too.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request, uri::Authority};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use uuid::Uuid;

use crate::{
    Options,
    challenges::Challenges,
    drain::DrainToken,
    index::{Index, MatchedDomain},
    limits::ConnectionPermit,
    served_domain::ServedDomain,
    telemetry,
    tls::OriginTls,
};

mod access;
mod body;
mod challenge;
mod error;
mod error_page;
mod headers;
mod redirect;
mod route;
mod stall;
mod tunnel;
mod upstream;
mod websocket;

pub use access::AccessLog;
pub(crate) use access::AccessLogger;
pub(crate) use body::{ResponseBody, UnreadBody};
pub(crate) use redirect::ListenPorts;
pub(crate) use stall::StallMonitor;

use access::{AccessRecord, UpstreamTiming};
use body::ReplayableBody;
use error::ProxyError;
use redirect::redirection;
use route::Routed;
use upstream::{Upstream, UpstreamError, UpstreamPermit, UpstreamRequestHead, UpstreamResponse};
use websocket::WebSocketHandshake;

/// How long the proxy waits for origins, and for clients.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Time limit for a connection, including name resolution.
    pub connect: Duration,
    /// How long a pooled connection stays usable after its address disappeared from the DNS
    /// response of the origin's name.
    pub stale_address: Duration,
    /// Time limit for the response headers, from the last progress of the request body on; twice as
    /// long in total if several origins of a domain do not respond.
    pub header: Duration,
    /// Time limit for the next part of the response body.
    pub idle: Duration,
    /// Minimum rate, in bytes per second, at which a client must send a request body, averaged over
    /// [`body_window`](Self::body_window) of waiting for it; 0: none. Enforced until the response
    /// headers arrive. gRPC is exempt if both sides use HTTP/2, as it requires: its bodies are
    /// conversations.
    pub body_rate_min: u32,
    /// See [`body_rate_min`](Self::body_rate_min).
    pub body_window: Duration,
    /// Time limit for a client that does not read the responses pending for it: then its connection
    /// is closed.
    pub client_send: Duration,
    /// Idle time limit of a tunnel, such as a WebSocket, in both directions.
    pub tunnel: Duration,
}

/// Proxies the requests of all domains.
#[derive(Debug)]
pub(crate) struct Proxy {
    index: Arc<Index<ServedDomain>>,
    challenges: Arc<Challenges>,
    upstream: Arc<Upstream>,
    ports: ListenPorts,
    body_bytes_max: u64,
    responses: telemetry::Responses,
    access_log: Option<Arc<AccessLogger>>,
    clock: fn() -> Timestamp,
}

/// The connection that a request arrived on.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    /// The client.
    pub(crate) peer: SocketAddr,
    /// `None` over plaintext.
    pub(crate) tls: Option<InboundTls>,
    /// Held while any part of the connection runs.
    pub(crate) token: DrainToken,
    /// Whether the client reads its responses.
    pub(crate) stall_monitor: StallMonitor,
    /// Over HTTP/1.1, whether the client still sends a body that is not read.
    pub(crate) unread: UnreadBody,
    /// Its permit among all connections.
    pub(crate) permit: Arc<ConnectionPermit>,
}

/// The TLS properties of a connection.
#[derive(Clone, Debug)]
pub(crate) struct InboundTls {
    /// The name that the certificate was selected for, and its domain.
    pub(crate) domain: MatchedDomain<'static>,
    /// The TLS version, as in `1.3`.
    pub(crate) version: &'static str,
    /// Whether an earlier session was resumed.
    pub(crate) resumed: bool,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            stale_address: Duration::from_secs(60),
            header: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            body_rate_min: 500,
            body_window: Duration::from_secs(20),
            client_send: Duration::from_secs(120),
            tunnel: Duration::from_secs(3600),
        }
    }
}

impl Proxy {
    /// Must be called on the runtime.
    pub(crate) fn new(
        index: Arc<Index<ServedDomain>>,
        challenges: Arc<Challenges>,
        options: &Options,
        origin_tls: OriginTls,
        ports: ListenPorts,
        access_log: Option<Arc<AccessLogger>>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            index,
            challenges,
            upstream: Arc::new(Upstream::new(
                options.timeouts,
                origin_tls,
                upstream::OriginProtocolPorts {
                    tls: options.origin_tls_ports.as_slice().into(),
                    h2c: options.origin_h2c_ports.as_slice().into(),
                },
                upstream::ConnectPolicy {
                    dns: options.origin_dns,
                    listeners: options.own_listeners.clone(),
                },
                options.origin_connections,
            )),
            ports,
            body_bytes_max: options.request_body_max.unwrap_or(u64::MAX),
            responses: telemetry::Responses::default(),
            access_log,
            clock,
        }
    }

    /// The stall monitor of a new connection.
    pub(crate) fn stall_monitor(&self) -> StallMonitor {
        StallMonitor::new(self.upstream.timeouts().client_send)
    }

    /// Responds to a request, always: errors become a page.
    pub(crate) async fn serve(
        &self,
        mut request: Request<Incoming>,
        inbound: &Inbound,
    ) -> Response<ResponseBody> {
        let id = Uuid::new_v4();
        let mut record = self
            .access_log
            .as_ref()
            .map(|log| AccessRecord::new(log, id, &request, inbound, (self.clock)()));
        let opens_websocket = websocket::accept_extended_connect(&mut request);
        let tls = inbound.tls.as_ref();
        let routed = route::route(&self.index, &request, tls.map(|tls| &tls.domain));
        let hsts = routed.as_ref().ok().and_then(|routed| routed.entry.hsts());
        let answer = match (
            challenge::response(&self.challenges, &request, inbound.peer.ip()).await,
            routed,
        ) {
            (Some(response), _) => Ok(response),
            (None, Ok(routed)) => {
                self.respond(request, opens_websocket, &routed, inbound, &mut record)
                    .await
            }
            (None, Err(reason)) => Err(reason.into()),
        };
        let (mut response, reason) = match answer {
            Ok(response) => (response, None),
            Err(refusal) => {
                tracing::debug!(request.id = %id, peer = %inbound.peer, ?refusal, "not proxied");
                let page = refusal.error_page();
                (page.into_response(id), Some(page.label()))
            }
        };
        headers::set_hsts(response.headers_mut(), hsts, tls.is_some());
        self.responses.count(response.status());
        if let Some(mut record) = record {
            record.set_response(response.status(), reason);
            response.body_mut().record(record);
        }
        response
    }

    async fn respond(
        &self,
        mut request: Request<Incoming>,
        opens_websocket: bool,
        routed: &Routed,
        inbound: &Inbound,
        record: &mut Option<Box<AccessRecord>>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let secure = inbound.tls.is_some();
        if let Some(redirection) = redirection(routed, &request, secure, self.ports) {
            return Ok(redirection.into_response());
        }
        let upgrade = Upgrade::of(&request, opens_websocket)?;
        // Taken before the request is split: it contains the client's side of a tunnel.
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let request_body = self.replayable_body(&parts, body, inbound)?;
        let head = upstream_request_head(
            parts,
            &routed.authority,
            upgrade.as_ref(),
            &request_body,
            inbound,
        )?;
        let mut trace = UpstreamTiming {
            wanted: record.is_some(),
            ..UpstreamTiming::default()
        };
        let answer = self
            .upstream
            .send(&head, &request_body, &routed.entry.origins, &mut trace)
            .await;
        if let Some(record) = record {
            record.traced(
                trace,
                (!request_body.is_empty()).then(|| Arc::clone(&request_body)),
            );
        }
        let UpstreamResponse {
            mut response,
            permit: upstream_permit,
            stream,
        } = answer?;
        let over_http2 = upgrade
            .as_ref()
            .and_then(|upgrade| upgrade.handshake.as_ref());
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        prepare_response(&mut response, over_http2, head.trailers)?;
        if switching {
            let client_side =
                client_side.ok_or(ProxyError::Upstream(UpstreamError::BadResponse))?;
            if over_http2.is_some() {
                *response.status_mut() = StatusCode::OK;
                *response.version_mut() = Version::HTTP_2;
            }
            return Ok(self.tunnel(
                response,
                client_side,
                upstream_permit,
                inbound,
                record.take(),
            ));
        }
        // The version belongs to each connection (RFC 9110 §6.2): an HTTP/1.0 origin does not cost
        // the client its connection, and an aborted response is visible as such.
        *response.version_mut() = Version::HTTP_11;
        let changes = &routed.entry.delivery.response_headers;
        headers::change_response_headers(response.headers_mut(), changes);
        let idle = self.upstream.timeouts().idle;
        // The end of the response ends the wait for the rest of the request body; otherwise nothing
        // would return the origin's connection to the pool.
        let rest = (!request_body.is_empty()).then_some(request_body);
        let offers = inbound.stall_monitor.pending_writes();
        Ok(response.map(|body| {
            ResponseBody::streamed(body, (upstream_permit, stream), idle, offers, rest)
        }))
    }

    fn replayable_body(
        &self,
        parts: &request::Parts,
        body: Incoming,
        inbound: &Inbound,
    ) -> Result<Arc<ReplayableBody>, ProxyError> {
        // Over HTTP/2 hyper never sends 100 Continue: there it does no harm to read.
        let gated = parts.version == Version::HTTP_11
            && !body.is_end_stream()
            && headers::expects_continue(&parts.headers);
        let connection = (parts.version, &inbound.unread);
        let body = ReplayableBody::new(body, self.body_bytes_max, gated, connection);
        if body.is_too_large() {
            return Err(ProxyError::Upstream(UpstreamError::TooLarge));
        }
        Ok(Arc::new(body))
    }

    /// Connects both sides after they switched protocols.
    fn tunnel(
        &self,
        mut response: Response<Incoming>,
        client_side: OnUpgrade,
        upstream_permit: Option<UpstreamPermit>,
        inbound: &Inbound,
        mut record: Option<Box<AccessRecord>>,
    ) -> Response<ResponseBody> {
        let origin_side = hyper::upgrade::on(&mut response);
        if let Some(record) = &mut record {
            record.set_response(response.status(), None);
        }
        let (reply, held) = ResponseBody::tunnel();
        tunnel::spawn(
            (client_side, origin_side),
            (
                self.upstream.timeouts().tunnel,
                inbound.stall_monitor.timeout(),
            ),
            record,
            inbound.token.clone(),
            (Arc::clone(&inbound.permit), upstream_permit, held),
        );
        response.map(|_| reply)
    }
}

/// Checks the head of an origin's response and removes what belongs to the connection to the
/// origin.
fn prepare_response(
    response: &mut Response<Incoming>,
    over_http2: Option<&WebSocketHandshake>,
    trailers: bool,
) -> Result<(), ProxyError> {
    let received = response.version();
    let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if let Some(handshake) = over_http2 {
        // A 2xx would open a tunnel to the client, whatever the origin means by it (RFC 8441 §5).
        let accepted = handshake.is_accepted(response.headers_mut());
        if (switching && !accepted) || response.status().is_success() {
            return Err(ProxyError::Upstream(UpstreamError::BadResponse));
        }
    }
    let keeps_upgrade = switching && over_http2.is_none();
    headers::prepare_response_headers(response.headers_mut(), received, keeps_upgrade, trailers)
        .map_err(|headers::UnsupportedFraming| {
            tracing::warn!("an origin responds with an unrequested transfer coding");
            ProxyError::Upstream(UpstreamError::BadResponse)
        })
}

/// The headers of the request to an origin.
fn upstream_request_head(
    parts: request::Parts,
    authority: &Authority,
    upgrade: Option<&Upgrade>,
    request_body: &ReplayableBody,
    inbound: &Inbound,
) -> Result<UpstreamRequestHead, ProxyError> {
    let secure = inbound.tls.is_some();
    let mut headers = parts.headers;
    // An expectation without a body means nothing (RFC 9110 §10.1.1).
    let expects = !request_body.is_empty()
        && parts.version >= Version::HTTP_11
        && headers::expects_continue(&headers);
    // Over HTTP/1.1 any client can claim this for an ordinary body.
    let conversation = parts.version == Version::HTTP_2 && headers::is_grpc(&headers);
    let trailers = headers::accepts_trailers(&headers);
    headers::prepare_request_headers(
        &mut headers,
        parts.version,
        authority.as_str(),
        inbound.peer,
        secure,
    )
    .map_err(ProxyError::Fields)?;
    headers::set_length(&mut headers, request_body.exact_length());
    if expects {
        headers::set_expect_continue(&mut headers);
    }
    if let Some(upgrade) = upgrade {
        headers::set_upgrade(&mut headers, &upgrade.protocol);
        if let Some(handshake) = &upgrade.handshake {
            handshake.set_key(&mut headers);
        }
    }
    let target = parts
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    Ok(UpstreamRequestHead {
        source: inbound.permit.source(),
        method: parts.method,
        authority: authority.clone(),
        target,
        headers,
        upgrade: upgrade.is_some(),
        trailers,
        is_grpc: conversation,
    })
}

/// A protocol upgrade that a client requests.
struct Upgrade {
    protocol: HeaderValue,
    /// The edge's own handshake, for an HTTP/2 client.
    handshake: Option<WebSocketHandshake>,
}

impl Upgrade {
    /// The upgrade that the client requests. Refused with a body: an unclear boundary between the
    /// request and the other protocol invites request smuggling.
    fn of(request: &Request<Incoming>, opens_websocket: bool) -> Result<Option<Self>, ProxyError> {
        if opens_websocket {
            let no_randomness = ProxyError::Upstream(UpstreamError::BadResponse);
            return Ok(Some(Self {
                protocol: HeaderValue::from_static("websocket"),
                handshake: Some(WebSocketHandshake::new().ok_or(no_randomness)?),
            }));
        }
        let can = request.version() == Version::HTTP_11
            && request.method() == Method::GET
            && request.body().is_end_stream();
        let protocol = can
            .then(|| headers::websocket_upgrade(request.headers()))
            .flatten();
        Ok(protocol.map(|protocol| Self {
            protocol,
            handshake: None,
        }))
    }
}
