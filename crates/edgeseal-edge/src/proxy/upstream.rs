//! The origins' side: which origin is asked, for how long, and whether another one after it.
//!
//! # When a request is sent again
//! - An origin that cannot be connected to has seen nothing: the next one is asked, with whatever
//!   method, as long as the whole body can still be sent.
//! - A kept connection that ends before anything of the request was written: the same origin is
//!   asked again on a new one, under the same condition.
//! - An origin that says over HTTP/2 that it has not looked at the request (RFC 9113 §8.7) is asked
//!   again on a new connection, [`RETRIES`] times, and then the next one; under the same condition.
//! - An origin that took the request and broke off may have acted on it. Only what is safe (RFC 9110
//!   §9.2.1) and has no body is asked again: of the same origin if the connection was a kept one,
//!   which origins close when they like, else of the next.
//! - An origin that took the request and is silent was given its time. What is safe and has no body is
//!   asked of the next one; all of them together have [`BUDGET`] times as long as one.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep};

use super::{
    Patience,
    access::Trace,
    body::{Fault, Lent, Loan},
    fields,
};
use crate::{
    entry::{Origin, Origins},
    telemetry,
    tls::OriginTls,
};

mod addresses;
mod dial;
mod exchange;
mod health;
mod pool;
mod resolve;

pub(super) use dial::Rules;

use dial::{Dial, NotConnected};
pub(super) use exchange::Exchange;
use health::Health;
use pool::{Destination, Line, Pool};
use resolve::Resolver;

/// Sends requests to origins.
#[derive(Debug)]
pub(super) struct Upstream {
    pool: Arc<Pool>,
    patience: Patience,
    ports: Ports,
    health: Mutex<Health>,
    epoch: Instant,
}

/// Which ports of origins speak what; all others speak HTTP/1.1 in the clear.
#[derive(Debug)]
pub(super) struct Ports {
    /// TLS, and HTTP/2 or HTTP/1.1 in it.
    pub(super) tls: Box<[u16]>,
    /// HTTP/2 in the clear, with prior knowledge (RFC 9113 §3.3).
    pub(super) h2c: Box<[u16]>,
}

/// For how long an origin that does not say that it wants a body is thought to read the expectation;
/// then it is sent to it (RFC 9110 §10.1.1: a client should not wait for ever).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// How often an origin is asked again that has not looked at a request.
const RETRIES: usize = 2;
/// What origins that are silent one after another get, in times of what one gets: a visitor waits for
/// one that is silent and for one that is slow.
const BUDGET: u32 = 2;

/// The head of a request, the same for each origin that is tried.
#[derive(Debug)]
pub(super) struct Head {
    /// Where the visitor comes from, as limits count it.
    pub(super) source: IpAddr,
    pub(super) method: Method,
    /// Host and port that the origin is asked for.
    pub(super) authority: Authority,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    /// Whether the protocol is to be changed, which is for HTTP/1.1 only.
    pub(super) upgrade: bool,
    /// Whether the client takes trailers.
    pub(super) trailers: bool,
    /// Whether its body may be silent for long, where the origin speaks HTTP/2 as well.
    pub(super) conversation: bool,
}

/// The head of an answer, and what it holds until its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// `None` over HTTP/2, where many share a connection.
    pub(super) exchange: Option<Exchange>,
}

/// Why no origin answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The domain has none.
    NoOrigin,
    /// Its name does not resolve, or it refuses connections.
    Unreachable,
    /// It is at an address that it may not have.
    NotAllowed,
    /// In TLS it does not prove to be the host that it is asked for.
    Untrusted,
    /// No connection in time.
    ConnectTimedOut,
    /// All connections that are allowed to it are in use, and none came free in time.
    Busy,
    /// It took the request and did not answer in time.
    HeadTimedOut,
    /// The client did not send the rest of its body.
    ClientTooSlow,
    /// It broke off, or what it said was no HTTP.
    Broken,
    /// The client's body is longer than allowed.
    TooLarge,
    /// The client broke off in the middle of its body.
    ClientBroke,
}

/// A failed attempt.
struct Failed {
    why: NoAnswer,
    /// Whether nothing of the request can have been acted on.
    unsent: bool,
    /// Whether another connection to the same origin may do better: this one was a kept one, or the
    /// origin said that it has not looked at the request.
    stale: bool,
    /// Whether the origin has answered nobody for as long as it was waited for.
    silent: bool,
}

impl Failed {
    const fn unsent(why: NoAnswer) -> Self {
        Self {
            why,
            unsent: true,
            stale: false,
            silent: false,
        }
    }
}

impl Upstream {
    /// Must be called on the runtime. To one origin there are at most `connections_max`
    /// connections.
    pub(super) fn new(
        patience: Patience,
        tls: OriginTls,
        ports: Ports,
        rules: Rules,
        connections_max: usize,
    ) -> Self {
        let resolver = Resolver::new(rules.dns);
        Self {
            pool: Pool::new(Dial::new(tls, resolver, rules), patience, connections_max),
            patience,
            ports,
            health: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    pub(super) const fn patience(&self) -> &Patience {
        &self.patience
    }

    /// The head of the first answer. Those that failed lately are asked after all others.
    pub(super) async fn send(
        &self,
        head: &Head,
        loan: &Arc<Loan>,
        origins: &Origins,
        trace: &mut Trace,
    ) -> Result<Answer, NoAnswer> {
        let mut last = NoAnswer::NoOrigin;
        let deadline = Instant::now() + self.patience.head * BUDGET;
        for origin in self.order(origins) {
            self.lock().tried(&origin.authority, self.now_ms());
            let to = self.destination(origin, &head.authority, origins.may_be_private());
            let answer = self.send_to(&to, head, loan, deadline, trace).await;
            self.learn(origin, &answer);
            let failed = match answer {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let goes_on = loan.is_whole()
                && (failed.unsent
                    || repeats(head, loan, &failed)
                    || (failed.why == NoAnswer::HeadTimedOut && is_harmless(head, loan)));
            if !goes_on || (!failed.unsent && Instant::now() >= deadline) {
                return Err(failed.why);
            }
            tracing::warn!(
                origin = %origin.authority,
                why = ?failed.why,
                "an origin is passed over"
            );
            last = failed.why;
        }
        Err(last)
    }

    fn order<'a>(&self, origins: &'a Origins) -> Vec<&'a Origin> {
        let health = self.lock();
        if health.is_all_well() {
            drop(health);
            return origins.in_turn(|_| true);
        }
        let now_ms = self.now_ms();
        origins.in_turn(|origin| health.is_in(&origin.authority, now_ms))
    }

    fn learn<T>(&self, origin: &Origin, answer: &Result<T, Failed>) {
        let mut health = self.lock();
        match answer {
            Ok(_) if health.is_all_well() => {}
            Ok(_) => {
                if health.answered(&origin.authority) {
                    drop(health);
                    tracing::info!(origin = %origin.authority, "an origin is back");
                }
            }
            // The client's doing says nothing of the origin, and being busy is no illness.
            Err(failed) if !failed.why.is_of_the_origin() => {}
            Err(failed) => {
                let out_ms = health.failed(&origin.authority, self.now_ms(), failed.silent);
                if let Some(out_ms) = out_ms {
                    drop(health);
                    tracing::warn!(origin = %origin.authority, out_ms, "an origin goes out");
                }
            }
        }
    }

    async fn send_to(
        &self,
        to: &Destination,
        head: &Head,
        loan: &Arc<Loan>,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Answer, Failed> {
        let mut answer = self.attempt(to, head, loan, (false, deadline), trace).await;
        for _ in 0..RETRIES {
            let again = answer.as_ref().is_err_and(|failed| {
                failed.stale && loan.is_whole() && (failed.unsent || repeats(head, loan, failed))
            });
            if !again {
                break;
            }
            answer = Box::pin(self.attempt(to, head, loan, (true, deadline), trace)).await;
        }
        answer
    }

    async fn attempt(
        &self,
        to: &Destination,
        head: &Head,
        loan: &Arc<Loan>,
        (fresh, deadline): (bool, Instant),
        trace: &mut Trace,
    ) -> Result<Answer, Failed> {
        let began = trace.asks(&to.authority);
        let mut line = self
            .pool
            .line(to, head.upgrade, fresh, head.source)
            .await
            .map_err(|error| not_connected(to, &error))?;
        let connected = trace.connected(began);
        let request = request(head, loan, &line).ok_or(Failed::unsent(NoAnswer::Broken))?;
        let (reused, http2) = (line.reused, line.is_http2());
        let asked = Instant::now();
        let exchange = line.exchange.take();
        let answer = tokio::select! {
            biased;
            answer = line.send(request) => answer,
            () = revoked(exchange.as_ref()) => {
                let why = NoAnswer::Busy;
                telemetry::origin_failure(why.label());
                return Err(Failed { why, unsent: false, stale: false, silent: false });
            }
            why = self.give_up(loan, head.conversation && http2, deadline) => {
                telemetry::origin_failure(why.label());
                let silent = why == NoAnswer::HeadTimedOut && !line.answered_since(asked);
                return Err(Failed { why, unsent: false, stale: false, silent });
            }
        };
        match answer {
            Ok(response) => {
                trace.answered(connected);
                loan.is_answered();
                line.note_answer();
                // A request that is not through keeps its connection from any other.
                if !loan.is_shut() {
                    line.give_back();
                }
                Ok(Answer { response, exchange })
            }
            Err(error) => {
                tracing::debug!(
                    origin = %to.authority,
                    reused,
                    error = error.error() as &dyn std::error::Error,
                    "an origin did not answer"
                );
                // An origin that cannot get the rest of a body is not to blame.
                let why = match loan.fault() {
                    Fault::None => NoAnswer::Broken,
                    Fault::TooLarge => NoAnswer::TooLarge,
                    Fault::Client => NoAnswer::ClientBroke,
                };
                telemetry::origin_failure(why.label());
                let unprocessed = why == NoAnswer::Broken && is_unprocessed(error.error());
                Err(Failed {
                    why,
                    unsent: unprocessed || error.message().is_some(),
                    stale: unprocessed || reused,
                    silent: false,
                })
            }
        }
    }

    fn destination(&self, origin: &Origin, asked: &Authority, private: bool) -> Destination {
        let h2c = self.ports.h2c.contains(&origin.port);
        let tls_host = self.ports.tls.contains(&origin.port).then(|| {
            let host = asked.host().trim_end_matches('.');
            host.to_ascii_lowercase().into_boxed_str()
        });
        Destination {
            authority: origin.authority.clone(),
            h2c: h2c && tls_host.is_none(),
            tls_host,
            private,
        }
    }

    /// Waits until nothing has moved for too long: neither a part of the request's body nor, else
    /// this would not be polled any more, the head of the response; or until the client has sent
    /// too little of its body for as long as an origin wanted it.
    async fn give_up(&self, loan: &Loan, conversation: bool, deadline: Instant) -> NoAnswer {
        if loan.is_shut() {
            sleep(CONTINUE_WAIT).await;
            loan.open();
        }
        let Patience {
            body_rate,
            body_window,
            head: patience,
            ..
        } = self.patience;
        let patience = if loan.is_empty() {
            patience.min(deadline.saturating_duration_since(Instant::now()))
        } else {
            patience
        };
        let rated = body_rate > 0 && !loan.is_empty() && !conversation;
        let tick = if rated {
            patience.min(body_window)
        } else {
            patience
        };
        let mut seen = (loan.progress(), Instant::now());
        let mut window = (Duration::ZERO, 0);
        loop {
            sleep(tick).await;
            let now = loan.progress();
            if now != seen.0 {
                seen = (now, Instant::now());
            } else if seen.1.elapsed() >= patience {
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

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl NoAnswer {
    /// Whether it says something of the origin's health.
    const fn is_of_the_origin(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Untrusted
            | Self::ConnectTimedOut
            | Self::HeadTimedOut
            | Self::Broken => true,
            // Who may not go there says nothing to those who may.
            Self::NoOrigin
            | Self::NotAllowed
            | Self::Busy
            | Self::ClientTooSlow
            | Self::TooLarge
            | Self::ClientBroke => false,
        }
    }

    /// The metric's label.
    const fn label(self) -> &'static str {
        match self {
            Self::NoOrigin => "no_origin",
            Self::Unreachable => "unreachable",
            Self::NotAllowed => "not_allowed",
            Self::Untrusted => "untrusted",
            Self::ConnectTimedOut => "connect_timed_out",
            Self::Busy => "busy",
            Self::HeadTimedOut => "head_timed_out",
            Self::ClientTooSlow => "client_too_slow",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::ClientBroke => "client_broke",
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
fn repeats(head: &Head, loan: &Loan, failed: &Failed) -> bool {
    failed.why == NoAnswer::Broken && is_harmless(head, loan)
}

fn is_harmless(head: &Head, loan: &Loan) -> bool {
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
        NotConnected::TimedOut => NoAnswer::ConnectTimedOut,
    };
    telemetry::origin_failure(why.label());
    tracing::warn!(
        origin = %to.authority,
        reason = why.label(),
        error = error as &dyn std::error::Error,
        "no connection to an origin"
    );
    Failed::unsent(why)
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
        if !loan.is_empty() && loan.exact_length().is_none() {
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
