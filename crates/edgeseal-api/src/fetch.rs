//! One GET request to a server that a caller or the operator chose: one connection, no redirects,
//! bounded headers and body.

use std::time::Duration;

use ::http::{HeaderName, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Time limit of a whole fetch, from DNS to the last byte of the response. The caller enforces it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest response headers, in bytes.
const HEADERS_MAX: usize = 16 * 1024;

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The time limit was exceeded.
    #[error("no response within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The server cannot be reached, or the TLS handshake failed.
    #[error("the server cannot be reached")]
    Connect(#[from] std::io::Error),
    /// HTTP failed.
    #[error("the response is not valid HTTP")]
    Http(#[from] hyper::Error),
    /// The status is not 200.
    #[error("the server returned status {0}")]
    Status(StatusCode),
    /// The response is incomplete, or longer than allowed.
    #[error("the response is incomplete or too long")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Requests `path` of `host` over an open connection, with one more header, and returns a body of
/// at most `bytes_max`. The connection ends with this future, not with the peer.
///
/// # Errors
/// [`FetchError`]; a body that is too long is a
/// [`LengthLimitError`](http_body_util::LengthLimitError).
pub(crate) async fn get<S>(
    stream: S,
    host: &str,
    path: &str,
    (name, value): (HeaderName, &str),
    bytes_max: usize,
) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(name, value)
        .header(header::USER_AGENT, "edgeseal")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(std::io::Error::other)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), bytes_max).collect();
        Ok(body.await.map_err(FetchError::Body)?.to_bytes())
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // The exchange has everything that was received; it also reports a failed connection.
        _ = connection => exchange.await,
    }
}
