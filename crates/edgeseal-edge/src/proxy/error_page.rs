//! What the edge answers by itself: small pages that say what is wrong and nothing of the inside.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use uuid::Uuid;

use super::ResponseBody;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPage {
    BadRequest,
    MethodNotAllowed,
    RequestTimeout,
    UnsupportedTransferCoding,
    TooLarge,
    LengthRequired,
    BrokenBody,
    Misdirected,
    UnknownHost,
    Stopped,
    Loop,
    NoOrigin,
    OriginNotAllowed,
    TlsUntrusted,
    ConnectionLimit,
    BadGateway,
    GatewayTimeout,
}

impl ErrorPage {
    const fn content(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                "The request is malformed: in its host, its target or the framing of its body.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "This method is not passed on to origins.",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "The rest of the request did not come in time.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request's body is longer than is allowed here.",
            ),
            Self::LengthRequired => (
                StatusCode::LENGTH_REQUIRED,
                "The domain's origin needs the length of the request's body before it.",
            ),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "The request's body broke off."),
            Self::UnsupportedTransferCoding => (
                StatusCode::NOT_IMPLEMENTED,
                "The request's body has a transfer coding other than chunked.",
            ),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "This connection was opened for another domain. Open a new one for this host.",
            ),
            Self::UnknownHost => (
                StatusCode::NOT_FOUND,
                "No domain of this name is served here.",
            ),
            Self::Stopped => (StatusCode::FORBIDDEN, "This domain is stopped."),
            Self::Loop => (
                StatusCode::LOOP_DETECTED,
                "The request comes back to where it was: the domain's origin leads here.",
            ),
            Self::NoOrigin => (
                StatusCode::BAD_GATEWAY,
                "This domain has no origin to answer for it.",
            ),
            Self::OriginNotAllowed => (
                StatusCode::BAD_GATEWAY,
                "The domain's origin is at an address that it may not have.",
            ),
            Self::TlsUntrusted => (
                StatusCode::BAD_GATEWAY,
                "The domain's origin does not prove in TLS that it is this host.",
            ),
            Self::ConnectionLimit => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The domain's origin is as busy as it is allowed to be. Try again.",
            ),
            Self::BadGateway => (
                StatusCode::BAD_GATEWAY,
                "The domain's origin cannot be reached, or broke off.",
            ),
            Self::GatewayTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "The domain's origin did not answer in time.",
            ),
        }
    }

    /// What the access log calls it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "client_too_slow",
            Self::UnsupportedTransferCoding => "unsupported_transfer_coding",
            Self::TooLarge => "too_large",
            Self::LengthRequired => "length_required",
            Self::BrokenBody => "client_aborted",
            Self::Misdirected => "misdirected",
            Self::UnknownHost => "unknown_host",
            Self::Stopped => "stopped",
            Self::Loop => "loop",
            Self::NoOrigin => "no_origin",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::TlsUntrusted => "tls_untrusted",
            Self::ConnectionLimit => "connection_limit",
            Self::BadGateway => "bad_gateway",
            Self::GatewayTimeout => "gateway_timeout",
        }
    }

    /// The response, with the id by which the log knows the request.
    pub(super) fn into_response(self, id: Uuid) -> Response<ResponseBody> {
        let (status, sentence) = self.content();
        let title = status.canonical_reason().unwrap_or("Error");
        let code = status.as_u16();
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <title>{code} {title}</title></head>\n<body>\n<h1>{code} {title}</h1>\n\
             <p>{sentence}</p>\n<p>Request: <code>{id}</code></p>\n</body>\n</html>\n"
        );
        let mut response = Response::new(ResponseBody::fixed(Bytes::from(html)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            headers.insert("x-request-id", id);
        }
        if self == Self::MethodNotAllowed {
            let allowed = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}
