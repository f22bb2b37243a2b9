//! WebSocket over HTTP/2 (RFC 8441), translated to the opening handshake of HTTP/1.1 (RFC 6455 §4):
//! a CONNECT whose `:protocol` is `websocket` becomes an upgrade request, and `101` becomes `200`.
//! The keys of that handshake are used between the edge and the origin only (RFC 8441 §5).

use aws_lc_rs::{digest, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use hyper::ext::Protocol;

/// The edge's handshake with an origin.
#[derive(Debug)]
pub(super) struct WebSocketHandshake {
    key: String,
}

const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Turns such a request into the GET of HTTP/1.1. Returns whether it was one.
pub(super) fn accept_extended_connect<B>(request: &mut Request<B>) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    let opened = request.version() == Version::HTTP_2
        && *request.method() == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
    if opened {
        *request.method_mut() = Method::GET;
    }
    opened
}

impl WebSocketHandshake {
    /// A new one; `None` if there is no randomness.
    pub(super) fn new() -> Option<Self> {
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).ok()?;
        Some(Self {
            key: STANDARD.encode(nonce),
        })
    }

    /// Sets the key of the request, in place of any that the client sent.
    pub(super) fn set_key(&self, headers: &mut HeaderMap) {
        if let Ok(key) = HeaderValue::from_str(&self.key) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
    }

    /// Removes the origin's accept value from the headers. Returns whether it is correct (RFC 6455
    /// §4.1): otherwise the response is not from a WebSocket server, or not to this request.
    pub(super) fn is_accepted(&self, headers: &mut HeaderMap) -> bool {
        let mut accepted = headers.get_all(ACCEPT).iter();
        let right = match (accepted.next(), accepted.next()) {
            (Some(accept), None) => accept.as_bytes() == self.accept().as_bytes(),
            _ => false,
        };
        headers.remove(ACCEPT);
        right
    }

    fn accept(&self) -> String {
        let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(self.key.as_bytes());
        hash.update(GUID);
        STANDARD.encode(hash.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.3.
    #[test]
    fn the_accept_value_is_checked_and_removed() {
        let handshake = WebSocketHandshake {
            key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        };
        const RIGHT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let table: [(&[&'static str], bool); 6] = [
            (&[RIGHT], true),
            (&[], false),
            (&[RIGHT, RIGHT], false),
            (&["S3pPLMBiTxaQ9kYGzzhZRbK+xOo="], false),
            (&["dGhlIHNhbXBsZSBub25jZQ=="], false),
            (&[""], false),
        ];
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            assert_eq!(handshake.is_accepted(&mut headers), expected, "{lines:?}");
            assert!(headers.is_empty(), "{lines:?}");
        }
    }

    #[test]
    fn each_handshake_has_its_own_single_key() {
        let mut keys = Vec::new();
        for _ in 0..2 {
            let mut headers = HeaderMap::new();
            headers.append(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("x"));
            headers.append(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("y"));
            WebSocketHandshake::new().unwrap().set_key(&mut headers);
            let all: Vec<_> = headers.get_all(header::SEC_WEBSOCKET_KEY).iter().collect();
            assert_eq!(all.len(), 1);
            assert_eq!(STANDARD.decode(all[0].as_bytes()).unwrap().len(), 16);
            keys.push(all[0].clone());
        }
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn only_an_http2_connect_for_websocket_is_translated() {
        let table = [
            (Method::CONNECT, Version::HTTP_2, Some("websocket"), true),
            (Method::CONNECT, Version::HTTP_2, Some("connect-udp"), false),
            (Method::CONNECT, Version::HTTP_2, Some(""), false),
            (Method::CONNECT, Version::HTTP_2, None, false),
            (Method::CONNECT, Version::HTTP_11, Some("websocket"), false),
            (Method::GET, Version::HTTP_2, Some("websocket"), false),
        ];
        for (method, version, protocol, expected) in table {
            let mut request = Request::builder().method(&method).version(version);
            if let Some(protocol) = protocol {
                request = request.extension(Protocol::from_static(protocol));
            }
            let mut request = request.body(()).unwrap();
            assert_eq!(
                accept_extended_connect(&mut request),
                expected,
                "{method} {protocol:?}"
            );
            let seen = if expected { Method::GET } else { method };
            assert_eq!(*request.method(), seen, "{protocol:?}");
        }
    }
}
