//! Which requests are redirected to the other scheme: a pure function of the domain, the request
//! headers and the edge's own ports.
//!
//! A redirect that would lead nowhere, or in a loop, is not made; the request is served as if none
//! were configured:
//! - to HTTPS only while HTTPS is on for the domain;
//! - to HTTP only if the edge listens there, and not while HSTS is sent: browsers that know it
//!   would return to HTTPS, for ever;
//! - never for `/.well-known/acme-challenge/`, so that a certificate can be obtained at all (RFC
//!   8555 §8.3).
//!
//! GET and HEAD get 301. Other methods get 308, because clients turn them into GET after a 301 (RFC
//! 9110 §15.4.2).

use bytes::Bytes;
use edgeseal_core::{challenge::HTTP_01_PATH, delivery::Redirect};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::{ResponseBody, route::Routed};

/// The ports that the edge listens on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenPorts {
    pub(crate) https: u16,
    pub(crate) http: Option<u16>,
}

/// The target of a redirect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redirection {
    status: StatusCode,
    location: HeaderValue,
}

/// One end of a redirect.
#[derive(Clone, Copy)]
struct End {
    scheme: &'static str,
    default_port: u16,
    own_port: u16,
}

/// The redirect for this request, if any; `secure`: whether it arrived over TLS.
pub(super) fn redirection<B>(
    routed: &Routed,
    request: &Request<B>,
    secure: bool,
    ports: ListenPorts,
) -> Option<Redirection> {
    let entry = &routed.entry;
    let wanted = match entry.delivery.redirect? {
        Redirect::ToHttps => !secure && entry.https.is_on(),
        // A max-age of zero revokes an earlier HSTS header (RFC 6797 §6.1.1).
        Redirect::ToHttp => secure && entry.hsts().is_none_or(|hsts| hsts.max_age_s == 0),
    };
    let path = request.uri().path();
    // The asterisk of OPTIONS is not part of any URI.
    if !wanted || path == "*" || path.starts_with(HTTP_01_PATH) {
        return None;
    }
    let https = End {
        scheme: "https",
        default_port: 443,
        own_port: ports.https,
    };
    let http = End {
        scheme: "http",
        default_port: 80,
        own_port: ports.http?,
    };
    let (from, to) = if secure { (https, http) } else { (http, https) };
    let port = port(routed.authority.port_u16(), from, to);
    let mut location = format!("{}://{}", to.scheme, routed.authority.host());
    if let Some(port) = port {
        location.push_str(&format!(":{port}"));
    }
    push(&mut location, path);
    if let Some(query) = request.uri().query() {
        location.push('?');
        push(&mut location, query);
    }
    let status = match *request.method() {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    // It is all visible ASCII by now.
    let location = HeaderValue::try_from(location).ok()?;
    Some(Redirection { status, location })
}

/// The port to name, if one must be named. A client that connected to the edge's own port is sent
/// to the edge's own other port. One that used another port came through a port mapping, behind
/// which the other scheme is assumed to be at its default port.
fn port(asked: Option<u16>, from: End, to: End) -> Option<u16> {
    let direct = asked.unwrap_or(from.default_port) == from.own_port;
    (direct && to.own_port != to.default_port).then_some(to.own_port)
}

/// Appends a path or query as sent, with bytes escaped that are not allowed in URIs (RFC 3986
/// §2.1).
fn push(location: &mut String, sent: &str) {
    for byte in sent.bytes() {
        if byte.is_ascii_graphic() {
            location.push(char::from(byte));
        } else {
            location.push_str(&format!("%{byte:02X}"));
        }
    }
}

impl Redirection {
    /// The response. It must not be cached: the owner's next setting applies from the next request
    /// on, and two cached redirects in opposite directions would loop for ever.
    pub(super) fn into_response(self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::fixed(Bytes::new()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, self.location);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests;
