//! Header rules of a proxy: hop-by-hop headers are removed (RFC 9110 §7.6.1), headers that tell the
//! origin about the client are added. Pure functions over header maps.

use std::net::SocketAddr;

use edgeseal_core::delivery::{HeaderChange, Hsts, ResponseHeaders};
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{self, Entry},
    uri::Authority,
};

/// Why a request cannot be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestHeaderError {
    /// It has passed this proxy too often.
    Loop,
    /// A value that is not allowed in a header, or an ambiguous framing.
    Malformed,
    /// Its body has a transfer coding other than `chunked`.
    UnsupportedTransferCoding,
}

/// A response whose framing is not supported: a transfer coding other than `chunked`, which the
/// edge never requests (RFC 9112 §7.4), or `chunked` more than once.
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

/// Headers that are not forwarded, in alphabetical order; in addition, all with
/// [`FORWARDED_PREFIX`]. The edge sets `Expect` itself ([`set_expect_continue`]). With the others,
/// proxies and CDNs tell their origins who the client is (address, certificate: RFC 9440 §2.4), how
/// it connected (scheme) and what it requested before rewriting (host, target). From a client they
/// are forged, and servers and frameworks believe them. The edge reports these facts in
/// [`SET_BY_EDGE`]. Not included are headers about the client's own request
/// (`X-HTTP-Method-Override`, `X-Requested-With`), and those of authenticating proxies: an origin
/// that believes them must not be reachable past such a proxy.
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

/// Headers with this prefix are set by proxies; one that the edge does not set is forged.
const FORWARDED_PREFIX: &str = "x-forwarded";

/// Headers that the edge itself sends to origins, besides hop-by-hop headers.
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

/// The pseudonym of this proxy in `Via`.
const PSEUDONYM: &str = "edgeseal";
/// How often a request may pass proxies with this pseudonym before it counts as a loop: an origin
/// that points back at the edge.
const PASSES_MAX: usize = 8;

/// Turns the headers of a client's request into those of the request to an origin.
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

/// The headers of the edge's own request; `None` if the host is not a valid header value.
pub(super) fn probe_request_headers(authority: &Authority) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, value(authority.as_str()).ok()?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(PSEUDONYM));
    headers.insert(header::VIA, HeaderValue::from_static("1.1 edgeseal"));
    Some(headers)
}

/// Turns the headers of an origin's response into those of the response to a client. `received` is
/// the HTTP version of the origin's response; `trailers`: whether the client accepts trailers, so
/// that they may be announced (RFC 9110 §6.6.2), which HTTP/1.1 requires.
///
/// # Errors
/// [`UnsupportedFraming`], for a body that could not be forwarded unchanged.
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
        // Chunked takes precedence, and a length beside it is not forwarded (RFC 9112 §6.3).
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

/// Sends HSTS over TLS, in place of the origin's. Over plaintext it must not be sent (RFC 6797
/// §7.2): there the origin's header is removed as well.
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

/// Applies the owner's changes to the headers of an origin's response. Changes that are not valid
/// in HTTP do nothing: they are checked where they are set.
pub(super) fn change_response_headers(headers: &mut HeaderMap, changes: &ResponseHeaders) {
    for header in changes.iter() {
        let Ok(name) = HeaderName::try_from(&header.name) else {
            continue;
        };
        match &header.change {
            HeaderChange::Remove => {
                headers.remove(name);
            }
            HeaderChange::Set(text) => {
                if let Ok(value) = value(text) {
                    headers.insert(name, value);
                }
            }
            HeaderChange::Append(text) => {
                if let Ok(value) = value(text) {
                    headers.append(name, value);
                }
            }
        }
    }
}

/// Sets `Content-Length` if the length of the body is known, and leaves the framing of any other
/// body to the connection. The client's framing is not forwarded, so that the two framings of one
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

/// Sets `Transfer-Encoding: chunked`. hyper does so by itself, except for methods that seldom have
/// a body, for which it would omit the body.
pub(super) fn set_chunked(headers: &mut HeaderMap) {
    headers.insert(
        header::TRANSFER_ENCODING,
        HeaderValue::from_static("chunked"),
    );
}

/// Asks the next hop to switch to `protocol`.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

/// Whether the client waits for 100 Continue before it sends its body (RFC 9110 §10.1.1).
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    list(headers, &header::EXPECT).any(|one| one.eq_ignore_ascii_case("100-continue"))
}

/// Asks the origin whether it wants the body.
pub(super) fn set_expect_continue(headers: &mut HeaderMap) {
    headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
}

/// Whether this is gRPC, where both sides may pause for long.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// Whether the client accepts trailers (RFC 9110 §10.1.4).
pub(super) fn accepts_trailers(headers: &HeaderMap) -> bool {
    list(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// The protocol that an HTTP/1.1 client requests an upgrade to (RFC 9110 §7.8), if it is allowed:
/// only WebSocket. Any other, `h2c` above all, would carry requests past every check here. A server
/// may ignore an upgrade request, so otherwise the request is served as it is.
pub(super) fn websocket_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = connection_names(headers, "upgrade");
    let mut protocols = list(headers, &header::UPGRADE);
    let alone = match (protocols.next(), protocols.next()) {
        (Some(protocol), None) => protocol.eq_ignore_ascii_case("websocket"),
        _ => false,
    };
    (wanted && alone).then(|| HeaderValue::from_static("websocket"))
}

/// Whether a `Connection` header names `option`.
fn connection_names(headers: &HeaderMap, option: &str) -> bool {
    connection_options(headers).any(|named| named.eq_ignore_ascii_case(option))
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &header::CONNECTION)
}

/// The elements of a list-valued header, over all its lines (RFC 9110 §5.6.1).
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// Whether a request body can be forwarded. Any coding other than `chunked` would have to be
/// decoded here, because the next hop does not learn of it (RFC 9112 §6.1). The parser already
/// refuses a list that does not end with `chunked`.
fn check_coding(headers: &HeaderMap) -> Result<(), RequestHeaderError> {
    if !headers.contains_key(header::TRANSFER_ENCODING) || is_chunked_once(headers) {
        return Ok(());
    }
    let mut codings = list(headers, &header::TRANSFER_ENCODING);
    if codings.all(|coding| coding.eq_ignore_ascii_case("chunked")) {
        // Twice is forbidden (RFC 9112 §7.1), and an empty element is ambiguous.
        Err(RequestHeaderError::Malformed)
    } else {
        Err(RequestHeaderError::UnsupportedTransferCoding)
    }
}

/// Whether the only transfer coding is `chunked`, in its unambiguous spelling.
fn is_chunked_once(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Whether a name has a byte that CGI and similar interfaces map to the same as `-`: most do so
/// with `_` (RFC 3875 §4.1.18), some with everything that is neither letter nor digit.
fn needs_normalizing(name: &HeaderName) -> bool {
    let mut bytes = name.as_str().bytes();
    bytes.any(|byte| byte != b'-' && !byte.is_ascii_alphanumeric())
}

/// Whether a client may not send this header to an origin.
fn is_stripped(name: &str) -> bool {
    let forwarded = name.starts_with(FORWARDED_PREFIX) && name != X_FORWARDED_FOR.as_str();
    forwarded || STRIPPED.binary_search(&name).is_ok()
}

/// Whether an origin that maps such bytes to `-` would confuse it with a header that the edge sets
/// or removes.
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

/// Removes headers that only the edge may send to the origin.
fn strip_forged(headers: &mut HeaderMap) {
    let is_claim = |name: &&HeaderName| is_stripped(name.as_str()) || normalizes_to_protected(name);
    let claims: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Iterates over the names present, and removes only those: a message has few of them, if any.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let of_one_hop = |name: &&HeaderName| HOP_BY_HOP.contains(*name);
    let mut gone: Vec<HeaderName> = headers.keys().filter(of_one_hop).cloned().collect();
    if gone.contains(&header::CONNECTION) {
        let named = connection_options(headers)
            .filter_map(|option| option.parse().ok())
            // Headers that say whose request this is stay, even if a client names them in
            // `Connection` (RFC 9110 §7.6.1 allows only hop-by-hop headers there).
            .filter(|name| !PROTECTED.contains(name));
        gone.extend(named);
    }
    for name in gone {
        headers.remove(name);
    }
}

/// Removed whether `Connection` names them or not.
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

/// HTTP/2 may split a cookie into several headers; HTTP/1.1 may not (RFC 9113 §8.2.3).
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

/// Appends the version that the message arrived with (RFC 9110 §7.6.3).
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
