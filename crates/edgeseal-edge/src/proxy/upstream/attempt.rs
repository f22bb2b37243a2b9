//! One origin, asked once or a few times: the connection, the request on it, and how long its answer is
//! waited for.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, StatusCode, Uri, header};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        Patience,
        access::Trace,
        body::{Fault, Lent, Loan},
        fields,
    },
    Answer, Head, NoAnswer, Upstream,
    dial::NotConnected,
    exchange::{Exchange, OpenStream},
    pool::{Destination, Line},
};
use crate::telemetry;
/// For how long an origin that does not say that it wants a body is thought to read the expectation;
/// then it is sent to it (RFC 9110 §10.1.1: a client should not wait for ever).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// How often an origin is asked again that has not looked at a request.
const RETRIES: usize = 2;

/// A failed attempt.
pub(super) struct Failed {
    pub(super) why: NoAnswer,
    /// Whether nothing of the request can have been acted on.
    pub(super) unsent: bool,
    /// Whether another connection to the same origin may do better: this one was a kept one, or the
    /// origin said that it has not looked at the request.
    stale: bool,
    /// Whether there was a connection of TCP.
    pub(super) connected: bool,
    /// When the request was sent, or was to be.
    pub(super) asked: Instant,
    /// Whether it was waited for a shorter time than an origin has, as others had taken the rest.
    pub(super) cut_short: bool,
}

impl Failed {
    fn unsent(why: NoAnswer, connected: bool) -> Self {
        Self {
            why,
            unsent: true,
            stale: false,
            connected,
            asked: Instant::now(),
            cut_short: false,
        }
    }

    /// The request was sent, and nothing came of it.
    const fn sent(why: NoAnswer, asked: Instant) -> Self {
        Self {
            why,
            unsent: false,
            stale: false,
            connected: true,
            asked,
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
        head: &Head,
        loan: &Arc<Loan>,
        left: &mut Duration,
        trace: &mut Trace,
    ) -> Result<Answer, Failed> {
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
            let taken = failed.asked.elapsed().min(self.patience.head);
            *left = left.saturating_sub(taken);
            let again = failed.stale
                && retries < RETRIES
                && loan.is_whole()
                && (failed.unsent || repeats(head, loan, &failed));
            if !again || (loan.is_empty() && left.is_zero()) {
                return Err(failed);
            }
            retries += 1;
        }
    }

    /// Finds out the length of a body for an origin of HTTP/1.0, which takes none without (RFC 9112 §6.1:
    /// no chunks for a server that is not known to speak HTTP/1.1).
    async fn count(&self, head: &Head, loan: &Loan) -> Result<(), Failed> {
        loan.open();
        let why = tokio::select! {
            biased;
            counted = loan.count() => match (counted, loan.fault()) {
                (Ok(true), _) => return Ok(()),
                (Ok(false), _) => NoAnswer::LengthRequired,
                (Err(_), Fault::TooLarge) => NoAnswer::TooLarge,
                (Err(_), Fault::None | Fault::Client) => NoAnswer::ClientBroke,
            },
            why = self.give_up(loan, head.conversation, self.patience.head) => why,
        };
        telemetry::origin_failure(why.label());
        // Another origin may speak HTTP/1.1.
        let unsent = why == NoAnswer::LengthRequired;
        Err(Failed {
            unsent,
            ..Failed::unsent(why, false)
        })
    }

    pub(super) async fn attempt(
        &self,
        to: &Destination,
        head: &Head,
        loan: &Arc<Loan>,
        (fresh, left): (bool, Duration),
        trace: &mut Trace,
    ) -> Result<Answer, Failed> {
        let began = trace.asks(&to.authority);
        let mut line = self
            .pool
            .line(to, head.upgrade, fresh, head.source)
            .await
            .map_err(|error| not_connected(to, &error))?;
        let connected = trace.connected(began);
        let request =
            request(head, loan, &line).ok_or_else(|| Failed::unsent(NoAnswer::Broken, true))?;
        let (reused, http2) = (line.reused, line.is_http2());
        let asked = Instant::now();
        let full = self.patience.head;
        let wait = if loan.is_empty() {
            left.min(full)
        } else {
            full
        };
        let (exchange, stream) = (line.exchange.take(), line.stream.take());
        let answer = tokio::select! {
            biased;
            answer = line.send(request) => answer,
            () = revoked(exchange.as_ref()) => {
                let why = NoAnswer::Busy;
                telemetry::origin_failure(why.label());
                return Err(Failed::sent(why, asked));
            }
            why = self.give_up(loan, head.conversation && http2, wait) => {
                telemetry::origin_failure(why.label());
                return Err(Failed {
                    cut_short: wait < full,
                    ..Failed::sent(why, asked)
                });
            }
        };
        match answer {
            Ok(response) => {
                trace.answered(connected);
                loan.is_answered();
                // A request that is not through keeps its connection from any other.
                if !loan.is_shut() {
                    line.give_back();
                }
                Ok(Answer {
                    response,
                    exchange,
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
                let revoked = stream.as_ref().is_some_and(OpenStream::is_revoked);
                let why = match loan.fault() {
                    Fault::None if revoked => NoAnswer::Busy,
                    Fault::None => NoAnswer::Broken,
                    Fault::TooLarge => NoAnswer::TooLarge,
                    Fault::Client => NoAnswer::ClientBroke,
                };
                telemetry::origin_failure(why.label());
                let unprocessed = why == NoAnswer::Broken && is_unprocessed(error.error());
                Err(Failed {
                    unsent: unprocessed || error.message().is_some(),
                    stale: unprocessed || (reused && !revoked),
                    ..Failed::sent(why, asked)
                })
            }
        }
    }

    /// Waits until nothing has moved for `wait`: neither a part of the request's body nor, else
    /// this would not be polled any more, the head of the response; or until the client has sent
    /// too little of its body for as long as an origin wanted it.
    async fn give_up(&self, loan: &Loan, conversation: bool, wait: Duration) -> NoAnswer {
        if loan.is_shut() {
            sleep(CONTINUE_WAIT).await;
            loan.open();
        }
        let Patience {
            body_rate,
            body_window,
            ..
        } = self.patience;
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
                    NoAnswer::ClientTooSlow
                } else {
                    NoAnswer::HeadTimedOut
                };
            }
            let (waited, bytes) = (loan.waited() - window.0, loan.bytes() - window.1);
            if rated && waited >= body_window {
                let wanted = u128::from(body_rate) * waited.as_millis() / 1000;
                if u128::from(bytes) < wanted {
                    return NoAnswer::ClientTooSlow;
                }
                window = (loan.waited(), loan.bytes());
            }
        }
    }
}

/// Waits until the connection is needed for another visitor.
async fn revoked(exchange: Option<&Exchange>) {
    match exchange {
        Some(exchange) => exchange.revoked().await,
        None => std::future::pending().await,
    }
}

/// Whether asking again does no harm although the request may have been acted on.
pub(super) fn repeats(head: &Head, loan: &Loan, failed: &Failed) -> bool {
    failed.why == NoAnswer::Broken && is_harmless(head, loan)
}

pub(super) fn is_harmless(head: &Head, loan: &Loan) -> bool {
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

fn not_connected(to: &Destination, error: &NotConnected) -> Failed {
    let why = match error {
        NotConnected::Unresolved(_) | NotConnected::Tcp(_) | NotConnected::Http(_) => {
            NoAnswer::Unreachable
        }
        NotConnected::Refused(..) => NoAnswer::NotAllowed,
        NotConnected::Tls { .. } => NoAnswer::Untrusted,
        NotConnected::Busy => NoAnswer::Busy,
        NotConnected::TimedOut | NotConnected::HandshakeTimedOut => NoAnswer::ConnectTimedOut,
    };
    telemetry::origin_failure(why.label());
    tracing::warn!(
        origin = %to.authority,
        reason = why.label(),
        error = error as &dyn std::error::Error,
        "no connection to an origin"
    );
    Failed::unsent(why, error.is_after_tcp())
}

/// The request in the form that the connection's version has.
fn request(head: &Head, loan: &Arc<Loan>, line: &Line) -> Option<Request<Lent>> {
    // Over HTTP/1.1 nobody says that a request was not looked at.
    let mut request = Request::new(loan.lend(line.is_http2()));
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
        if let Some(length) = loan.counted() {
            fields::set_length(request.headers_mut(), Some(length));
            request.headers_mut().remove(header::EXPECT);
        } else if !loan.is_empty() && loan.exact_length().is_none() {
            fields::set_chunked(request.headers_mut());
        }
        if loan.is_shut() {
            let loan = Arc::clone(loan);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    loan.open();
                }
            });
        }
        Uri::from(head.target.clone())
    };
    Some(request)
}
