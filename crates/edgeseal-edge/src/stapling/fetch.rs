//! Sends requests to OCSP responders.
//!
//! The uploader of a certificate chooses its responder, so requests could be aimed at internal
//! services. They go only to port 80 of public addresses, to the very address that was checked;
//! redirects are not followed, and size and time are limited.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use edgeseal_core::address;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Time limit for the whole request.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for connecting to one of several addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Maximum size of a response, in bytes.
const RESPONSE_MAX: usize = 64 * 1024;
/// Maximum size of the response headers, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the responder's address cannot be used")]
    Address,
    #[error("the responder is not at port 80 of a public address")]
    NotPublic,
    #[error("the responder cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error("the request to the responder failed: {0}")]
    Broken(#[from] Box<dyn std::error::Error + Send + Sync>),
    #[error("no response in time")]
    TimedOut,
    #[error("the responder returned status {0}")]
    Status(StatusCode),
    #[error("the response is longer than {RESPONSE_MAX} bytes")]
    TooLong,
}

/// Sends an `OCSPRequest` (RFC 6960 appendix A) and reads the response body. `private_addresses`:
/// whether it may go to any address and port.
pub(super) async fn ask(
    responder: &str,
    request: Vec<u8>,
    private_addresses: bool,
) -> Result<Bytes, FetchError> {
    let exchange = async {
        let uri: Uri = responder.parse().map_err(|_| FetchError::Address)?;
        let stream = connect(&uri, private_addresses).await?;
        exchange(stream, &uri, request).await
    };
    timeout(FETCH_TIMEOUT, exchange)
        .await
        .unwrap_or(Err(FetchError::TimedOut))
}

async fn connect(uri: &Uri, private_addresses: bool) -> Result<TcpStream, FetchError> {
    let authority = uri.authority().ok_or(FetchError::Address)?;
    if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
        return Err(FetchError::Address);
    }
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let may =
        |address: &SocketAddr| private_addresses || port == 80 && address::is_public(address.ip());
    let mut last = FetchError::NotPublic;
    let found = lookup_host((host, port)).await?;
    for address in found.filter(may).take(ADDRESSES_MAX) {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = FetchError::TimedOut,
        }
    }
    Err(last)
}

async fn exchange(stream: TcpStream, uri: &Uri, request: Vec<u8>) -> Result<Bytes, FetchError> {
    let broken = |error: hyper::Error| FetchError::Broken(error.into());
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::post(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "edgeseal")
        .header(header::CONTENT_TYPE, "application/ocsp-request")
        .header(header::ACCEPT, "application/ocsp-response")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(request)))
        .map_err(|_| FetchError::Address)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        match Limited::new(response.into_body(), RESPONSE_MAX)
            .collect()
            .await
        {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong),
            Err(error) => Err(FetchError::Broken(error)),
        }
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // The connection has ended: the request sees its data or its error.
        _ = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests;
