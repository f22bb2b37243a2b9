//! Bodies on their way through: one frame at a time, taken only when the other side can take it.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body, to be lent to one origin after another until one begins to read it.
#[derive(Debug)]
pub(super) struct Loan {
    waiting: Mutex<Option<Incoming>>,
    hint: SizeHint,
    empty: bool,
    frames: AtomicU64,
    awaits_client: AtomicBool,
    bytes_max: u64,
    bytes: AtomicU64,
    fault: AtomicU8,
}

/// What went wrong on the client's side of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fault {
    None,
    /// It is longer than allowed.
    TooLarge,
    /// The client broke off.
    Client,
}

impl Loan {
    /// A body of which at most `bytes_max` bytes are passed on.
    pub(super) fn new(body: Incoming, bytes_max: u64) -> Self {
        Self {
            bytes_max,
            bytes: AtomicU64::new(0),
            fault: AtomicU8::new(Fault::None as u8),
            hint: body.size_hint(),
            empty: body.is_end_stream(),
            waiting: Mutex::new(Some(body)),
            frames: AtomicU64::new(0),
            awaits_client: AtomicBool::new(false),
        }
    }

    /// The body's length, if it is known before it is read.
    pub(super) fn exact_length(&self) -> Option<u64> {
        self.hint.exact()
    }

    /// Whether there is no body.
    pub(super) const fn is_empty(&self) -> bool {
        self.empty
    }

    /// What went wrong with it on the client's side, as far as it was read.
    pub(super) fn fault(&self) -> Fault {
        match self.fault.load(Ordering::Relaxed) {
            1 => Fault::TooLarge,
            2 => Fault::Client,
            _ => Fault::None,
        }
    }

    /// Whether it says of itself that it is longer than allowed.
    pub(super) fn is_too_large(&self) -> bool {
        self.hint.lower() > self.bytes_max
    }

    /// Whether nobody has begun to read it, or there is nothing to read.
    pub(super) fn is_whole(&self) -> bool {
        self.empty || self.lock().is_some()
    }

    /// Counts up with each part that was read.
    pub(super) fn progress(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Whether an origin waits for what the client has not sent yet.
    pub(super) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    /// A body to send.
    pub(super) fn lend(self: &Arc<Self>) -> Lent {
        Lent {
            loan: Arc::clone(self),
            body: None,
        }
    }

    /// Counts what is passed on; the fault, if there is one.
    fn check(&self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) -> Fault {
        let fault = match frame {
            None => return Fault::None,
            Some(Err(_)) => Fault::Client,
            Some(Ok(frame)) => {
                let count = frame.data_ref().map_or(0, |data| data.len() as u64);
                let before = self.bytes.fetch_add(count, Ordering::Relaxed);
                if before.saturating_add(count) <= self.bytes_max {
                    return Fault::None;
                }
                Fault::TooLarge
            }
        };
        self.fault.store(fault as u8, Ordering::Relaxed);
        fault
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Incoming>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lent body. Takes the real one at the first read and keeps it.
#[derive(Debug)]
pub(super) struct Lent {
    loan: Arc<Loan>,
    body: Option<Incoming>,
}

impl Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.body.is_none() {
            let taken = self.loan.lock().take();
            self.body = taken;
        }
        let Self { loan, body } = &mut *self;
        let Some(body) = body else {
            return Poll::Ready(Some(Err("the body was given to another origin".into())));
        };
        let polled = Pin::new(body).poll_frame(cx);
        loan.awaits_client
            .store(polled.is_pending(), Ordering::Relaxed);
        let frame = ready!(polled);
        loan.frames.fetch_add(1, Ordering::Relaxed);
        if loan.check(frame.as_ref()) == Fault::TooLarge {
            return Poll::Ready(Some(Err("the body is longer than allowed".into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Some(body) => body.is_end_stream(),
            None => self.loan.empty,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => self.loan.hint,
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Reply(Kind);

#[derive(Debug)]
enum Kind {
    Page(Full<Bytes>),
    Streamed(Box<Streamed>),
}

/// An origin's body. Fails if the origin is silent for too long; time that the client takes to
/// read does not count.
#[derive(Debug)]
struct Streamed {
    body: Incoming,
    idle: Duration,
    /// Made at the first wait: most bodies come with their head.
    silence: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Reply {
    pub(super) fn empty() -> Self {
        Self::page(Bytes::new())
    }

    pub(super) fn page(content: Bytes) -> Self {
        Self(Kind::Page(Full::new(content)))
    }

    pub(super) fn streamed(body: Incoming, idle: Duration) -> Self {
        Self(Kind::Streamed(Box::new(Streamed {
            body,
            idle,
            silence: None,
            waiting: false,
        })))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Page(page) => Pin::new(page)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Kind::Streamed(streamed) => streamed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Page(page) => page.is_end_stream(),
            Kind::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Page(page) => page.size_hint(),
            Kind::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = self.idle;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !self.waiting {
            self.waiting = true;
            silence.as_mut().reset(Instant::now() + idle);
        }
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Some(Err("the origin went silent in the middle".into())))
    }
}
