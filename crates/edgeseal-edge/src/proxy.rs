//! From a request to the origin's answer.
//!
//! A request belongs to the domain that its host names ([`route`]); it goes to the domain's origins
//! over HTTP/1.1, or over TLS and HTTP/2 ([`upstream`]), with the fields of one hop taken off and those of a proxy put on
//! ([`fields`]). Bodies stream both ways and are never held: a slow reader slows the writer. What
//! the edge answers by itself is a [`page`] or a [`redirect`]. What the domain's owner chose is looked
//! up with each request, so it counts on open connections too.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, Version, request, uri::Authority};
use http_body::Body as _;
use hyper::body::Incoming;
use uuid::Uuid;

use crate::{
    Options,
    drain::Token,
    entry::Entry,
    index::{Host, Index, Match},
    telemetry,
    tls::OriginTls,
};

mod body;
mod fields;
mod page;
mod redirect;
mod route;
mod tunnel;
mod upstream;

pub(crate) use body::Reply;
pub(crate) use redirect::Ports;

use body::Loan;
use page::Page;
use redirect::redirection;
use route::{Routed, Unrouted};
use upstream::{Head, NoAnswer, Upstream};

/// How long the proxy waits for an origin.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection, name resolution included.
    pub connect: Duration,
    /// For the head of the response, from the last progress of the request's body on.
    pub head: Duration,
    /// For the next part of the response's body.
    pub idle: Duration,
}

/// Serves requests of all domains.
#[derive(Debug)]
pub(crate) struct Proxy {
    index: Arc<Index<Entry>>,
    upstream: Upstream,
    ports: Ports,
    body_bytes_max: u64,
    responses: telemetry::Responses,
}

/// The connection that a request came on.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    /// The client.
    pub(crate) peer: SocketAddr,
    /// The name that the connection's certificate was chosen for, and how its domain was found;
    /// `None` without TLS.
    pub(crate) tls: Option<(Host<'static>, Match)>,
    /// Held while anything of the connection runs.
    pub(crate) token: Token,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(60),
            idle: Duration::from_secs(300),
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
    ) -> Self {
        Self {
            index,
            upstream: Upstream::new(
                options.patience,
                origin_tls,
                &options.origin_tls_ports,
                options.origin_connections,
            ),
            ports,
            body_bytes_max: options.request_body_max.unwrap_or(u64::MAX),
            responses: telemetry::Responses::default(),
        }
    }

    /// Answers a request, always: what goes wrong is a page.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
        inbound: &Inbound,
    ) -> Response<Reply> {
        let id = Uuid::new_v4();
        let tls = inbound.tls.as_ref().map(|(host, found)| (host, *found));
        let routed = route::route(&self.index, &request, tls);
        let hsts = routed.as_ref().ok().and_then(|routed| routed.entry.hsts());
        let answer = match routed {
            Ok(routed) => self.answer(request, &routed, inbound).await,
            Err(why) => Err(why.into()),
        };
        let mut response = match answer {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(request.id = %id, peer = %inbound.peer, ?refusal, "not proxied");
                refusal.page().into_response(id)
            }
        };
        fields::set_hsts(response.headers_mut(), hsts, tls.is_some());
        self.responses.count(response.status());
        response
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        routed: &Routed,
        inbound: &Inbound,
    ) -> Result<Response<Reply>, Refusal> {
        let secure = inbound.tls.is_some();
        if let Some(redirection) = redirection(routed, &request, secure, self.ports) {
            return Ok(redirection.into_response());
        }
        let upgrade = upgrade_of(&request);
        // Asked for before the request is taken apart: it holds the client's side of a tunnel.
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let loan = Arc::new(Loan::new(body, self.body_bytes_max));
        if loan.is_too_large() {
            return Err(Refusal::NoAnswer(NoAnswer::TooLarge));
        }
        let head = head(parts, &routed.authority, upgrade.as_ref(), &loan, inbound)?;
        let mut response = self
            .upstream
            .send(&head, &loan, &routed.entry.origins)
            .await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let client_side = client_side.ok_or(Refusal::NoAnswer(NoAnswer::Broken))?;
            let origin_side = hyper::upgrade::on(&mut response);
            tunnel::spawn(client_side, origin_side, inbound.token.clone());
            fields::to_client(response.headers_mut(), Version::HTTP_11, true);
            return Ok(response.map(|_| Reply::empty()));
        }
        let version = response.version();
        fields::to_client(response.headers_mut(), version, false);
        let idle = self.upstream.patience().idle;
        Ok(response.map(|body| Reply::streamed(body, idle)))
    }
}

/// The head of the request to an origin.
fn head(
    parts: request::Parts,
    authority: &Authority,
    upgrade: Option<&http::HeaderValue>,
    loan: &Loan,
    inbound: &Inbound,
) -> Result<Head, Refusal> {
    let secure = inbound.tls.is_some();
    let mut headers = parts.headers;
    let trailers = fields::takes_trailers(&headers);
    fields::to_origin(
        &mut headers,
        parts.version,
        authority.as_str(),
        inbound.peer.ip(),
        secure,
    )
    .map_err(Refusal::Fields)?;
    fields::set_length(&mut headers, loan.exact_length());
    if let Some(protocol) = upgrade {
        fields::set_upgrade(&mut headers, protocol);
    }
    let target = parts
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    Ok(Head {
        method: parts.method,
        authority: authority.clone(),
        target,
        headers,
        upgrade: upgrade.is_some(),
        trailers,
    })
}

/// The protocol that a client wants to change to. One that sends a body as well is not in earnest:
/// where its request ends and the other protocol begins is what attackers play with.
fn upgrade_of(request: &Request<Incoming>) -> Option<http::HeaderValue> {
    let can = request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.body().is_end_stream();
    can.then(|| fields::websocket(request.headers())).flatten()
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
            Self::NoAnswer(NoAnswer::Untrusted) => Page::Untrusted,
            Self::NoAnswer(NoAnswer::Busy) => Page::Busy,
            Self::NoAnswer(NoAnswer::Unreachable | NoAnswer::Broken) => Page::BadGateway,
            Self::NoAnswer(NoAnswer::ConnectTimedOut | NoAnswer::HeadTimedOut) => {
                Page::GatewayTimeout
            }
            Self::NoAnswer(NoAnswer::ClientTooSlow) => Page::RequestTimeout,
            Self::NoAnswer(NoAnswer::TooLarge) => Page::TooLarge,
            Self::NoAnswer(NoAnswer::ClientBroke) => Page::BrokenBody,
        }
    }
}
