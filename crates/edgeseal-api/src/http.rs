//! Bytes in and out: HTTP/1.1 on a socket, plain or in TLS, each request through the pipeline.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use crate::{
    context::Context,
    pipeline,
    render::Answer,
    request::{BODY_MAX, HEAD_MAX, RawRequest},
};

/// A caller that has not sent its head, or body, by then is cut off.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A caller that has not finished its TLS handshake by then is cut off.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a listener speaks.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// HTTP/1.1 in the clear.
    Http,
    /// TLS, and HTTP/1.1 in it.
    Https(Arc<ServerConfig>),
}

/// Serves the API until `shutdown` resolves, then finishes the calls that are under way, for
/// `drain` at most. Handshakes that are under way are given up.
pub async fn serve(
    listener: TcpListener,
    speaks: Speaks,
    context: Arc<Context>,
    shutdown: impl Future<Output = ()> + Send,
    drain: Duration,
) {
    let graceful = GracefulShutdown::new();
    let (open, closed) = watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let (context, watcher) = (Arc::clone(&context), graceful.watcher());
                match &speaks {
                    Speaks::Http => {
                        tokio::spawn(serve_connection(stream, (peer, false), context, watcher));
                    }
                    Speaks::Https(config) => {
                        let shaken = shake_hands(stream, Arc::clone(config), closed.clone());
                        tokio::spawn(async move {
                            if let Some(stream) = shaken.await {
                                serve_connection(stream, (peer, true), context, watcher).await;
                            }
                        });
                    }
                }
            }
            // Out of file descriptors, most likely: those that end make room.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop((listener, open));
    if tokio::time::timeout(drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("calls were still under way when the draining time was over");
    }
}

/// The plain side of a TLS connection; `None` if there is none in time.
async fn shake_hands(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    mut closed: watch::Receiver<()>,
) -> Option<TlsStream<TcpStream>> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    tokio::select! {
        result = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => match result {
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
        // The sender is gone.
        _ = closed.changed() => None,
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    (peer, secure): (SocketAddr, bool),
    context: Arc<Context>,
    watcher: Watcher,
) {
    let service = service_fn(move |request| {
        let context = Arc::clone(&context);
        async move { Ok::<_, std::convert::Infallible>(respond(&context, request, peer, secure).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(HEAD_MAX + BODY_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "connection ended early"
        );
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
    let body = tokio::time::timeout(READ_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
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
