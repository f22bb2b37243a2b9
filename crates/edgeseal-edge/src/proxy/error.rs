//! Why the edge responds by itself, and with which page.

use super::{
    error_page::ErrorPage, headers::RequestHeaderError, route::RouteError, upstream::UpstreamError,
};

/// Why the edge responds by itself.
#[derive(Debug)]
pub(super) enum ProxyError {
    Unrouted(RouteError),
    Fields(RequestHeaderError),
    Upstream(UpstreamError),
}

impl From<RouteError> for ProxyError {
    fn from(reason: RouteError) -> Self {
        Self::Unrouted(reason)
    }
}

impl From<UpstreamError> for ProxyError {
    fn from(reason: UpstreamError) -> Self {
        Self::Upstream(reason)
    }
}

impl ProxyError {
    pub(super) const fn error_page(&self) -> ErrorPage {
        match self {
            Self::Unrouted(RouteError::Malformed) => ErrorPage::BadRequest,
            Self::Unrouted(RouteError::Method) => ErrorPage::MethodNotAllowed,
            Self::Unrouted(RouteError::Misdirected) => ErrorPage::Misdirected,
            Self::Unrouted(RouteError::UnknownHost) => ErrorPage::UnknownHost,
            Self::Unrouted(RouteError::Stopped) => ErrorPage::Stopped,
            Self::Fields(RequestHeaderError::Loop) => ErrorPage::Loop,
            Self::Fields(RequestHeaderError::Malformed) => ErrorPage::BadRequest,
            Self::Fields(RequestHeaderError::UnsupportedTransferCoding) => {
                ErrorPage::UnsupportedTransferCoding
            }
            Self::Upstream(UpstreamError::NoOrigin) => ErrorPage::NoOrigin,
            Self::Upstream(UpstreamError::AddressNotAllowed) => ErrorPage::OriginNotAllowed,
            Self::Upstream(UpstreamError::TlsUntrusted) => ErrorPage::TlsUntrusted,
            Self::Upstream(UpstreamError::ConnectionLimit) => ErrorPage::ConnectionLimit,
            Self::Upstream(UpstreamError::Unreachable | UpstreamError::BadResponse) => {
                ErrorPage::BadGateway
            }
            Self::Upstream(UpstreamError::ConnectTimeout | UpstreamError::ResponseTimeout) => {
                ErrorPage::GatewayTimeout
            }
            Self::Upstream(UpstreamError::ClientTooSlow) => ErrorPage::RequestTimeout,
            Self::Upstream(UpstreamError::TooLarge) => ErrorPage::TooLarge,
            Self::Upstream(UpstreamError::LengthRequired) => ErrorPage::LengthRequired,
            Self::Upstream(UpstreamError::ClientAborted) => ErrorPage::BrokenBody,
        }
    }
}
