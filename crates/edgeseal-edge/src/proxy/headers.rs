//! The fields of a proxy: what belongs to one hop goes (RFC 9110 §7.6.1), what the origin must know
//! of the client comes. Pure functions over header maps.

use std::net::SocketAddr;

use edgeseal_core::delivery::Hsts;
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{self, Entry},
    uri::Authority,
};

/// Why a request cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestHeaderError {
    /// It has been here too often.
    Loop,
    /// A value that a field cannot hold, or a framing that can be read in two ways.
    Malformed,
    /// Its body has a transfer coding besides `chunked`.
    UnsupportedTransferCoding,
}

/// An answer whose framing is not understood: a transfer coding besides `chunked`, which the edge
/// never asks for (RFC 9112 §7.4), or `chunked` more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnsupportedFraming;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The cloud's names for the client's address and scheme, which origins that were behind it read.
const ALI_CDN_REAL_IP: HeaderName = HeaderName::from_static("ali-cdn-real-ip");
const ALI_CDN_REAL_PORT: HeaderName = HeaderName::from_static("ali-cdn-real-port");
const X_CLIENT_SCHEME: HeaderName = HeaderName::from_static("x-client-scheme");

/// What is not passed on, in alphabetical order; and besides all that begins with
/// [`FORWARDED_PREFIX`]. `Expect` is the edge's to say ([`set_expect_continue`]). In the others proxies and
/// networks for delivery tell their origins who the client is (address, certificate: RFC 9440 §2.4), how it
/// came (scheme) and what it asked for before they changed it (host, target). From a client it is a
/// lie that servers and frameworks believe. The edge says it in [`SET_BY_EDGE`]. Not among them is
/// what a client may say of its own request (`X-HTTP-Method-Override`, `X-Requested-With`), and what
/// proxies that check passwords say: an origin that believes these must not be reached past such a proxy.
const STRIPPED: [&str; 41] = [
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-visitor",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "cloudfront-forwarded-proto",
    "cloudfront-viewer-address",
    "do-connecting-ip",
    "expect",
    "fastly-client-ip",
    "fastly-ssl",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "proxy-client-ip",
    "true-client-ip",
    "wl-proxy-client-ip",
    "wl-proxy-ssl",
    "x-appengine-user-ip",
    "x-arr-ssl",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-host",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-originating-ip",
    "x-proto",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];

/// Whatever begins like that is the word of a proxy; what the edge does not say, nobody has said.
const FORWARDED_PREFIX: &str = "x-forwarded";

/// What the edge itself says to origins, besides what belongs to the hop.
const SET_BY_EDGE: [HeaderName; 9] = [
    header::HOST,
    header::VIA,
    header::CONTENT_LENGTH,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    ALI_CDN_REAL_IP,
    ALI_CDN_REAL_PORT,
    X_CLIENT_SCHEME,
];

/// How this proxy calls itself in `Via`.
const PSEUDONYM: &str = "edgeseal";
/// Passes through proxies of this pseudonym before a request is taken for one that goes in circles:
/// an origin that points back at the edge.
const PASSES_MAX: usize = 8;

/// Makes a client's fields those of the request to an origin.
pub(super) fn prepare_request_headers(
    headers: &mut HeaderMap,
    version: Version,
    authority: &str,
    peer: SocketAddr,
    secure: bool,
) -> Result<(), RequestHeaderError> {
    if via_count(headers) >= PASSES_MAX {
        return Err(RequestHeaderError::Loop);
    }
    check_coding(headers)?;
    strip_hop_by_hop(headers);
    strip_forged(headers);
    if version == Version::HTTP_2 {
        join_cookies(headers)?;
    }
    let host = value(authority)?;
    headers.insert(header::HOST, host.clone());
    headers.insert(X_FORWARDED_HOST, host);
    let scheme = if secure { "https" } else { "http" };
    let scheme = HeaderValue::from_static(scheme);
    headers.insert(X_FORWARDED_PROTO, scheme.clone());
    headers.insert(X_CLIENT_SCHEME, scheme);
    let address = value(&peer.ip().to_canonical().to_string())?;
    append_forwarded_for(headers, &address)?;
    headers.insert(ALI_CDN_REAL_IP, address);
    headers.insert(ALI_CDN_REAL_PORT, HeaderValue::from(peer.port()));
    append_via(headers, version);
    Ok(())
}

/// The fields of a request that the edge makes in its own name; `None` if no field can hold the host.
pub(super) fn probe_request_headers(authority: &Authority) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, value(authority.as_str()).ok()?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(PSEUDONYM));
    headers.insert(header::VIA, HeaderValue::from_static("1.1 edgeseal"));
    Some(headers)
}

/// Makes an origin's fields those of the response to a client. `received` is the version that the
/// origin answered with; `trailers`: whether the client takes them, and so may be told which ones come
/// (RFC 9110 §6.6.2), which HTTP/1.1 needs to be told.
///
/// # Errors
/// [`UnsupportedFraming`], of a body that could not be passed on as what it is.
pub(super) fn prepare_response_headers(
    headers: &mut HeaderMap,
    received: Version,
    switching: bool,
    trailers: bool,
) -> Result<(), UnsupportedFraming> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        if !is_chunked_once(headers) {
            return Err(UnsupportedFraming);
        }
        // Chunked counts, and a length beside it is not passed on (RFC 9112 §6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    let protocol = headers.get(header::UPGRADE).cloned().filter(|_| switching);
    let announced: Vec<HeaderValue> = if trailers {
        headers.get_all(header::TRAILER).iter().cloned().collect()
    } else {
        Vec::new()
    };
    strip_hop_by_hop(headers);
    for line in announced {
        headers.append(header::TRAILER, line);
    }
    if let Some(protocol) = protocol {
        set_upgrade(headers, &protocol);
    }
    append_via(headers, received);
    Ok(())
}

/// Announces strict transport security over TLS, in place of what an origin announces. In the clear
/// nobody may announce it (RFC 6797 §7.2): there an origin's field is taken off as well.
pub(super) fn set_hsts(headers: &mut HeaderMap, hsts: Option<Hsts>, secure: bool) {
    let own = hsts.filter(|_| secure).and_then(|hsts| {
        let mut value = format!("max-age={}", hsts.max_age_s);
        if hsts.include_subdomains {
            value.push_str("; includeSubDomains");
        }
        HeaderValue::try_from(value).ok()
    });
    match own {
        Some(value) => {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
        None if secure => {}
        None => {
            headers.remove(header::STRICT_TRANSPORT_SECURITY);
        }
    }
}

/// States the length of a body whose length is known, and leaves the framing of any other to the
/// connection. What the client wrote is not passed on as it stands, so that the two framings of one
/// request cannot differ (RFC 9112 §6.3).
pub(super) fn set_length(headers: &mut HeaderMap, exact: Option<u64>) {
    let had = headers.remove(header::CONTENT_LENGTH).is_some();
    match exact {
        Some(0) if !had => {}
        Some(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {}
    }
}

/// Says that the body comes in chunks. hyper does so by itself, but for methods that seldom have a body:
/// of those it would leave the body out.
pub(super) fn set_chunked(headers: &mut HeaderMap) {
    headers.insert(
        header::TRANSFER_ENCODING,
        HeaderValue::from_static("chunked"),
    );
}

/// Asks the next hop to change to `protocol`.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

/// Whether the client waits for the word before it sends its body (RFC 9110 §10.1.1).
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    list(headers, &header::EXPECT).any(|one| one.eq_ignore_ascii_case("100-continue"))
}

/// Has the origin say whether it wants the body.
pub(super) fn set_expect_continue(headers: &mut HeaderMap) {
    headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
}

/// Whether the bodies are those of gRPC, in which both sides may be silent for long.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// Whether the client takes trailers (RFC 9110 §10.1.4).
pub(super) fn accepts_trailers(headers: &HeaderMap) -> bool {
    list(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// The protocol that an HTTP/1.1 client wants to change to (RFC 9110 §7.8), if it is one that may
/// pass: WebSocket alone. Any other, `h2c` above all, would carry requests past everything that is
/// checked here. Asking to change is free for the server to ignore, so the rest goes on as it is.
pub(super) fn websocket_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = connection_names(headers, "upgrade");
    let mut protocols = list(headers, &header::UPGRADE);
    let alone = match (protocols.next(), protocols.next()) {
        (Some(protocol), None) => protocol.eq_ignore_ascii_case("websocket"),
        _ => false,
    };
    (wanted && alone).then(|| HeaderValue::from_static("websocket"))
}

/// Whether a `Connection` field names `option`.
fn connection_names(headers: &HeaderMap, option: &str) -> bool {
    connection_options(headers).any(|named| named.eq_ignore_ascii_case(option))
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &header::CONNECTION)
}

/// The elements of a list-valued field, over all its lines (RFC 9110 §5.6.1).
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// Whether a request's body can be passed on. Any other coding than `chunked` would have to be undone
/// here, since the next hop is not told of it (RFC 9112 §6.1). Its absence at the end is refused by the
/// parser before.
fn check_coding(headers: &HeaderMap) -> Result<(), RequestHeaderError> {
    if !headers.contains_key(header::TRANSFER_ENCODING) || is_chunked_once(headers) {
        return Ok(());
    }
    let mut codings = list(headers, &header::TRANSFER_ENCODING);
    if codings.all(|coding| coding.eq_ignore_ascii_case("chunked")) {
        // Twice is forbidden (RFC 9112 §7.1), and an empty element is read in more than one way.
        Err(RequestHeaderError::Malformed)
    } else {
        Err(RequestHeaderError::UnsupportedTransferCoding)
    }
}

/// Whether the one transfer coding is `chunked`, spelled as everybody reads it.
fn is_chunked_once(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Whether a name has a byte that CGI and its like turn into the same as `-`: most do so with `_`
/// (RFC 3875 §4.1.18), some with whatever is neither letter nor digit.
fn needs_normalizing(name: &HeaderName) -> bool {
    let mut bytes = name.as_str().bytes();
    bytes.any(|byte| byte != b'-' && !byte.is_ascii_alphanumeric())
}

/// Whether a client may not say this to an origin.
fn is_stripped(name: &str) -> bool {
    let forwarded = name.starts_with(FORWARDED_PREFIX) && name != X_FORWARDED_FOR.as_str();
    forwarded || STRIPPED.binary_search(&name).is_ok()
}

/// Whether an origin that reads such bytes as `-` would take it for what the edge says, or for what
/// the edge has taken off.
fn normalizes_to_protected(name: &HeaderName) -> bool {
    if !needs_normalizing(name) {
        return false;
    }
    // Names are ASCII (RFC 9110 §5.1).
    let read_as = name
        .as_str()
        .replace(|byte: char| !byte.is_ascii_alphanumeric(), "-");
    is_stripped(&read_as)
        || SET_BY_EDGE.iter().any(|known| known.as_str() == read_as)
        || HOP_BY_HOP.iter().any(|known| known.as_str() == read_as)
}

/// Takes off what only the edge may say to the origin.
fn strip_forged(headers: &mut HeaderMap) {
    let is_claim = |name: &&HeaderName| is_stripped(name.as_str()) || normalizes_to_protected(name);
    let claims: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Looks at the names there are, and takes off only those: a message has few of them, if any.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let of_one_hop = |name: &&HeaderName| HOP_BY_HOP.contains(*name);
    let mut gone: Vec<HeaderName> = headers.keys().filter(of_one_hop).cloned().collect();
    if gone.contains(&header::CONNECTION) {
        let named = connection_options(headers)
            .filter_map(|option| option.parse().ok())
            // What says whose request this is stays, even if a client names it (RFC 9110 §7.6.1
            // allows only fields of the hop here).
            .filter(|name| !PROTECTED.contains(name));
        gone.extend(named);
    }
    for name in gone {
        headers.remove(name);
    }
}

/// What goes whether `Connection` names it or not.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    HTTP2_SETTINGS,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const PROTECTED: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION];

/// HTTP/2 may split a cookie into fields; HTTP/1.1 may not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), RequestHeaderError> {
    let crumbs: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1 {
        let joined = crumbs.join(&b"; "[..]);
        let joined = HeaderValue::from_bytes(&joined).map_err(|_| RequestHeaderError::Malformed)?;
        headers.insert(header::COOKIE, joined);
    }
    Ok(())
}

fn append_forwarded_for(
    headers: &mut HeaderMap,
    address: &HeaderValue,
) -> Result<(), RequestHeaderError> {
    let mut addresses: Vec<u8> = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        addresses.extend_from_slice(line.as_bytes());
        addresses.extend_from_slice(b", ");
    }
    addresses.extend_from_slice(address.as_bytes());
    let addresses =
        HeaderValue::from_bytes(&addresses).map_err(|_| RequestHeaderError::Malformed)?;
    headers.insert(X_FORWARDED_FOR, addresses);
    Ok(())
}

/// Names the version that the message came with (RFC 9110 §7.6.3).
fn append_via(headers: &mut HeaderMap, version: Version) {
    let value = match version {
        Version::HTTP_2 => HeaderValue::from_static("2 edgeseal"),
        Version::HTTP_10 => HeaderValue::from_static("1.0 edgeseal"),
        _ => HeaderValue::from_static("1.1 edgeseal"),
    };
    match headers.entry(header::VIA) {
        Entry::Occupied(mut lines) => lines.append(value),
        Entry::Vacant(place) => {
            place.insert(value);
        }
    }
}

fn via_count(headers: &HeaderMap) -> usize {
    list(headers, &header::VIA)
        .filter(|hop| hop.split_whitespace().nth(1) == Some(PSEUDONYM))
        .count()
}

fn value(text: &str) -> Result<HeaderValue, RequestHeaderError> {
    HeaderValue::from_str(text).map_err(|_| RequestHeaderError::Malformed)
}

#[cfg(test)]
mod tests;
