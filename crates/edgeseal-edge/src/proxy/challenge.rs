//! Responses to http-01 validations (RFC 8555 §8.3).
//!
//! They come before everything else that a request may lead to: a name must be validated before it
//! has a certificate, while its domain is stopped, and whatever redirects it has. Authorities
//! follow redirects, so HTTPS responds too. A token that is unknown here goes the way of all other
//! requests: an ACME client at the origin may be waiting for it.

use std::net::IpAddr;

use bytes::Bytes;
use edgeseal_core::challenge::Token;
use http::{HeaderValue, Method, Request, Response, header};

use super::{ResponseBody, route};
use crate::{challenges::Challenges, index::Host};

/// The response, if the request asks for a challenge of its host.
pub(super) async fn response<B>(
    challenges: &Challenges,
    request: &Request<B>,
    client: IpAddr,
) -> Option<Response<ResponseBody>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let token = Token::of_path(request.uri().path())?;
    let authority = route::authority(request).ok()?;
    let host = Host::parse(authority.host())?;
    let key_authorization = Box::pin(challenges.http_01(&host, &token, client)).await?;
    let content = Bytes::copy_from_slice(key_authorization.as_str().as_bytes());
    let mut response = Response::new(ResponseBody::fixed(content));
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}
