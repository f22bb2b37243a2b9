//! The edge's own responses: small pages that say what is wrong, without internal details.

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
                "This method is not forwarded to origins.",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "The rest of the request did not arrive in time.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is larger than allowed.",
            ),
            Self::LengthRequired => (
                StatusCode::LENGTH_REQUIRED,
                "The domain's origin requires a Content-Length.",
            ),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "The request body is incomplete."),
            Self::UnsupportedTransferCoding => (
                StatusCode::NOT_IMPLEMENTED,
                "The request body has a transfer coding other than chunked.",
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
                "Request loop: the domain's origin points back to this server.",
            ),
            Self::NoOrigin => (
                StatusCode::BAD_GATEWAY,
                "No origin is configured for this domain.",
            ),
            Self::OriginNotAllowed => (
                StatusCode::BAD_GATEWAY,
                "The address of the domain's origin is not allowed.",
            ),
            Self::TlsUntrusted => (
                StatusCode::BAD_GATEWAY,
                "The certificate of the domain's origin is not valid for this host.",
            ),
            Self::ConnectionLimit => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The connection limit of the domain's origin is reached. Try again.",
            ),
            Self::BadGateway => (
                StatusCode::BAD_GATEWAY,
                "The domain's origin cannot be reached, or closed the connection.",
            ),
            Self::GatewayTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "The domain's origin did not respond in time.",
            ),
        }
    }

    /// Its name in the access log.
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

    /// The response, with the request id that is in the log.
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
