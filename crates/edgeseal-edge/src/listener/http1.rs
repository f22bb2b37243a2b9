//! HTTP/1.1 on one connection, which is parked while nothing is under way.
//!
//! hyper keeps its buffers and the room for an answer for as long as it has a connection, tens of
//! kilobytes, and most connections of an edge wait for a request that may never come. So hyper has one
//! only from the first byte of a request until [`PARK_AFTER`] after the end of an answer; in between there is
//! nothing but the stream. What was read and not used goes with it ([`TrackedStream`]), so nothing is lost,
//! and the time that a head may take goes on.

use std::{convert::Infallible, future::poll_fn, sync::Arc, task::Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Duration, Instant, sleep_until, timeout},
};

use super::{
    RequestBudget,
    header_budget::HeaderBudget,
    idle::{HeaderTimer, IdleState, IdleTracker, TrackedStream, WaitingFor},
    log_end,
};
use crate::{
    drain::DrainToken,
    limits::{ConnectionPermit, HEADER_SIZE_MAX},
    proxy::{StallMonitor, UnreadBody},
};

/// What ends a connection that its client does not end.
pub(super) struct ConnectionEnd {
    /// For the head of a request, idle time before it included.
    pub(super) header_timeout: Duration,
    pub(super) request_budget: Arc<RequestBudget>,
    pub(super) stall_monitor: StallMonitor,
    pub(super) unread: UnreadBody,
    pub(super) token: DrainToken,
    pub(super) permit: Arc<ConnectionPermit>,
}

/// Between two requests, until a connection is parked. To begin anew costs a few microseconds, so
/// clients that come again sooner pay nothing, and the others next to nothing.
const PARK_AFTER: Duration = Duration::from_millis(50);
/// For a client to take the last bytes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// For a client to end its side after an answer that came before its request was read to the end, and for
/// it to send the next part of that.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
const LINGER_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// For a head that there is no room for (RFC 6585 section 5).
const HEADER_TOO_LARGE_RESPONSE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection that waits for a request.
struct Parked<S> {
    stream: S,
    /// What was read of the request, if anything.
    read_ahead: Bytes,
    /// Since when.
    since: Instant,
}

/// Serves requests by `answer` until the connection ends.
pub(super) async fn serve<S, A, F, B>(stream: S, ends: ConnectionEnd, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Clone + Unpin,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut parked = Parked {
        stream,
        read_ahead: Bytes::new(),
        since: Instant::now(),
    };
    loop {
        if parked.read_ahead.is_empty() {
            match first_byte(&mut parked, &ends).await {
                Some(byte) => parked.read_ahead = Bytes::copy_from_slice(&[byte]),
                None => return shutdown(parked.stream).await,
            }
        }
        // In a box of its own, which is gone while the connection is parked.
        match Box::pin(serve_requests(parked, &ends, answer.clone())).await {
            Some(again) => parked = again,
            None => return,
        }
    }
}

/// Waits for the first byte of a request; `None` if the connection should end before.
async fn first_byte<S: AsyncRead + Unpin>(
    parked: &mut Parked<S>,
    ends: &ConnectionEnd,
) -> Option<u8> {
    let mut token = ends.token.clone();
    let mut byte = [0];
    tokio::select! {
        biased;
        read = parked.stream.read(&mut byte) => match read {
            Ok(0) => None,
            Ok(_) => Some(byte[0]),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "an idle connection ended early");
                None
            }
        },
        () = ends.request_budget.exhausted(&mut token) => None,
        () = sleep_until(parked.since + ends.header_timeout) => None,
    }
}

/// Serves the request of which `parked` has the first bytes, and those that follow without a rest.
/// `None`: the connection has ended.
async fn serve_requests<S, A, F, B>(
    parked: Parked<S>,
    ends: &ConnectionEnd,
    answer: A,
) -> Option<Parked<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Unpin,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut token = ends.token.clone();
    let room = HeaderBudget::new(Arc::clone(&ends.permit));
    let idleness = IdleTracker::new(
        parked.since,
        ends.header_timeout,
        ends.stall_monitor.timeout(),
        room,
    );
    let watched = TrackedStream::new(parked.stream, parked.read_ahead, Arc::clone(&idleness));
    let allowance = &ends.request_budget;
    let service = service_fn(|request: Request<Incoming>| {
        allowance.consume();
        ends.unread.begins(!request.body().is_end_stream());
        answer(request)
    });
    let mut connection = builder(ends.header_timeout, &idleness)
        .serve_connection(TokioIo::new(watched), service)
        .with_upgrades();
    // A timer that is set for each request would cost more than one that fires periodically.
    let mut look = std::pin::pin!(sleep_until(parked.since));
    // What it is set for.
    let (mut looks, mut ending, mut lingers) = (WaitingFor::Nothing, false, false);
    loop {
        let ended = tokio::select! {
            biased;
            ended = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(result) => {
                    lingers = match &result {
                        Ok(()) => ends.unread.may_come(),
                        Err(error) => is_answered(error),
                    };
                    log_end(result);
                    Poll::Ready(true)
                }
                // The client has something to do, and nobody looks at the clock.
                Poll::Pending => match (idleness.waiting_for(), looks) {
                    (WaitingFor::Nothing, _)
                    | (WaitingFor::Head(_), WaitingFor::Head(_))
                    | (WaitingFor::Client(_), WaitingFor::Client(_)) => Poll::Pending,
                    _ => Poll::Ready(false),
                },
            }) => ended,
            () = ends.stall_monitor.stalled() => {
                tracing::debug!("a client takes nothing: cut");
                true
            }
            () = allowance.exhausted(&mut token), if !ending => {
                Pin::new(&mut connection).graceful_shutdown();
                ending = true;
                continue;
            }
            () = look.as_mut(), if looks != WaitingFor::Nothing => false,
        };
        if ended {
            // Of a tunnel more than that is left.
            idleness.release();
            if idleness.has_refused_header() {
                let (stream, _) = connection.into_parts()?.io.into_inner().into_parts();
                refuse_header(stream).await;
            } else if lingers {
                linger(connection.into_parts()?.io.into_inner().into_parts().0).await;
            }
            return None;
        }
        // One that comes to its end is not kept for another request.
        let rest = if ending {
            ends.header_timeout
        } else {
            PARK_AFTER
        };
        match idleness.state_at(rest, Instant::now()) {
            IdleState::Busy => looks = WaitingFor::Nothing,
            IdleState::Waits(until) => {
                look.as_mut().reset(until);
                looks = idleness.waiting_for();
            }
            IdleState::Idle(since) => return Some(park(connection.into_parts()?, since)),
            IdleState::TimedOut => {
                tracing::debug!("a head took too long, or a client took nothing for too long");
                return None;
            }
        }
    }
}

fn builder(header_timeout: Duration, idleness: &Arc<IdleTracker>) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(HeaderTimer(Arc::clone(idleness)))
        .header_read_timeout(header_timeout)
        .max_header_size(HEADER_SIZE_MAX)
        .max_buf_size(HEADER_SIZE_MAX);
    builder
}

/// Takes a connection out of hyper's hands.
fn park<S: AsyncRead, A>(
    parts: http1::Parts<TokioIo<TrackedStream<S>>, A>,
    since: Instant,
) -> Parked<S> {
    let (stream, unread) = parts.io.into_inner().into_parts();
    // A copy, almost always of nothing: hyper's buffer would stay with its last byte.
    let before = Bytes::from([&parts.read_buf[..], &unread].concat());
    Parked {
        stream,
        read_ahead: before,
        since,
    }
}

/// Whether hyper has told the client what is wrong with its request, and then that nothing more comes.
fn is_answered(error: &hyper::Error) -> bool {
    error.is_parse() && !error.is_parse_version_h2()
}

/// Tells the client that its request has too large a head.
async fn refuse_header<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let telling = async {
        stream.write_all(HEADER_TOO_LARGE_RESPONSE).await?;
        stream.shutdown().await
    };
    if let Ok(Ok(())) = timeout(SHUTDOWN_TIMEOUT, telling).await {
        linger(stream).await;
    }
}

/// Takes what the client still sends, for nobody, after its side was told that nothing more comes: a socket
/// closed with unread data resets the connection, and the client may never see the answer (RFC 9112
/// §9.6).
async fn linger<S: AsyncRead + Unpin>(mut stream: S) {
    let rest = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(Ok(1..)) = timeout(LINGER_READ_TIMEOUT, stream.read(&mut buffer)).await {}
    };
    // A client that goes on for longer is cut.
    let _ = timeout(LINGER_TIMEOUT, rest).await;
}

/// Tells the client that nothing more comes.
async fn shutdown<S: AsyncWrite + Unpin>(mut stream: S) {
    // Whether the client hears it changes nothing here.
    let _ = timeout(SHUTDOWN_TIMEOUT, stream.shutdown()).await;
}

#[cfg(test)]
mod tests;
