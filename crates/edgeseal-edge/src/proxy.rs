//! From a request to the origin's answer.
//!
//! A request belongs to the domain that its host names ([`route`]); it goes to the domain's origins
//! over HTTP/1.1, or over TLS and HTTP/2 ([`upstream`]), with the fields of one hop taken off and those of a proxy put on
//! ([`fields`]). Bodies stream both ways and are never held: a slow reader slows the writer. What
//! the edge answers by itself is a [`page`] or a [`redirect`]. What the domain's owner chose is looked
//! up with each request, so it counts on open connections too.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request, uri::Authority};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use uuid::Uuid;

use crate::{
    Options,
    drain::Token,
    entry::Entry,
    index::{Host, Index, Match},
    limits::ConnectionPermit,
    telemetry,
    tls::OriginTls,
};

mod access;
mod body;
mod fields;
mod flow;
mod page;
mod redirect;
mod route;
mod tunnel;
mod upstream;
mod websocket;

pub use access::AccessLog;
pub(crate) use access::Log;
pub(crate) use body::{Reply, UnreadBody};
pub(crate) use flow::Flow;
pub(crate) use redirect::Ports;

use access::{Record, Trace};
use body::Loan;
use page::Page;
use redirect::redirection;
use route::{Certified, Routed, Unrouted};
use upstream::{Answer, Exchange, Head, NoAnswer, Upstream};
use websocket::Handshake;

/// How long the proxy waits for origins, and for visitors.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection, name resolution included.
    pub connect: Duration,
    /// For a kept connection to an address that the origin's name does not have any more.
    pub left_address: Duration,
    /// For the head of the response, from the last progress of the request's body on; twice as long if
    /// several origins of a domain are silent.
    pub head: Duration,
    /// For the next part of the response's body.
    pub idle: Duration,
    /// Bytes a second that a visitor must send of a request's body, on average over
    /// [`body_window`](Self::body_window) of waiting for it; 0: any number. Asked for until the head
    /// of the response is there. Exempt is gRPC, whose bodies are conversations, where both sides speak
    /// HTTP/2, as it needs.
    pub body_rate: u32,
    /// See [`body_rate`](Self::body_rate).
    pub body_window: Duration,
    /// For a visitor who takes nothing of the answers that are there for it: then its connection is
    /// cut.
    pub stall: Duration,
    /// For a tunnel, as of WebSocket, through which nothing goes in either direction.
    pub tunnel: Duration,
}

/// Serves requests of all domains.
#[derive(Debug)]
pub(crate) struct Proxy {
    index: Arc<Index<Entry>>,
    upstream: Arc<Upstream>,
    ports: Ports,
    body_bytes_max: u64,
    responses: telemetry::Responses,
    access_log: Option<Arc<Log>>,
    clock: fn() -> Timestamp,
}

/// The connection that a request came on.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    /// The client.
    pub(crate) peer: SocketAddr,
    /// `None` without TLS.
    pub(crate) tls: Option<InboundTls>,
    /// Held while anything of the connection runs.
    pub(crate) token: Token,
    /// What the client takes.
    pub(crate) flow: Flow,
    /// Over HTTP/1.1, what it sends for nobody.
    pub(crate) unread: UnreadBody,
    /// Its place among all connections.
    pub(crate) permit: Arc<ConnectionPermit>,
}

/// The TLS of a connection.
#[derive(Clone, Debug)]
pub(crate) struct InboundTls {
    /// The name that the certificate was chosen for.
    pub(crate) host: Host<'static>,
    /// How its domain was found.
    pub(crate) found: Match,
    /// The number of its domain.
    pub(crate) domain: i64,
    /// The version, as in `1.3`.
    pub(crate) version: &'static str,
    /// Whether an earlier session goes on.
    pub(crate) resumed: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            left_address: Duration::from_secs(60),
            head: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            body_rate: 500,
            body_window: Duration::from_secs(20),
            stall: Duration::from_secs(120),
            tunnel: Duration::from_secs(3600),
        }
    }
}

impl Proxy {
    /// Must be called on the runtime.
    pub(crate) fn new(
        index: Arc<Index<Entry>>,
        options: &Options,
        origin_tls: OriginTls,
        ports: Ports,
        access_log: Option<Arc<Log>>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            index,
            upstream: Arc::new(Upstream::new(
                options.patience,
                origin_tls,
                upstream::Ports {
                    tls: options.origin_tls_ports.as_slice().into(),
                    h2c: options.origin_h2c_ports.as_slice().into(),
                },
                upstream::Rules {
                    dns: options.origin_dns,
                    listeners: options.listeners.clone(),
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

    /// For a new connection.
    pub(crate) fn flow(&self) -> Flow {
        Flow::new(self.upstream.patience().stall)
    }

    /// Answers a request, always: what goes wrong is a page.
    pub(crate) async fn serve(
        &self,
        mut request: Request<Incoming>,
        inbound: &Inbound,
    ) -> Response<Reply> {
        let id = Uuid::new_v4();
        let mut record = self
            .access_log
            .as_ref()
            .map(|log| Record::new(log, id, &request, inbound, (self.clock)()));
        let opens_websocket = websocket::is_opened(&mut request);
        let tls = inbound.tls.as_ref();
        let certified = tls.map(|tls| Certified {
            host: &tls.host,
            found: tls.found,
            domain: tls.domain,
        });
        let routed = route::route(&self.index, &request, certified);
        let hsts = routed.as_ref().ok().and_then(|routed| routed.entry.hsts());
        let answer = match routed {
            Ok(routed) => {
                self.answer(request, opens_websocket, &routed, inbound, &mut record)
                    .await
            }
            Err(why) => Err(why.into()),
        };
        let (mut response, reason) = match answer {
            Ok(response) => (response, None),
            Err(refusal) => {
                tracing::debug!(request.id = %id, peer = %inbound.peer, ?refusal, "not proxied");
                let page = refusal.page();
                (page.into_response(id), Some(page.label()))
            }
        };
        fields::set_hsts(response.headers_mut(), hsts, tls.is_some());
        self.responses.count(response.status());
        if let Some(mut record) = record {
            record.answered(response.status(), reason);
            response.body_mut().record(record);
        }
        response
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        opens_websocket: bool,
        routed: &Routed,
        inbound: &Inbound,
        record: &mut Option<Box<Record>>,
    ) -> Result<Response<Reply>, Refusal> {
        let secure = inbound.tls.is_some();
        if let Some(redirection) = redirection(routed, &request, secure, self.ports) {
            return Ok(redirection.into_response());
        }
        let upgrade = Upgrade::of(&request, opens_websocket)?;
        // Asked for before the request is taken apart: it holds the client's side of a tunnel.
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        // Over HTTP/2 hyper never says 100: there it does no harm to read.
        let gated = parts.version == Version::HTTP_11
            && !body.is_end_stream()
            && fields::expects_continue(&parts.headers);
        let connection = (parts.version, &inbound.unread);
        let loan = Arc::new(Loan::new(body, self.body_bytes_max, gated, connection));
        if loan.is_too_large() {
            return Err(Refusal::NoAnswer(NoAnswer::TooLarge));
        }
        let head = head(parts, &routed.authority, upgrade.as_ref(), &loan, inbound)?;
        let mut trace = Trace {
            wanted: record.is_some(),
            ..Trace::default()
        };
        let answer = self
            .upstream
            .send(&head, &loan, &routed.entry.origins, &mut trace)
            .await;
        if let Some(record) = record {
            record.traced(trace, (!loan.is_empty()).then(|| Arc::clone(&loan)));
        }
        let Answer {
            mut response,
            exchange,
            stream,
        } = answer?;
        let received = response.version();
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let over_http2 = upgrade
            .as_ref()
            .and_then(|upgrade| upgrade.handshake.as_ref());
        if let Some(handshake) = over_http2 {
            // A success would be a tunnel to the visitor, whatever the origin means by it (RFC 8441 §5).
            let accepted = handshake.is_accepted(response.headers_mut());
            if (switching && !accepted) || response.status().is_success() {
                return Err(Refusal::NoAnswer(NoAnswer::Broken));
            }
        }
        let says_so = switching && over_http2.is_none();
        let framing = fields::to_client(response.headers_mut(), received, says_so, head.trailers);
        if let Err(fields::UnknownFraming) = framing {
            tracing::warn!("an origin answers with a transfer coding that nobody asked for");
            return Err(Refusal::NoAnswer(NoAnswer::Broken));
        }
        if switching {
            let client_side = client_side.ok_or(Refusal::NoAnswer(NoAnswer::Broken))?;
            if over_http2.is_some() {
                *response.status_mut() = StatusCode::OK;
                *response.version_mut() = Version::HTTP_2;
            }
            return Ok(self.tunnel(response, client_side, exchange, inbound, record.take()));
        }
        // The version is each connection's own (RFC 9110 §6.2): an origin that speaks HTTP/1.0 costs no
        // visitor its connection, and an answer that breaks off is seen to do so.
        *response.version_mut() = Version::HTTP_11;
        let idle = self.upstream.patience().idle;
        // The end of the answer ends the wait for the rest of the request: nobody would else give the
        // origin's connection back.
        let rest = (!loan.is_empty()).then_some(loan);
        let offers = inbound.flow.offers();
        Ok(response.map(|body| Reply::streamed(body, (exchange, stream), idle, offers, rest)))
    }

    /// Joins both sides, which have changed the protocol.
    fn tunnel(
        &self,
        mut response: Response<Incoming>,
        client_side: OnUpgrade,
        exchange: Option<Exchange>,
        inbound: &Inbound,
        mut record: Option<Box<Record>>,
    ) -> Response<Reply> {
        let origin_side = hyper::upgrade::on(&mut response);
        if let Some(record) = &mut record {
            record.answered(response.status(), None);
        }
        let (reply, held) = Reply::tunnel();
        tunnel::spawn(
            (client_side, origin_side),
            (self.upstream.patience().tunnel, inbound.flow.limit()),
            record,
            inbound.token.clone(),
            (Arc::clone(&inbound.permit), exchange, held),
        );
        response.map(|_| reply)
    }
}

/// The head of the request to an origin.
fn head(
    parts: request::Parts,
    authority: &Authority,
    upgrade: Option<&Upgrade>,
    loan: &Loan,
    inbound: &Inbound,
) -> Result<Head, Refusal> {
    let secure = inbound.tls.is_some();
    let mut headers = parts.headers;
    // An expectation of a body that is not there means nothing (RFC 9110 §10.1.1).
    let expects =
        !loan.is_empty() && parts.version >= Version::HTTP_11 && fields::expects_continue(&headers);
    // Over HTTP/1.1 whoever likes can say so of an ordinary body.
    let conversation = parts.version == Version::HTTP_2 && fields::is_grpc(&headers);
    let trailers = fields::takes_trailers(&headers);
    fields::to_origin(
        &mut headers,
        parts.version,
        authority.as_str(),
        inbound.peer,
        secure,
    )
    .map_err(Refusal::Fields)?;
    fields::set_length(&mut headers, loan.exact_length());
    if expects {
        fields::set_expectation(&mut headers);
    }
    if let Some(upgrade) = upgrade {
        fields::set_upgrade(&mut headers, &upgrade.protocol);
        if let Some(handshake) = &upgrade.handshake {
            handshake.ask(&mut headers);
        }
    }
    let target = parts
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    Ok(Head {
        source: inbound.permit.source(),
        method: parts.method,
        authority: authority.clone(),
        target,
        headers,
        upgrade: upgrade.is_some(),
        trailers,
        conversation,
    })
}

/// A change of the protocol that a client wants.
struct Upgrade {
    protocol: HeaderValue,
    /// The edge's own, for a client of HTTP/2.
    handshake: Option<Handshake>,
}

impl Upgrade {
    /// What the client wants. One that sends a body as well is not in earnest: where its request ends and
    /// the other protocol begins is what attackers play with.
    fn of(request: &Request<Incoming>, opens_websocket: bool) -> Result<Option<Self>, Refusal> {
        if opens_websocket {
            let no_randomness = Refusal::NoAnswer(NoAnswer::Broken);
            return Ok(Some(Self {
                protocol: HeaderValue::from_static("websocket"),
                handshake: Some(Handshake::new().ok_or(no_randomness)?),
            }));
        }
        let can = request.version() == Version::HTTP_11
            && request.method() == Method::GET
            && request.body().is_end_stream();
        let protocol = can.then(|| fields::websocket(request.headers())).flatten();
        Ok(protocol.map(|protocol| Self {
            protocol,
            handshake: None,
        }))
    }
}

/// Why the edge answers by itself.
#[derive(Debug)]
enum Refusal {
    Unrouted(Unrouted),
    Fields(fields::Unforwardable),
    NoAnswer(NoAnswer),
}

impl From<Unrouted> for Refusal {
    fn from(why: Unrouted) -> Self {
        Self::Unrouted(why)
    }
}

impl From<NoAnswer> for Refusal {
    fn from(why: NoAnswer) -> Self {
        Self::NoAnswer(why)
    }
}

impl Refusal {
    const fn page(&self) -> Page {
        match self {
            Self::Unrouted(Unrouted::Malformed) => Page::BadRequest,
            Self::Unrouted(Unrouted::Method) => Page::MethodNotAllowed,
            Self::Unrouted(Unrouted::Misdirected) => Page::Misdirected,
            Self::Unrouted(Unrouted::UnknownHost) => Page::UnknownHost,
            Self::Unrouted(Unrouted::Stopped) => Page::Stopped,
            Self::Fields(fields::Unforwardable::Loop) => Page::Loop,
            Self::Fields(fields::Unforwardable::Malformed) => Page::BadRequest,
            Self::Fields(fields::Unforwardable::Coding) => Page::UnknownCoding,
            Self::NoAnswer(NoAnswer::NoOrigin) => Page::NoOrigin,
            Self::NoAnswer(NoAnswer::NotAllowed) => Page::OriginNotAllowed,
            Self::NoAnswer(NoAnswer::Untrusted) => Page::Untrusted,
            Self::NoAnswer(NoAnswer::Busy) => Page::Busy,
            Self::NoAnswer(NoAnswer::Unreachable | NoAnswer::Broken) => Page::BadGateway,
            Self::NoAnswer(NoAnswer::ConnectTimedOut | NoAnswer::HeadTimedOut) => {
                Page::GatewayTimeout
            }
            Self::NoAnswer(NoAnswer::ClientTooSlow) => Page::RequestTimeout,
            Self::NoAnswer(NoAnswer::TooLarge) => Page::TooLarge,
            Self::NoAnswer(NoAnswer::LengthRequired) => Page::LengthRequired,
            Self::NoAnswer(NoAnswer::ClientBroke) => Page::BrokenBody,
        }
    }
}
