//! Requests on persistent connections.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::{BenchResult, tls::Client};

type ClientRequest = Request<Empty<Bytes>>;
type ClientResponse = http::Response<hyper::body::Incoming>;

/// A connection for sequential requests.
pub(crate) enum HttpConnection {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// A complete response with status 200.
    Answered,
    /// Not sent: the server had closed the connection gracefully.
    NotSent,
}

impl HttpConnection {
    /// Makes a handshake with `name`, and an HTTP connection of the version of `client`.
    pub(crate) async fn open(
        client: &Client,
        address: SocketAddr,
        name: &str,
        h2: bool,
    ) -> BenchResult<Self> {
        let stream = client.connect_expecting(address, name).await?.into_stream();
        let stream = TokioIo::new(stream);
        if h2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(driver);
            return Ok(Self::Http2(sender));
        }
        let (sender, driver) = http1::handshake(stream).await?;
        tokio::spawn(driver);
        Ok(Self::Http1(sender))
    }

    /// Makes one small request; an error if it was sent and the response is not 200.
    pub(crate) async fn get(&mut self, host: &str) -> BenchResult<RequestOutcome> {
        let sent = match self {
            Self::Http1(sender) => {
                let request = Request::get("/").header(header::HOST, host);
                if sender.ready().await.is_err() {
                    return Ok(RequestOutcome::NotSent);
                }
                sender.try_send_request(request.body(Empty::new())?).await
            }
            Self::Http2(sender) => {
                let request = Request::get(format!("https://{host}/"));
                if sender.ready().await.is_err() {
                    return Ok(RequestOutcome::NotSent);
                }
                sender.try_send_request(request.body(Empty::new())?).await
            }
        };
        finish(sent).await
    }
}

async fn finish(
    sent: Result<ClientResponse, TrySendError<ClientRequest>>,
) -> BenchResult<RequestOutcome> {
    match sent {
        Ok(answer) if answer.status() == StatusCode::OK => {
            answer.into_body().collect().await?;
            Ok(RequestOutcome::Answered)
        }
        Ok(answer) => Err(format!("answered with {}", answer.status()).into()),
        Err(mut failed) => match failed.take_message() {
            Some(_) => Ok(RequestOutcome::NotSent),
            None => Err(failed.into_error().into()),
        },
    }
}
