//! One attempt at an origin, with its retries: the connection, the request on it, and the time
//! limits.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, StatusCode, Uri, header};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        Timeouts,
        access::UpstreamTiming,
        body::{BodyFault, ReplayableBody, UpstreamBody},
        headers,
    },
    Upstream, UpstreamError, UpstreamRequestHead, UpstreamResponse,
    connect::ConnectError,
    limiter::{StreamGuard, UpstreamPermit},
    pool::{Destination, PooledConnection},
};
use crate::telemetry;
/// How long an origin is assumed to support `Expect: 100-continue` without responding; then the
/// body is sent (RFC 9110 §10.1.1: a client should not wait for ever).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// Retries at an origin that has not processed a request.
const RETRIES: usize = 2;

/// A failed attempt.
pub(super) struct AttemptError {
    pub(super) reason: UpstreamError,
    /// Whether nothing of the request can have been acted on.
    pub(super) not_processed: bool,
    /// Whether another connection to the same origin may succeed: this one was a pooled one, or the
    /// origin reported that it has not processed the request.
    retry_same_origin: bool,
    /// Whether the TCP connection was established.
    pub(super) connected: bool,
    /// When the request was sent, or was to be.
    pub(super) sent_at: Instant,
    /// Whether the time limit was shorter than usual, because other origins had used the rest.
    pub(super) cut_short: bool,
}

impl AttemptError {
    fn unsent(reason: UpstreamError, connected: bool) -> Self {
        Self {
            reason,
            not_processed: true,
            retry_same_origin: false,
            connected,
            sent_at: Instant::now(),
            cut_short: false,
        }
    }

    /// The request was sent, and no response arrived.
    const fn sent(reason: UpstreamError, asked: Instant) -> Self {
        Self {
            reason,
            not_processed: false,
            retry_same_origin: false,
            connected: true,
            sent_at: asked,
            cut_short: false,
        }
    }
}

impl Upstream {
    /// Tries one origin. For a request without a body the response may take `left` at most, from
    /// which the time of a failed attempt is subtracted.
    pub(super) async fn send_to(
        &self,
        to: &Destination,
        head: &UpstreamRequestHead,
        request_body: &Arc<ReplayableBody>,
        left: &mut Duration,
        trace: &mut UpstreamTiming,
    ) -> Result<UpstreamResponse, AttemptError> {
        if request_body.exact_length().is_none()
            && !request_body.is_empty()
            && self.health.lock().speaks_http10(to)
        {
            self.count(head, request_body).await?;
        }
        let mut retries = 0;
        loop {
            let answer = self.attempt(to, head, request_body, (retries > 0, *left), trace);
            let failed = match answer.await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let taken = failed.sent_at.elapsed().min(self.timeouts.header);
            *left = left.saturating_sub(taken);
            let again = failed.retry_same_origin
                && retries < RETRIES
                && request_body.is_replayable()
                && (failed.not_processed || is_retryable(head, request_body, &failed));
            if !again || (request_body.is_empty() && left.is_zero()) {
                return Err(failed);
            }
            retries += 1;
        }
    }

    /// Buffers a body to find its length for an HTTP/1.0 origin, which accepts none without (RFC
    /// 9112 §6.1: no chunks for a server that is not known to support HTTP/1.1).
    async fn count(
        &self,
        head: &UpstreamRequestHead,
        request_body: &ReplayableBody,
    ) -> Result<(), AttemptError> {
        request_body.send_continue();
        let reason = tokio::select! {
            biased;
            counted = request_body.buffer_all() => match (counted, request_body.fault()) {
                (Ok(true), _) => return Ok(()),
                (Ok(false), _) => UpstreamError::LengthRequired,
                (Err(_), BodyFault::TooLarge) => UpstreamError::TooLarge,
                (Err(_), BodyFault::None | BodyFault::ClientAborted) => UpstreamError::ClientAborted,
            },
            reason = self.time_out(request_body, head.is_grpc, self.timeouts.header) => reason,
        };
        telemetry::origin_failure(reason.label());
        // Another origin may support HTTP/1.1.
        let unsent = reason == UpstreamError::LengthRequired;
        Err(AttemptError {
            not_processed: unsent,
            ..AttemptError::unsent(reason, false)
        })
    }

    pub(super) async fn attempt(
        &self,
        to: &Destination,
        head: &UpstreamRequestHead,
        request_body: &Arc<ReplayableBody>,
        (fresh, left): (bool, Duration),
        trace: &mut UpstreamTiming,
    ) -> Result<UpstreamResponse, AttemptError> {
        let began = trace.start_attempt(&to.authority);
        let mut connection = self
            .pool
            .checkout(to, head.upgrade, fresh, head.source)
            .await
            .map_err(|error| not_connected(to, &error))?;
        let connected = trace.connected(began);
        let request = request(head, request_body, &connection)
            .ok_or_else(|| AttemptError::unsent(UpstreamError::BadResponse, true))?;
        let (reused, http2) = (connection.reused, connection.is_http2());
        let asked = Instant::now();
        let full = self.timeouts.header;
        let wait = if request_body.is_empty() {
            left.min(full)
        } else {
            full
        };
        let (permit, stream) = (connection.permit.take(), connection.stream.take());
        let answer = tokio::select! {
            biased;
            answer = connection.send(request) => answer,
            () = evicted(permit.as_ref()) => {
                let reason = UpstreamError::ConnectionLimit;
                telemetry::origin_failure(reason.label());
                return Err(AttemptError::sent(reason, asked));
            }
            reason = self.time_out(request_body, head.is_grpc && http2, wait) => {
                telemetry::origin_failure(reason.label());
                return Err(AttemptError {
                    cut_short: wait < full,
                    ..AttemptError::sent(reason, asked)
                });
            }
        };
        match answer {
            Ok(response) => {
                trace.response_received(connected);
                request_body.stop_buffering();
                // An incomplete request occupies its connection.
                if !request_body.awaits_continue() {
                    connection.return_to_pool();
                }
                Ok(UpstreamResponse {
                    response,
                    permit,
                    stream,
                })
            }
            Err(error) => {
                tracing::debug!(
                    origin = %to.authority,
                    reused,
                    error = error.error() as &dyn std::error::Error,
                    "an origin did not answer"
                );
                let revoked = stream.as_ref().is_some_and(StreamGuard::is_evicted);
                let reason = failure_reason(request_body.fault(), revoked);
                telemetry::origin_failure(reason.label());
                let unprocessed =
                    reason == UpstreamError::BadResponse && is_unprocessed(error.error());
                Err(AttemptError {
                    not_processed: unprocessed || error.message().is_some(),
                    retry_same_origin: unprocessed || (reused && !revoked),
                    ..AttemptError::sent(reason, asked)
                })
            }
        }
    }

    /// Waits until there was no progress for `wait`: neither a part of the request body nor,
    /// because this would not be polled any more, the response headers; or until the client has
    /// sent its body too slowly for as long as an origin wanted it.
    async fn time_out(
        &self,
        request_body: &ReplayableBody,
        conversation: bool,
        wait: Duration,
    ) -> UpstreamError {
        if request_body.awaits_continue() {
            sleep(CONTINUE_WAIT).await;
            request_body.send_continue();
        }
        let Timeouts {
            body_rate_min: body_rate,
            body_window,
            ..
        } = self.timeouts;
        let rated = body_rate > 0 && !request_body.is_empty() && !conversation;
        let tick = if rated { wait.min(body_window) } else { wait };
        let mut seen = (request_body.progress(), Instant::now());
        let mut window = (Duration::ZERO, 0);
        loop {
            sleep(tick).await;
            let now = request_body.progress();
            if now != seen.0 {
                seen = (now, Instant::now());
            } else if seen.1.elapsed() >= wait {
                return if request_body.awaits_client() {
                    UpstreamError::ClientTooSlow
                } else {
                    UpstreamError::ResponseTimeout
                };
            }
            let (waited, bytes) = (
                request_body.client_wait() - window.0,
                request_body.bytes() - window.1,
            );
            if rated && waited >= body_window {
                let wanted = u128::from(body_rate) * waited.as_millis() / 1000;
                if u128::from(bytes) < wanted {
                    return UpstreamError::ClientTooSlow;
                }
                window = (request_body.client_wait(), request_body.bytes());
            }
        }
    }
}

/// Waits until the connection is evicted.
async fn evicted(permit: Option<&UpstreamPermit>) {
    match permit {
        Some(permit) => permit.evicted().await,
        None => std::future::pending().await,
    }
}

/// Whether a retry is harmless although the origin may have acted on the request.
pub(super) fn is_retryable(
    head: &UpstreamRequestHead,
    request_body: &ReplayableBody,
    failed: &AttemptError,
) -> bool {
    failed.reason == UpstreamError::BadResponse && is_safe_without_body(head, request_body)
}

pub(super) fn is_safe_without_body(
    head: &UpstreamRequestHead,
    request_body: &ReplayableBody,
) -> bool {
    head.method.is_safe() && request_body.is_empty()
}

/// Why an origin that was sent a request did not respond. One that cannot get the rest of a body is
/// not to blame.
const fn failure_reason(body: BodyFault, revoked: bool) -> UpstreamError {
    match body {
        BodyFault::None if revoked => UpstreamError::ConnectionLimit,
        BodyFault::None => UpstreamError::BadResponse,
        BodyFault::TooLarge => UpstreamError::TooLarge,
        BodyFault::ClientAborted => UpstreamError::ClientAborted,
    }
}

/// Whether the origin reports that it has not acted on the request, and will not: the stream is
/// above the last one named by its GOAWAY, or was refused (RFC 9113 §8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<h2::Error>()) else {
        return false;
    };
    let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
    cause.is_remote() && (refused || cause.is_go_away())
}

fn not_connected(to: &Destination, error: &ConnectError) -> AttemptError {
    let reason = match error {
        ConnectError::Unresolved(_) | ConnectError::Tcp(_) | ConnectError::Http(_) => {
            UpstreamError::Unreachable
        }
        ConnectError::AddressNotAllowed(..) => UpstreamError::AddressNotAllowed,
        ConnectError::Tls { .. } => UpstreamError::TlsUntrusted,
        ConnectError::ConnectionLimit => UpstreamError::ConnectionLimit,
        ConnectError::TcpTimeout | ConnectError::HandshakeTimeout => UpstreamError::ConnectTimeout,
    };
    telemetry::origin_failure(reason.label());
    tracing::warn!(
        origin = %to.authority,
        reason = reason.label(),
        error = error as &dyn std::error::Error,
        "no connection to an origin"
    );
    AttemptError::unsent(reason, error.is_after_tcp())
}

/// The request in the form of the connection's HTTP version.
fn request(
    head: &UpstreamRequestHead,
    request_body: &Arc<ReplayableBody>,
    connection: &PooledConnection,
) -> Option<Request<UpstreamBody>> {
    // HTTP/1.1 has no way to report that a request was not processed.
    let mut request = Request::new(request_body.start_attempt(connection.is_http2()));
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    *request.uri_mut() = if connection.is_http2() {
        // The host is in the target only (RFC 9113 §8.3.1).
        request.headers_mut().remove(header::HOST);
        if head.trailers {
            let trailers = HeaderValue::from_static("trailers");
            request.headers_mut().insert(header::TE, trailers);
        }
        Uri::builder()
            .scheme(if connection.is_tls() { "https" } else { "http" })
            .authority(head.authority.clone())
            .path_and_query(head.target.clone())
            .build()
            .ok()?
    } else {
        if let Some(length) = request_body.buffered_length() {
            headers::set_length(request.headers_mut(), Some(length));
            request.headers_mut().remove(header::EXPECT);
        } else if !request_body.is_empty() && request_body.exact_length().is_none() {
            headers::set_chunked(request.headers_mut());
        }
        if request_body.awaits_continue() {
            let request_body = Arc::clone(request_body);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    request_body.send_continue();
                }
            });
        }
        Uri::from(head.target.clone())
    };
    Some(request)
}
