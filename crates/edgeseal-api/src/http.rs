//! Bytes in and out: HTTP/1.1 on a socket, plain or in TLS, each request through the pipeline.

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
pub use budget::Memory;
pub use connections::{ConnectionLimits, Connections};

use crate::{
    context::Context,
    overload::{self, Overload},
    pipeline,
    render::{Answer, Format},
    request::{HEAD_MAX, RawRequest},
};

mod body;
mod budget;
mod connections;
mod inbound;
mod stall;

use body::{AnswerBody, Unread};
use budget::{Exhausted, Held, PAGE};
use connections::{Place, label};
use inbound::{Inbound, Message, Part};
use stall::StallTimeout;

/// A caller that has not sent a head by then, or sends nothing between two calls, is cut off; what it
/// has begun must come faster, see [`inbound`].
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// What is left of a request that is not read is thrown away for so long.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes of a head that are read, whether or not it ends: a head that is somewhat too long can still be
/// told so by a whole answer.
const HEAD_READ_MAX: usize = HEAD_MAX + 64 * 1024;
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
        let budget = Arc::clone(&self.context.budgets.requests);
        let message = Message::new(budget, self.place.source(), self.place.revoker());
        let stream = Inbound::new(stream, Arc::clone(&message));
        match speaks {
            Speaks::Http => {
                message.done();
                self.serve_http(stream, message, false).await;
            }
            Speaks::Https(config) => {
                if let Some(stream) = self.handshake(stream, config).await {
                    message.done();
                    self.serve_http(stream, message, true).await;
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
        message: Arc<Message>,
        secure: bool,
    ) {
        let called = Arc::new(Notify::new());
        let calls = Arc::clone(&called);
        let caller = Caller {
            place: self.place,
            peer: self.peer,
            message: Arc::clone(&message),
            secure,
        };
        let (caller, context) = (Arc::new(caller), self.context);
        let serving = Arc::clone(&context);
        let service = service_fn(move |request| {
            calls.notify_one();
            caller.message.has_head();
            let (caller, context) = (Arc::clone(&caller), Arc::clone(&serving));
            async move {
                let calling = caller.place.call();
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
            let fresh = self.ends.begun().await;
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
        if message.is_cut_off() {
            let stream = connection.into_parts().io.into_inner();
            let refusal = (message.no_room() == Some(Part::Head)).then(|| {
                overload::answer(&context, &request_id(), Format::Json, Overload::Requests)
            });
            let _ = timeout(LINGER, end(stream, refusal)).await;
        }
    }
}

/// Whose calls a connection carries.
struct Caller {
    place: Arc<Place>,
    peer: SocketAddr,
    message: Arc<Message>,
    secure: bool,
}

async fn respond(
    context: &Context,
    caller: &Caller,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let (body, broken) = match body::read(body).await {
        Ok(body) => (Some(body), false),
        Err(Unread::TooLong) => (None, true),
        // Whatever is answered, the body was not read to its end.
        Err(Unread::CutOff) => (Some(Bytes::new()), true),
    };
    caller.message.is_here();
    let id = request_id();
    let answer = if caller.message.no_room().is_some() {
        overload::answer(context, &id, Format::Json, Overload::Requests)
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
        pipeline::answer(context, raw).await
    };
    let mut response = held(context, caller, &id, answer);
    metrics::histogram!("edgeseal_api_request_seconds").record(began.elapsed().as_secs_f64());
    if broken {
        caller.message.cut_off();
        close(&mut response);
    }
    response
}

/// The response of an answer, for which there must be room until it is written.
fn held(context: &Context, caller: &Caller, id: &str, answer: Answer) -> Response<AnswerBody> {
    let bytes = answer.body.len();
    if bytes <= PAGE {
        return write(answer, None);
    }
    let (source, revoker) = (caller.place.source(), caller.place.revoker());
    match context.budgets.answers.hold(source, bytes, revoker) {
        Ok(held) => write(answer, Some(held)),
        Err(Exhausted) => {
            let answer = overload::answer(context, id, answer.format, Overload::Answers);
            let mut response = write(answer, None);
            close(&mut response);
            response
        }
    }
}

fn close<B>(response: &mut Response<B>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

fn write(answer: Answer, held: Option<Held>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::new(answer.body, held));
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

/// Ends a connection on which more comes than is read, and answers if nothing was answered yet. What
/// comes is thrown away for a while: a connection that is closed with it unread is reset, and the
/// caller might not see the answer (RFC 9112 section 9.6).
async fn end(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Option<Answer>,
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

/// Upper-case UUID, as the cloud's.
fn request_id() -> String {
    uuid::Uuid::new_v4().to_string().to_uppercase()
}

#[cfg(test)]
mod tests;
