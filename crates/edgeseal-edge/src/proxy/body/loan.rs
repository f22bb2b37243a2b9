//! A request's body: lent to one origin after another until one begins to read it.

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
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::BoxError;

/// A request's body, to be lent to one origin after another until one begins to read it.
#[derive(Debug)]
pub(in crate::proxy) struct Loan {
    waiting: Mutex<Option<Incoming>>,
    hint: SizeHint,
    empty: bool,
    frames: AtomicU64,
    patience: Mutex<Waiting>,
    awaits_client: AtomicBool,
    bytes_max: u64,
    bytes: AtomicU64,
    fault: AtomicU8,
    gate: Gate,
}

/// What went wrong on the client's side of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::proxy) enum Fault {
    None,
    /// It is longer than allowed.
    TooLarge,
    /// The client broke off.
    Client,
}

/// How long an origin waited for the client.
#[derive(Debug, Default)]
struct Waiting {
    since: Option<Instant>,
    before: Duration,
}

/// What keeps a body from being read. To read it is to tell the client that it may send it: hyper
/// then says `100 Continue`.
#[derive(Debug)]
struct Gate {
    state: AtomicU8,
    reader: AtomicWaker,
}

const OPEN: u8 = 0;
const SHUT: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Loan {
    /// A body of which at most `bytes_max` bytes are passed on. One that is `gated` is not read
    /// before [`Loan::open`].
    pub(in crate::proxy) fn new(body: Incoming, bytes_max: u64, gated: bool) -> Self {
        Self {
            bytes_max,
            bytes: AtomicU64::new(0),
            fault: AtomicU8::new(Fault::None as u8),
            hint: body.size_hint(),
            empty: body.is_end_stream(),
            waiting: Mutex::new(Some(body)),
            frames: AtomicU64::new(0),
            patience: Mutex::default(),
            awaits_client: AtomicBool::new(false),
            gate: Gate {
                state: AtomicU8::new(if gated { SHUT } else { OPEN }),
                reader: AtomicWaker::new(),
            },
        }
    }

    /// The body's length, if it is known before it is read.
    pub(in crate::proxy) fn exact_length(&self) -> Option<u64> {
        self.hint.exact()
    }

    /// Whether there is no body.
    pub(in crate::proxy) const fn is_empty(&self) -> bool {
        self.empty
    }

    /// What went wrong with it on the client's side, as far as it was read.
    pub(in crate::proxy) fn fault(&self) -> Fault {
        match self.fault.load(Ordering::Relaxed) {
            1 => Fault::TooLarge,
            2 => Fault::Client,
            _ => Fault::None,
        }
    }

    /// Whether it says of itself that it is longer than allowed.
    pub(in crate::proxy) fn is_too_large(&self) -> bool {
        self.hint.lower() > self.bytes_max
    }

    /// Whether nobody has begun to read it, or there is nothing to read.
    pub(in crate::proxy) fn is_whole(&self) -> bool {
        self.empty || self.lock().is_some()
    }

    /// Counts up with each part that was read.
    pub(in crate::proxy) fn progress(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes that were read.
    pub(in crate::proxy) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// For how long, all in all, an origin has waited for what the client had not sent.
    pub(in crate::proxy) fn waited(&self) -> Duration {
        let waiting = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let now = waiting.since.map(|since| since.elapsed());
        waiting.before + now.unwrap_or_default()
    }

    /// Whether an origin waits for what the client has not sent yet.
    pub(in crate::proxy) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    /// Whether the client waits to be told to send it.
    pub(in crate::proxy) fn is_shut(&self) -> bool {
        self.gate.state.load(Ordering::Acquire) == SHUT
    }

    /// Lets it be read.
    pub(in crate::proxy) fn open(&self) {
        self.gate.leave(OPEN);
    }

    /// Nobody will read it any more: what still waits for it fails.
    pub(in crate::proxy) fn give_up(&self) {
        self.gate.leave(GIVEN_UP);
    }

    /// A body to send.
    pub(in crate::proxy) fn lend(self: &Arc<Self>) -> Lent {
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

    /// Takes note of whether the client has sent what an origin asked for.
    fn note_wait(&self, pending: bool) {
        if pending == self.awaits_client.swap(pending, Ordering::Relaxed) {
            return;
        }
        let mut waiting = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        if pending {
            waiting.since = Some(Instant::now());
        } else if let Some(since) = waiting.since.take() {
            waiting.before += since.elapsed();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Incoming>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn leave(&self, to: u8) {
        let left = self
            .state
            .compare_exchange(SHUT, to, Ordering::AcqRel, Ordering::Relaxed);
        if left.is_ok() {
            self.reader.wake();
        }
    }

    /// Whether it is open, once it is not shut any more.
    fn poll(&self, cx: &Context<'_>) -> Poll<bool> {
        if self.state.load(Ordering::Acquire) == SHUT {
            self.reader.register(cx.waker());
        }
        match self.state.load(Ordering::Acquire) {
            SHUT => Poll::Pending,
            state => Poll::Ready(state == OPEN),
        }
    }
}

/// A lent body. Takes the real one at the first read and keeps it.
#[derive(Debug)]
pub(in crate::proxy) struct Lent {
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
            if !ready!(self.loan.gate.poll(cx)) {
                return Poll::Ready(Some(Err("the origin answered without the body".into())));
            }
            let taken = self.loan.lock().take();
            self.body = taken;
        }
        let Self { loan, body } = &mut *self;
        let Some(body) = body else {
            return Poll::Ready(Some(Err("the body was given to another origin".into())));
        };
        let polled = Pin::new(body).poll_frame(cx);
        loan.note_wait(polled.is_pending());
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
