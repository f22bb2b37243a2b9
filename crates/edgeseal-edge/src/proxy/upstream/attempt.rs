//! One origin, asked once or a few times: the connection, the request on it, and how long its answer is
//! waited for.

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
/// For how long an origin that does not say that it wants a body is thought to read the expectation;
/// then it is sent to it (RFC 9110 §10.1.1: a client should not wait for ever).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// How often an origin is asked again that has not looked at a request.
const RETRIES: usize = 2;

/// A failed attempt.
pub(super) struct AttemptError {
    pub(super) why: UpstreamError,
    /// Whether nothing of the request can have been acted on.
    pub(super) not_processed: bool,
    /// Whether another connection to the same origin may do better: this one was a kept one, or the
    /// origin said that it has not looked at the request.
    retry_same_origin: bool,
    /// Whether there was a connection of TCP.
    pub(super) connected: bool,
    /// When the request was sent, or was to be.
    pub(super) sent_at: Instant,
    /// Whether it was waited for a shorter time than an origin has, as others had taken the rest.
    pub(super) cut_short: bool,
}

impl AttemptError {
    fn unsent(why: UpstreamError, connected: bool) -> Self {
        Self {
            why,
            not_processed: true,
            retry_same_origin: false,
            connected,
            sent_at: Instant::now(),
            cut_short: false,
        }
    }

    /// The request was sent, and nothing came of it.
    const fn sent(why: UpstreamError, asked: Instant) -> Self {
        Self {
            why,
            not_processed: false,
            retry_same_origin: false,
            connected: true,
            sent_at: asked,
            cut_short: false,
        }
    }
}

impl Upstream {
    /// Asks one origin. For the answer to a request without a body it is waited for `left` at most, from
    /// which goes what it has taken if it fails.
    pub(super) async fn send_to(
        &self,
        to: &Destination,
        head: &UpstreamRequestHead,
        loan: &Arc<ReplayableBody>,
        left: &mut Duration,
        trace: &mut UpstreamTiming,
    ) -> Result<UpstreamResponse, AttemptError> {
        if loan.exact_length().is_none() && !loan.is_empty() && self.lock().speaks_http10(to) {
            self.count(head, loan).await?;
        }
        let mut retries = 0;
        loop {
            let answer = self.attempt(to, head, loan, (retries > 0, *left), trace);
            let failed = match answer.await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let taken = failed.sent_at.elapsed().min(self.timeouts.header);
            *left = left.saturating_sub(taken);
            let again = failed.retry_same_origin
                && retries < RETRIES
                && loan.is_replayable()
                && (failed.not_processed || is_retryable(head, loan, &failed));
            if !again || (loan.is_empty() && left.is_zero()) {
                return Err(failed);
            }
            retries += 1;
        }
    }

    /// Finds out the length of a body for an origin of HTTP/1.0, which takes none without (RFC 9112 §6.1:
    /// no chunks for a server that is not known to speak HTTP/1.1).
    async fn count(
        &self,
        head: &UpstreamRequestHead,
        loan: &ReplayableBody,
    ) -> Result<(), AttemptError> {
        loan.send_continue();
        let why = tokio::select! {
            biased;
            counted = loan.buffer_all() => match (counted, loan.fault()) {
                (Ok(true), _) => return Ok(()),
                (Ok(false), _) => UpstreamError::LengthRequired,
                (Err(_), BodyFault::TooLarge) => UpstreamError::TooLarge,
                (Err(_), BodyFault::None | BodyFault::ClientAborted) => UpstreamError::ClientAborted,
            },
            why = self.time_out(loan, head.is_grpc, self.timeouts.header) => why,
        };
        telemetry::origin_failure(why.label());
        // Another origin may speak HTTP/1.1.
        let unsent = why == UpstreamError::LengthRequired;
        Err(AttemptError {
            not_processed: unsent,
            ..AttemptError::unsent(why, false)
        })
    }

    pub(super) async fn attempt(
        &self,
        to: &Destination,
        head: &UpstreamRequestHead,
        loan: &Arc<ReplayableBody>,
        (fresh, left): (bool, Duration),
        trace: &mut UpstreamTiming,
    ) -> Result<UpstreamResponse, AttemptError> {
        let began = trace.start_attempt(&to.authority);
        let mut line = self
            .pool
            .checkout(to, head.upgrade, fresh, head.source)
            .await
            .map_err(|error| not_connected(to, &error))?;
        let connected = trace.connected(began);
        let request = request(head, loan, &line)
            .ok_or_else(|| AttemptError::unsent(UpstreamError::BadResponse, true))?;
        let (reused, http2) = (line.reused, line.is_http2());
        let asked = Instant::now();
        let full = self.timeouts.header;
        let wait = if loan.is_empty() {
            left.min(full)
        } else {
            full
        };
        let (exchange, stream) = (line.permit.take(), line.stream.take());
        let answer = tokio::select! {
            biased;
            answer = line.send(request) => answer,
            () = evicted(exchange.as_ref()) => {
                let why = UpstreamError::ConnectionLimit;
                telemetry::origin_failure(why.label());
                return Err(AttemptError::sent(why, asked));
            }
            why = self.time_out(loan, head.is_grpc && http2, wait) => {
                telemetry::origin_failure(why.label());
                return Err(AttemptError {
                    cut_short: wait < full,
                    ..AttemptError::sent(why, asked)
                });
            }
        };
        match answer {
            Ok(response) => {
                trace.response_received(connected);
                loan.stop_buffering();
                // A request that is not through keeps its connection from any other.
                if !loan.awaits_continue() {
                    line.return_to_pool();
                }
                Ok(UpstreamResponse {
                    response,
                    permit: exchange,
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
                // An origin that cannot get the rest of a body is not to blame.
                let revoked = stream.as_ref().is_some_and(StreamGuard::is_evicted);
                let why = match loan.fault() {
                    BodyFault::None if revoked => UpstreamError::ConnectionLimit,
                    BodyFault::None => UpstreamError::BadResponse,
                    BodyFault::TooLarge => UpstreamError::TooLarge,
                    BodyFault::ClientAborted => UpstreamError::ClientAborted,
                };
                telemetry::origin_failure(why.label());
                let unprocessed =
                    why == UpstreamError::BadResponse && is_unprocessed(error.error());
                Err(AttemptError {
                    not_processed: unprocessed || error.message().is_some(),
                    retry_same_origin: unprocessed || (reused && !revoked),
                    ..AttemptError::sent(why, asked)
                })
            }
        }
    }

    /// Waits until nothing has moved for `wait`: neither a part of the request's body nor, else
    /// this would not be polled any more, the head of the response; or until the client has sent
    /// too little of its body for as long as an origin wanted it.
    async fn time_out(
        &self,
        loan: &ReplayableBody,
        conversation: bool,
        wait: Duration,
    ) -> UpstreamError {
        if loan.awaits_continue() {
            sleep(CONTINUE_WAIT).await;
            loan.send_continue();
        }
        let Timeouts {
            body_rate_min: body_rate,
            body_window,
            ..
        } = self.timeouts;
        let rated = body_rate > 0 && !loan.is_empty() && !conversation;
        let tick = if rated { wait.min(body_window) } else { wait };
        let mut seen = (loan.progress(), Instant::now());
        let mut window = (Duration::ZERO, 0);
        loop {
            sleep(tick).await;
            let now = loan.progress();
            if now != seen.0 {
                seen = (now, Instant::now());
            } else if seen.1.elapsed() >= wait {
                return if loan.awaits_client() {
                    UpstreamError::ClientTooSlow
                } else {
                    UpstreamError::ResponseTimeout
                };
            }
            let (waited, bytes) = (loan.client_wait() - window.0, loan.bytes() - window.1);
            if rated && waited >= body_window {
                let wanted = u128::from(body_rate) * waited.as_millis() / 1000;
                if u128::from(bytes) < wanted {
                    return UpstreamError::ClientTooSlow;
                }
                window = (loan.client_wait(), loan.bytes());
            }
        }
    }
}

/// Waits until the connection is needed for another visitor.
async fn evicted(exchange: Option<&UpstreamPermit>) {
    match exchange {
        Some(exchange) => exchange.evicted().await,
        None => std::future::pending().await,
    }
}

/// Whether asking again does no harm although the request may have been acted on.
pub(super) fn is_retryable(
    head: &UpstreamRequestHead,
    loan: &ReplayableBody,
    failed: &AttemptError,
) -> bool {
    failed.why == UpstreamError::BadResponse && is_safe_without_body(head, loan)
}

pub(super) fn is_safe_without_body(head: &UpstreamRequestHead, loan: &ReplayableBody) -> bool {
    head.method.is_safe() && loan.is_empty()
}

/// Whether the origin says that it has not acted on the request, nor will: the stream is above the last
/// one that its GOAWAY names, or was refused (RFC 9113 §8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<h2::Error>()) else {
        return false;
    };
    let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
    cause.is_remote() && (refused || cause.is_go_away())
}

fn not_connected(to: &Destination, error: &ConnectError) -> AttemptError {
    let why = match error {
        ConnectError::Unresolved(_) | ConnectError::Tcp(_) | ConnectError::Http(_) => {
            UpstreamError::Unreachable
        }
        ConnectError::AddressNotAllowed(..) => UpstreamError::AddressNotAllowed,
        ConnectError::Tls { .. } => UpstreamError::TlsUntrusted,
        ConnectError::ConnectionLimit => UpstreamError::ConnectionLimit,
        ConnectError::TcpTimeout | ConnectError::HandshakeTimeout => UpstreamError::ConnectTimeout,
    };
    telemetry::origin_failure(why.label());
    tracing::warn!(
        origin = %to.authority,
        reason = why.label(),
        error = error as &dyn std::error::Error,
        "no connection to an origin"
    );
    AttemptError::unsent(why, error.is_after_tcp())
}

/// The request in the form that the connection's version has.
fn request(
    head: &UpstreamRequestHead,
    loan: &Arc<ReplayableBody>,
    line: &PooledConnection,
) -> Option<Request<UpstreamBody>> {
    // Over HTTP/1.1 nobody says that a request was not looked at.
    let mut request = Request::new(loan.start_attempt(line.is_http2()));
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    *request.uri_mut() = if line.is_http2() {
        // The host is in the target alone (RFC 9113 §8.3.1).
        request.headers_mut().remove(header::HOST);
        if head.trailers {
            let trailers = HeaderValue::from_static("trailers");
            request.headers_mut().insert(header::TE, trailers);
        }
        Uri::builder()
            .scheme(if line.is_tls() { "https" } else { "http" })
            .authority(head.authority.clone())
            .path_and_query(head.target.clone())
            .build()
            .ok()?
    } else {
        if let Some(length) = loan.buffered_length() {
            headers::set_length(request.headers_mut(), Some(length));
            request.headers_mut().remove(header::EXPECT);
        } else if !loan.is_empty() && loan.exact_length().is_none() {
            headers::set_chunked(request.headers_mut());
        }
        if loan.awaits_continue() {
            let loan = Arc::clone(loan);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    loan.send_continue();
                }
            });
        }
        Uri::from(head.target.clone())
    };
    Some(request)
}
