//! A request body that is sent to one origin after another until one has begun to act on it.
//!
//! What an origin reads over HTTP/2 is buffered, up to [`REPLAY_MAX`]: it may report that it has
//! not processed the request (RFC 9113 §8.7), and then the whole body is sent elsewhere.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{HeaderMap, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{BoxError, UnreadBody};

mod upstream_body;

pub(in crate::proxy) use upstream_body::UpstreamBody;

/// A request body that can be sent to one origin after another.
#[derive(Debug)]
pub(in crate::proxy) struct ReplayableBody {
    source: Mutex<Source>,
    hint: SizeHint,
    /// The length found by [`ReplayableBody::buffer_all`].
    buffered_length: OnceLock<u64>,
    empty: bool,
    frames: AtomicU64,
    client_wait: Mutex<Waiting>,
    awaits_client: AtomicBool,
    bytes_max: u64,
    bytes: AtomicU64,
    fault: AtomicU8,
    gate: Gate,
    /// Whether an unneeded rest is read anyway, see [`discard`].
    discards: bool,
    /// Of an HTTP/1.1 connection.
    unread: Option<UnreadBody>,
}

/// The source of the body, and what was already read from it.
#[derive(Debug)]
struct Source {
    /// `None` once the rest is not needed.
    body: Option<Incoming>,
    /// Whether it was read to its end.
    ended: bool,
    /// The number of the current attempt: only this one reads the body.
    attempt: u64,
    /// Parts that were read and are buffered, or not yet delivered to the attempt; in order.
    buffered: VecDeque<BodyPart>,
    /// How many of these the attempt has received.
    replayed: usize,
    /// Their approximate size.
    buffered_bytes: usize,
    /// Whether everything read is buffered.
    replayable: bool,
    /// Whether parts read are to be buffered.
    buffering: bool,
}

#[derive(Clone, Debug)]
enum BodyPart {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Maximum size of the replay buffer, in bytes: the initial window of HTTP/2 (RFC 9113 §6.9.2),
/// because an origin that refuses a request has seldom opened it further.
const REPLAY_MAX: usize = 65_535;

/// Bytes of an HTTP/2 body that are read and discarded, and for how long.
const DISCARD_MAX: usize = 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// An error on the client's side of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::proxy) enum BodyFault {
    None,
    /// It is larger than allowed.
    TooLarge,
    /// The client disconnected.
    ClientAborted,
}

/// How long an origin waited for the client.
#[derive(Debug, Default)]
struct Waiting {
    since: Option<Instant>,
    before: Duration,
}

/// Delays reading a body. Reading it tells the client that it may send it: hyper then sends `100
/// Continue`.
#[derive(Debug)]
struct Gate {
    state: AtomicU8,
    reader: AtomicWaker,
}

const OPEN: u8 = 0;
const WAITING: u8 = 1;
const GIVEN_UP: u8 = 2;

impl ReplayableBody {
    /// A body of which at most `bytes_max` bytes are forwarded. One that is `gated` is not read
    /// before [`ReplayableBody::send_continue`]. `unread` belongs to its HTTP/1.1 connection.
    pub(in crate::proxy) fn new(
        body: Incoming,
        bytes_max: u64,
        gated: bool,
        (version, unread): (Version, &UnreadBody),
    ) -> Self {
        let gate = if gated { WAITING } else { OPEN };
        let hint = body.size_hint();
        let mut request_body = Self::of(Some(body), hint, (bytes_max, gate));
        request_body.discards = version == Version::HTTP_2;
        request_body.unread = (!request_body.discards).then(|| unread.clone());
        request_body
    }

    fn of(body: Option<Incoming>, hint: SizeHint, (bytes_max, gate): (u64, u8)) -> Self {
        Self {
            bytes_max,
            bytes: AtomicU64::new(0),
            fault: AtomicU8::new(BodyFault::None as u8),
            hint,
            buffered_length: OnceLock::new(),
            empty: body.as_ref().is_none_or(Body::is_end_stream),
            source: Mutex::new(Source {
                body,
                ended: false,
                attempt: 0,
                buffered: VecDeque::new(),
                replayed: 0,
                buffered_bytes: 0,
                replayable: true,
                buffering: false,
            }),
            frames: AtomicU64::new(0),
            client_wait: Mutex::default(),
            awaits_client: AtomicBool::new(false),
            gate: Gate {
                state: AtomicU8::new(gate),
                reader: AtomicWaker::new(),
            },
            discards: false,
            unread: None,
        }
    }

    /// No body.
    pub(in crate::proxy) fn empty() -> Self {
        Self::of(None, SizeHint::with_exact(0), (u64::MAX, OPEN))
    }

    /// The length of the body, if it is known before it is sent.
    pub(in crate::proxy) fn exact_length(&self) -> Option<u64> {
        self.hint.exact().or_else(|| self.buffered_length())
    }

    /// The length, if it was found by buffering.
    pub(in crate::proxy) fn buffered_length(&self) -> Option<u64> {
        self.buffered_length.get().copied()
    }

    /// Whether there is no body.
    pub(in crate::proxy) const fn is_empty(&self) -> bool {
        self.empty
    }

    /// The client-side error, as far as it was read.
    pub(in crate::proxy) fn fault(&self) -> BodyFault {
        match self.fault.load(Ordering::Relaxed) {
            1 => BodyFault::TooLarge,
            2 => BodyFault::ClientAborted,
            _ => BodyFault::None,
        }
    }

    /// Whether its declared length is larger than allowed.
    pub(in crate::proxy) fn is_too_large(&self) -> bool {
        self.hint.lower() > self.bytes_max
    }

    /// Whether all of it can still be sent: it was not read yet, it is empty, or everything read is
    /// buffered.
    pub(in crate::proxy) fn is_replayable(&self) -> bool {
        self.empty || self.source.lock().replayable
    }

    /// Drops the buffer: the origin has begun to respond.
    pub(in crate::proxy) fn stop_buffering(&self) {
        if !self.empty {
            self.source.lock().forget();
        }
    }

    /// Increases with each part that is read.
    pub(in crate::proxy) fn progress(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes read.
    pub(in crate::proxy) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Total time that an origin has waited for the client.
    pub(in crate::proxy) fn client_wait(&self) -> Duration {
        let waiting = self.client_wait.lock();
        let now = waiting.since.map(|since| since.elapsed());
        waiting.before + now.unwrap_or_default()
    }

    /// Whether an origin waits for what the client has not sent yet.
    pub(in crate::proxy) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    /// Whether the client waits for 100 Continue.
    pub(in crate::proxy) fn awaits_continue(&self) -> bool {
        self.gate.state.load(Ordering::Acquire) == WAITING
    }

    /// Opens the gate.
    pub(in crate::proxy) fn send_continue(&self) {
        self.gate.leave(OPEN);
    }

    /// The body is not needed any more: pending reads get an error.
    pub(in crate::proxy) fn abandon(&self) {
        self.gate.state.store(GIVEN_UP, Ordering::Release);
        self.gate.reader.wake();
    }

    /// A body to send, from its start. Earlier attempts get no more of it. It is buffered while
    /// read if it `may_return`.
    pub(in crate::proxy) fn start_attempt(self: &Arc<Self>, may_return: bool) -> UpstreamBody {
        let mut source = self.source.lock();
        self.note_wait(false);
        source.attempt += 1;
        source.replayed = 0;
        source.buffering = may_return;
        UpstreamBody {
            number: source.attempt,
            body: Arc::clone(self),
        }
    }

    /// Reads a body that was not sent yet, up to [`REPLAY_MAX`], to find its length. All of it can
    /// still be sent afterwards. Returns whether it was read to its end; an error if the client's
    /// side failed.
    pub(in crate::proxy) async fn buffer_all(&self) -> Result<bool, BoxError> {
        loop {
            let frame = poll_fn(|cx| {
                let mut source = self.source.lock();
                if source.ended || source.buffered_bytes > REPLAY_MAX {
                    return Poll::Ready(None);
                }
                let frame = ready!(self.poll_next(&mut source, cx));
                if let Some(Ok(frame)) = &frame {
                    source.wait_for_borrower(frame);
                }
                Poll::Ready(frame)
            });
            if frame.await.transpose()?.is_some() {
                continue;
            }
            let source = self.source.lock();
            if source.ended {
                // Nothing was sent, so what was read is everything.
                let _ = self.buffered_length.set(self.bytes());
            }
            return Ok(source.ended);
        }
    }

    /// The next part from the client.
    fn poll_next(
        &self,
        source: &mut Source,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if source.ended {
            return Poll::Ready(None);
        }
        let Some(body) = &mut source.body else {
            return Poll::Ready(Some(Err("the rest of the body was discarded".into())));
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        self.note_wait(polled.is_pending());
        let frame = ready!(polled);
        self.frames.fetch_add(1, Ordering::Relaxed);
        source.ended = frame.is_none();
        let is_last = match &frame {
            None => true,
            Some(Ok(frame)) => frame.is_trailers() || body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if let Some(unread) = self.unread.as_ref().filter(|_| is_last) {
            unread.is_read();
        }
        if self.check(frame.as_ref()) == BodyFault::TooLarge {
            return Poll::Ready(Some(Err("the body is larger than allowed".into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    /// Counts what is forwarded; returns the fault, if there is one.
    fn check(&self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) -> BodyFault {
        let fault = match frame {
            None => return BodyFault::None,
            Some(Err(_)) => BodyFault::ClientAborted,
            Some(Ok(frame)) => {
                let count = frame.data_ref().map_or(0, |data| data.len() as u64);
                let before = self.bytes.fetch_add(count, Ordering::Relaxed);
                if before.saturating_add(count) <= self.bytes_max {
                    return BodyFault::None;
                }
                BodyFault::TooLarge
            }
        };
        self.fault.store(fault as u8, Ordering::Relaxed);
        fault
    }

    /// Records whether the client has sent what an origin asked for.
    fn note_wait(&self, pending: bool) {
        if pending == self.awaits_client.swap(pending, Ordering::Relaxed) {
            return;
        }
        let mut waiting = self.client_wait.lock();
        if pending {
            waiting.since = Some(Instant::now());
        } else if let Some(since) = waiting.since.take() {
            waiting.before += since.elapsed();
        }
    }
}

impl Source {
    /// Stops buffering, and drops what the attempt has received.
    fn forget(&mut self) {
        self.buffering = false;
        self.replayable &= self.replayed == 0;
        self.buffered.drain(..self.replayed);
        self.replayed = 0;
    }

    /// The next of the parts that were read for another attempt.
    fn replay(&mut self) -> Option<BodyPart> {
        if self.buffering {
            let part = self.buffered.get(self.replayed).cloned()?;
            self.replayed += 1;
            return Some(part);
        }
        self.replayable &= self.buffered.is_empty();
        self.buffered.pop_front()
    }

    /// Buffers a part until the next attempt.
    fn wait_for_borrower(&mut self, frame: &Frame<Bytes>) {
        if let Some(part) = BodyPart::of(frame) {
            self.buffered_bytes += part.cost();
            self.buffered.push_back(part);
        }
    }

    /// Buffers a part that is delivered to the attempt, if buffering is on and there is space.
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(part) = BodyPart::of(frame) else {
            return;
        };
        self.buffered_bytes += part.cost();
        if self.buffering && self.buffered_bytes <= REPLAY_MAX {
            self.buffered.push_back(part);
            self.replayed = self.buffered.len();
        } else {
            self.replayable = false;
            self.forget();
        }
    }
}

impl BodyPart {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Some(Self::Data(data.clone())),
            (None, Some(trailers)) => Some(Self::Trailers(trailers.clone())),
            (None, None) => None,
        }
    }

    fn cost(&self) -> usize {
        let content = match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => trailers.len() * 64,
        };
        content + size_of::<Self>()
    }

    fn frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(trailers) => Frame::trailers(trailers.clone()),
        }
    }
}

impl Gate {
    fn leave(&self, to: u8) {
        let left = self
            .state
            .compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Relaxed);
        if left.is_ok() {
            self.reader.wake();
        }
    }

    /// `true` if the gate is open, pending while it is shut.
    fn poll(&self, cx: &Context<'_>) -> Poll<bool> {
        if self.state.load(Ordering::Acquire) != GIVEN_UP {
            self.reader.register(cx.waker());
        }
        match self.state.load(Ordering::Acquire) {
            WAITING => Poll::Pending,
            state => Poll::Ready(state == OPEN),
        }
    }
}

/// The unread rest is discarded with it.
impl Drop for ReplayableBody {
    fn drop(&mut self) {
        let source = self.source.get_mut();
        discard_or_reset(source.body.take(), self.discards);
    }
}

fn discard_or_reset(rest: Option<Incoming>, discards: bool) {
    let rest = rest.filter(|rest| discards && !rest.is_end_stream());
    if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
        runtime.spawn(discard(rest));
    }
}

/// Reads and discards the rest of a body. To end an HTTP/2 stream that is still being sent takes an
/// `RST_STREAM` (RFC 9113 §8.1), at which some clients drop the response: a short rest is read
/// instead.
async fn discard(mut rest: Incoming) {
    let reading = async {
        let mut left = DISCARD_MAX;
        while let Some(Ok(frame)) = rest.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // A slower client gets the reset after that.
    let _ = timeout(DISCARD_TIME, reading).await;
}
