//! HTTP/1.1 on a socket, plaintext or TLS: passes each request through the pipeline.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use ::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

pub(crate) use budget::Budgets;
pub use budget::MemoryLimit;
pub use connections::{ConnectionLimiter, ConnectionLimits};

use crate::{
    context::Context,
    overload::{self, Overload},
    pipeline,
    render::{ApiResponse, Format},
    request::{HEAD_MAX, RawRequest},
};

mod body;
mod budget;
mod connections;
mod paced_reader;
mod stall;

use body::{BodyError, ResponseBody};
use budget::{Exhausted, PAGE, Reservation};
use connections::{ConnectionPermit, label};
use paced_reader::{InboundMessage, PacedReader, Part};
use stall::StallTimeout;

/// A client that has not sent complete headers within this time, or sends nothing for this long
/// between two calls, is disconnected. A message that has begun must arrive faster; see
/// [`paced_reader`].
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the unread rest of a request is read and discarded.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes of headers that are read: a request whose headers are slightly too long still gets a
/// complete error response.
const HEAD_READ_MAX: usize = HEAD_MAX + 64 * 1024;
/// Time limit of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that reads nothing of a response for this long is disconnected.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The protocol of a listener.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// HTTP/1.1 in plaintext.
    Http,
    /// HTTP/1.1 over TLS.
    Https(Arc<ServerConfig>),
}

/// Time limits of a graceful shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownTimeouts {
    /// For connections without a call so far: their clients may be about to send one.
    pub unused: Duration,
    /// For all connections.
    pub drain: Duration,
}

/// Serves the API until `shutdown` resolves, then completes the calls in flight within
/// [`ShutdownTimeouts`]; what is not complete by then is aborted.
///
/// A connection beyond [`ConnectionLimits`] is closed on arrival, or replaces one of the largest
/// source.
pub async fn serve(
    listener: TcpListener,
    protocol: Protocol,
    context: Arc<Context>,
    shutdown: impl Future<Output = ShutdownTimeouts> + Send,
) {
    let mut tasks = JoinSet::new();
    let (end, ends) = watch::channel(None);
    let mut shutdown = std::pin::pin!(shutdown);
    let ending = loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            ending = &mut shutdown => break ending,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let permit = match context.connections.acquire(peer.ip()) {
                    Ok(permit) => permit,
                    Err(refused) => {
                        metrics::counter!("edgeseal_api_connections_refused_total", "limit" => label(refused))
                            .increment(1);
                        continue;
                    }
                };
                let _ = stream.set_nodelay(true);
                let connection = Connection {
                    permit: Arc::new(permit),
                    peer,
                    context: Arc::clone(&context),
                    shutdown: ShutdownSignal(ends.clone()),
                };
                tasks.spawn(connection.run(stream, protocol.clone()));
            }
            // The process is probably out of file descriptors: wait for connections to close.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    drop(listener);
    end.send_replace(Some(Instant::now() + ending.unused));
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(ending.drain, all).await.is_err() {
        tracing::warn!("drain timeout reached with calls in flight");
    }
    tasks.shutdown().await;
}

/// Signals shutdown to connections: the deadline of those without a call so far.
#[derive(Clone)]
struct ShutdownSignal(watch::Receiver<Option<Instant>>);

impl ShutdownSignal {
    /// Waits for the shutdown to start; returns the deadline of connections without a call.
    async fn started(&mut self) -> Instant {
        // If the sender was dropped, there is nothing to wait for.
        let end = self.0.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or_else(Instant::now)
    }

    /// Waits for the deadline of connections without a call.
    async fn unused_deadline(&mut self) {
        let end = self.started().await;
        sleep_until(end).await;
    }
}

/// A connection and what it needs.
struct Connection {
    permit: Arc<ConnectionPermit>,
    peer: SocketAddr,
    context: Arc<Context>,
    shutdown: ShutdownSignal,
}

impl Connection {
    /// Serves the connection until it ends or its permit is revoked.
    async fn run(self, stream: TcpStream, protocol: Protocol) {
        let permit = Arc::clone(&self.permit);
        tokio::select! {
            () = self.serve(stream, protocol) => {}
            () = permit.revoked() => {
                metrics::counter!("edgeseal_api_connections_evicted_total").increment(1);
                tracing::debug!("connection evicted in favour of another source");
            }
        }
    }

    async fn serve(mut self, stream: TcpStream, protocol: Protocol) {
        let stream = StallTimeout::new(stream, WRITE_TIMEOUT);
        let budget = Arc::clone(&self.context.budgets.requests);
        let message = InboundMessage::new(budget, self.permit.source(), self.permit.revoker());
        let stream = PacedReader::new(stream, Arc::clone(&message));
        match protocol {
            Protocol::Http => {
                message.done();
                self.serve_http(stream, message, false).await;
            }
            Protocol::Https(config) => {
                if let Some(stream) = self.handshake(stream, config).await {
                    message.done();
                    self.serve_http(stream, message, true).await;
                }
            }
        }
    }

    /// The TLS handshake; `None` if it fails or times out.
    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: S,
        config: Arc<ServerConfig>,
    ) -> Option<TlsStream<S>> {
        let handshake = TlsAcceptor::from(config).accept(stream);
        tokio::select! {
            result = timeout(HANDSHAKE_TIMEOUT, handshake) => match result {
                Ok(Ok(stream)) => Some(stream),
                Ok(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!("TLS handshake timed out");
                    None
                }
            },
            () = self.shutdown.unused_deadline() => None,
        }
    }

    async fn serve_http(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        message: Arc<InboundMessage>,
        secure: bool,
    ) {
        let called = Arc::new(Notify::new());
        let calls = Arc::clone(&called);
        let caller = ClientConnection {
            permit: self.permit,
            peer: self.peer,
            message: Arc::clone(&message),
            secure,
        };
        let (caller, context) = (Arc::new(caller), self.context);
        let serving = Arc::clone(&context);
        let service = service_fn(move |request| {
            calls.notify_one();
            caller.message.head_received();
            let (caller, context) = (Arc::clone(&caller), Arc::clone(&serving));
            async move {
                let calling = caller.permit.call();
                let response = respond(&context, &caller, request).await;
                caller.message.done();
                drop(calling);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_READ_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let ended = async {
            let fresh = self.shutdown.started().await;
            tokio::select! {
                () = called.notified() => {}
                () = sleep_until(fresh) => {}
            }
        };
        let result = tokio::select! {
            result = &mut connection => result,
            () = ended => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        if let Err(error) = result {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "connection ended early"
            );
        }
        if message.is_stopped() {
            let stream = connection.into_parts().io.into_inner();
            let refusal = (message.over_budget() == Some(Part::Head)).then(|| {
                overload::response(&context, &request_id(), Format::Json, Overload::Requests)
            });
            let _ = timeout(LINGER, lingering_close(stream, refusal)).await;
        }
    }
}

/// The connection that calls arrive on.
struct ClientConnection {
    permit: Arc<ConnectionPermit>,
    peer: SocketAddr,
    message: Arc<InboundMessage>,
    secure: bool,
}

async fn respond(
    context: &Context,
    caller: &ClientConnection,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let (body, broken) = match body::read(body).await {
        Ok(body) => (Some(body), false),
        Err(BodyError::TooLong) => (None, true),
        // Whatever the response is, the body was not read completely.
        Err(BodyError::CutOff) => (Some(Bytes::new()), true),
    };
    caller.message.set_received();
    let id = request_id();
    let answer = if caller.message.over_budget().is_some() {
        overload::response(context, &id, Format::Json, Overload::Requests)
    } else {
        let raw = RawRequest {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
            source: caller.peer.ip(),
            secure: caller.secure,
            id: id.clone(),
        };
        pipeline::handle_request(context, raw).await
    };
    let mut response = into_response(context, caller, &id, answer);
    metrics::histogram!("edgeseal_api_request_duration_seconds")
        .record(began.elapsed().as_secs_f64());
    if broken {
        caller.message.stop_reading();
        close(&mut response);
    }
    response
}

/// Builds the response, within the memory budget for responses.
fn into_response(
    context: &Context,
    caller: &ClientConnection,
    id: &str,
    answer: ApiResponse,
) -> Response<ResponseBody> {
    let bytes = answer.body.len();
    if bytes <= PAGE {
        return build_response(answer, None);
    }
    let (source, revoker) = (caller.permit.source(), caller.permit.revoker());
    match context.budgets.responses.reserve(source, bytes, revoker) {
        Ok(held) => build_response(answer, Some(held)),
        Err(Exhausted) => {
            let answer = overload::response(context, id, answer.format, Overload::Responses);
            let mut response = build_response(answer, None);
            close(&mut response);
            response
        }
    }
}

fn close<B>(response: &mut Response<B>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

fn build_response(answer: ApiResponse, held: Option<Reservation>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::new(answer.body, held));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(answer.format.content_type()),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Closes a connection that receives more than is read, after a response if none was sent. Input is
/// discarded for a while: closing with unread input resets the connection, and the client might not
/// see the response (RFC 9112 section 9.6).
async fn lingering_close(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Option<ApiResponse>,
) -> std::io::Result<u64> {
    if let Some(answer) = answer {
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.status,
            answer.format.content_type(),
            answer.body.len(),
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&answer.body).await?;
        stream.shutdown().await?;
    }
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
}

/// An upper-case UUID, like the cloud's.
fn request_id() -> String {
    uuid::Uuid::new_v4().to_string().to_uppercase()
}

#[cfg(test)]
mod tests;
