//! HTTP/1.1 on one connection, which is parked while it is idle.
//!
//! hyper keeps its buffers and space for a response for as long as it owns a connection, tens of
//! kilobytes, and most connections of an edge wait for a request that may never come. So hyper owns
//! a connection only from the first byte of a request until [`PARK_AFTER`] after the end of a
//! response; in between there is nothing but the stream. Bytes read and not consumed stay with the
//! stream ([`TrackedStream`]), so nothing is lost, and the time limit for headers continues.

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

/// Deadlines and signals that end a connection.
pub(super) struct ConnectionEnd {
    /// Time limit for the headers of a request, including the idle time before them.
    pub(super) header_timeout: Duration,
    pub(super) request_budget: Arc<RequestBudget>,
    pub(super) stall_monitor: StallMonitor,
    pub(super) unread: UnreadBody,
    pub(super) token: DrainToken,
    pub(super) permit: Arc<ConnectionPermit>,
}

/// Idle time after which a connection is parked. To set up hyper again costs a few microseconds, so
/// clients that come again sooner pay nothing, and the others next to nothing.
const PARK_AFTER: Duration = Duration::from_millis(50);
/// Time limit for a client to receive the last bytes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit for a client to close its side after a response that was sent before its request was
/// read completely, and for it to send the next part of that request.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
const LINGER_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a refused header is discarded, in bytes. A client that sends more is not going to
/// read the response; a request body, which a client may well send completely, is limited by time
/// only.
const LINGER_HEADER_MAX: u64 = 16 * 1024 * 1024;
/// For headers that exceed the budget (RFC 6585 §5).
const HEADER_TOO_LARGE_RESPONSE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection that waits for a request.
struct Parked<S> {
    stream: S,
    /// Bytes of the request that were already read.
    read_ahead: Bytes,
    /// Since when it waits.
    since: Instant,
}

/// Serves requests with `answer` until the connection ends.
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
        // On the heap, and freed while the connection is parked.
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

/// Serves the request whose first bytes are in `parked`, and those that follow without a pause.
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
    let idle_tracker = IdleTracker::new(
        parked.since,
        ends.header_timeout,
        ends.stall_monitor.timeout(),
        room,
    );
    let watched = TrackedStream::new(parked.stream, parked.read_ahead, Arc::clone(&idle_tracker));
    let request_budget = &ends.request_budget;
    let service = service_fn(|request: Request<Incoming>| {
        request_budget.consume();
        ends.unread.begins(!request.body().is_end_stream());
        answer(request)
    });
    let mut connection = builder(ends.header_timeout, &idle_tracker)
        .serve_connection(TokioIo::new(watched), service)
        .with_upgrades();
    // Setting a timer for each request would cost more than one that fires periodically.
    let mut look = std::pin::pin!(sleep_until(parked.since));
    // What the timer is set for.
    let (mut looks, mut ending, mut lingers) = (WaitingFor::Nothing, false, None);
    loop {
        let ended = tokio::select! {
            biased;
            ended = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(result) => {
                    lingers = bytes_to_discard(&result, &ends.unread);
                    log_end(result);
                    Poll::Ready(true)
                }
                // The client has to act, and no timer is set.
                Poll::Pending => match (idle_tracker.waiting_for(), looks) {
                    (WaitingFor::Nothing, _)
                    | (WaitingFor::Head(_), WaitingFor::Head(_))
                    | (WaitingFor::Client(_), WaitingFor::Client(_)) => Poll::Pending,
                    _ => Poll::Ready(false),
                },
            }) => ended,
            () = ends.stall_monitor.stalled() => {
                tracing::debug!("client stalled: connection closed");
                true
            }
            () = request_budget.exhausted(&mut token), if !ending => {
                Pin::new(&mut connection).graceful_shutdown();
                ending = true;
                continue;
            }
            () = look.as_mut(), if looks != WaitingFor::Nothing => false,
        };
        if ended {
            // Without hyper's buffers, which closing may outlast.
            let stream = connection
                .into_parts()
                .map(|parts| parts.io.into_inner().into_parts().0);
            // A tunnel needs no headers any more.
            idle_tracker.release();
            if let Some(stream) = stream {
                close(stream, idle_tracker.has_refused_header(), lingers).await;
            }
            return None;
        }
        // A connection that is ending is not kept for another request.
        let rest = if ending {
            ends.header_timeout
        } else {
            PARK_AFTER
        };
        match idle_tracker.state_at(rest, Instant::now()) {
            IdleState::Busy => looks = WaitingFor::Nothing,
            IdleState::Waits(until) => {
                look.as_mut().reset(until);
                looks = idle_tracker.waiting_for();
            }
            IdleState::Idle(since) => return Some(park(connection.into_parts()?, since)),
            IdleState::TimedOut => {
                tracing::debug!("the request headers took too long, or the client stalled");
                return None;
            }
        }
    }
}

/// How much of what the client still sends is read after the response, so that closing the
/// connection does not destroy it. `None`: nothing.
fn bytes_to_discard(ended: &hyper::Result<()>, unread: &UnreadBody) -> Option<u64> {
    match ended {
        Ok(()) => unread.may_come().then_some(u64::MAX),
        Err(error) => is_answered(error).then_some(LINGER_HEADER_MAX),
    }
}

async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    header_refused: bool,
    lingers: Option<u64>,
) {
    if header_refused {
        refuse_header(stream).await;
    } else if let Some(limit) = lingers {
        linger(stream, limit).await;
    }
}

fn builder(header_timeout: Duration, idle_tracker: &Arc<IdleTracker>) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(HeaderTimer(Arc::clone(idle_tracker)))
        .header_read_timeout(header_timeout)
        .max_header_size(HEADER_SIZE_MAX)
        .max_buf_size(HEADER_SIZE_MAX);
    builder
}

/// Takes a connection back from hyper.
fn park<S: AsyncRead, A>(
    parts: http1::Parts<TokioIo<TrackedStream<S>>, A>,
    since: Instant,
) -> Parked<S> {
    let (stream, unread) = parts.io.into_inner().into_parts();
    // A copy, almost always empty: hyper's buffer would live as long as its last byte.
    let before = Bytes::from([&parts.read_buf[..], &unread].concat());
    Parked {
        stream,
        read_ahead: before,
        since,
    }
}

/// Whether hyper has sent the client an error response and then shut down its side.
fn is_answered(error: &hyper::Error) -> bool {
    error.is_parse() && !error.is_parse_version_h2()
}

/// Tells the client that its request headers are too large.
async fn refuse_header<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let telling = async {
        stream.write_all(HEADER_TOO_LARGE_RESPONSE).await?;
        stream.shutdown().await
    };
    if let Ok(Ok(())) = timeout(SHUTDOWN_TIMEOUT, telling).await {
        linger(stream, LINGER_HEADER_MAX).await;
    }
}

/// Shuts down the sending side, then reads and discards what the client still sends: closing a
/// socket with unread data resets the connection, and the client may never see the response (RFC
/// 9112 §9.6). At most `limit` bytes are discarded.
async fn linger<S: AsyncRead + Unpin>(stream: S, limit: u64) {
    let mut stream = stream.take(limit);
    let rest = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(Ok(1..)) = timeout(LINGER_READ_TIMEOUT, stream.read(&mut buffer)).await {}
    };
    // A client that goes on for longer is disconnected.
    let _ = timeout(LINGER_TIMEOUT, rest).await;
}

/// Shuts down the sending side.
async fn shutdown<S: AsyncWrite + Unpin>(mut stream: S) {
    // Whether the client notices changes nothing here.
    let _ = timeout(SHUTDOWN_TIMEOUT, stream.shutdown()).await;
}

#[cfg(test)]
mod tests;
