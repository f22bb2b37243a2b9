//! Bytes in and out: HTTP/1.1 on a socket, plain or in TLS, each request through the pipeline.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

pub use connections::{ConnectionLimits, Connections};

use crate::{
    context::Context,
    pipeline,
    render::Answer,
    request::{BODY_MAX, HEAD_MAX, RawRequest},
};

mod connections;
mod stall;

use connections::{Place, label};
use stall::StallTimeout;

/// A caller that has not sent its head, or body, by then is cut off.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A caller that has not finished its TLS handshake by then is cut off.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A caller that takes nothing of an answer for so long is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a listener speaks.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// HTTP/1.1 in the clear.
    Http,
    /// TLS, and HTTP/1.1 in it.
    Https(Arc<ServerConfig>),
}

/// How a listener comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// For connections that have not carried a call yet: their clients may be about to send one.
    pub fresh: Duration,
    /// For everything.
    pub patience: Duration,
}

/// Serves the API until `shutdown` resolves, then finishes the calls that are under way, as long as
/// that says; what is not finished then is cut off.
///
/// Connections beyond [`ConnectionLimits`] are closed as they come, or take the place of one of the
/// source that holds most.
pub async fn serve(
    listener: TcpListener,
    speaks: Speaks,
    context: Arc<Context>,
    shutdown: impl Future<Output = Ending> + Send,
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
                let place = match context.connections.place(peer.ip()) {
                    Ok(place) => place,
                    Err(refused) => {
                        metrics::counter!("edgeseal_api_connections_refused_total", "limit" => label(refused))
                            .increment(1);
                        continue;
                    }
                };
                let _ = stream.set_nodelay(true);
                let connection = Connection {
                    place: Arc::new(place),
                    peer,
                    context: Arc::clone(&context),
                    ends: End(ends.clone()),
                };
                tasks.spawn(connection.run(stream, speaks.clone()));
            }
            // Out of file descriptors, most likely: those that end make room.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    drop(listener);
    end.send_replace(Some(Instant::now() + ending.fresh));
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(ending.patience, all).await.is_err() {
        tracing::warn!("calls were still under way when the draining time was over");
    }
    tasks.shutdown().await;
}

/// Tells connections of the end: until when those may wait that have not carried a call.
#[derive(Clone)]
struct End(watch::Receiver<Option<Instant>>);

impl End {
    /// Waits until the end has begun; when those end that have not carried a call.
    async fn begun(&mut self) -> Instant {
        // If the sender is gone there is nothing to wait for.
        let end = self.0.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or_else(Instant::now)
    }

    /// Waits until those end that have not carried a call.
    async fn of_fresh(&mut self) {
        let end = self.begun().await;
        sleep_until(end).await;
    }
}

/// A connection and what it is served with.
struct Connection {
    place: Arc<Place>,
    peer: SocketAddr,
    context: Arc<Context>,
    ends: End,
}

impl Connection {
    /// Serves it to its end, or until its place is revoked.
    async fn run(self, stream: TcpStream, speaks: Speaks) {
        let place = Arc::clone(&self.place);
        tokio::select! {
            () = self.serve(stream, speaks) => {}
            () = place.revoked() => {
                metrics::counter!("edgeseal_api_connections_revoked_total").increment(1);
                tracing::debug!("a connection made room for one of another source");
            }
        }
    }

    async fn serve(mut self, stream: TcpStream, speaks: Speaks) {
        let stream = StallTimeout::new(stream, WRITE_TIMEOUT);
        match speaks {
            Speaks::Http => self.serve_http(stream, false).await,
            Speaks::Https(config) => {
                if let Some(stream) = self.handshake(stream, config).await {
                    self.serve_http(stream, true).await;
                }
            }
        }
    }

    /// The plain side of a TLS connection; `None` if there is none in time.
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
                    tracing::debug!(error = &error as &dyn std::error::Error, "no handshake");
                    None
                }
                Err(_) => {
                    tracing::debug!("a handshake took too long");
                    None
                }
            },
            () = self.ends.of_fresh() => None,
        }
    }

    async fn serve_http(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        secure: bool,
    ) {
        let called = Arc::new(Notify::new());
        let calls = Arc::clone(&called);
        let (place, context, peer) = (self.place, self.context, self.peer);
        let service = service_fn(move |request| {
            calls.notify_one();
            let (calling, context) = (place.call(), Arc::clone(&context));
            async move {
                let response = respond(&context, request, peer, secure).await;
                drop(calling);
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_TIMEOUT)
            .max_buf_size(HEAD_MAX + BODY_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = async {
            let fresh = self.ends.begun().await;
            tokio::select! {
                () = called.notified() => {}
                () = sleep_until(fresh) => {}
            }
        };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = ended => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "connection ended early"
            );
        }
    }
}

async fn respond(
    context: &Context,
    request: Request<Incoming>,
    peer: SocketAddr,
    secure: bool,
) -> Response<Full<Bytes>> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let body = timeout(READ_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
    let (body, broken) = match body {
        Ok(Ok(collected)) => (Some(collected.to_bytes()), false),
        Ok(Err(error)) if error.is::<LengthLimitError>() => (None, true),
        // Cut off: whatever is answered, the body was not read to its end.
        Ok(Err(_)) | Err(_) => (Some(Bytes::new()), true),
    };
    let raw = RawRequest {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        source: peer.ip(),
        secure,
        id: request_id(),
    };
    let answer = pipeline::answer(context, raw).await;
    let mut response = write(answer);
    metrics::histogram!("edgeseal_api_request_seconds").record(began.elapsed().as_secs_f64());
    if broken {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn write(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
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

/// Upper-case UUID, as the cloud's.
fn request_id() -> String {
    uuid::Uuid::new_v4().to_string().to_uppercase()
}

#[cfg(test)]
mod tests;
