//! The state of an HTTP/1.1 connection in hyper, observed from outside.
//!
//! hyper does not report when a connection is idle. But it creates a timer exactly when it begins
//! to wait for request headers, which it does only once the exchange before is complete in both
//! directions, and drops it when the headers are complete. And it flushes the stream only when all
//! its output is written. Both are observed here: a connection that waits for headers and was
//! flushed since the last write is idle.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take},
    time::Instant,
};

use super::header_budget::HeaderBudget;

/// Whether a connection is idle. Written and read by its one task.
#[derive(Debug)]
pub(super) struct IdleTracker {
    /// When the wait for the first headers began.
    epoch: Instant,
    /// Time limit for the headers of a request.
    timeout: Duration,
    /// Time limit for a client that does not read.
    stall: Duration,
    /// Since when request headers are waited for, in milliseconds from `epoch`, plus one; 0: not.
    header_wait_since: AtomicU64,
    /// How many times headers were waited for.
    heads: AtomicU32,
    /// Since when the client does not read what is written, in the same form.
    blocked: AtomicU64,
    /// Whether everything written was flushed, and the stream is not being shut down.
    flushed: AtomicBool,
    /// For the headers of requests.
    header_budget: HeaderBudget,
}

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitingFor {
    /// Nothing that the client has to do.
    Nothing,
    /// Request headers, since then.
    Head(Instant),
    /// That the client reads what is written, since then.
    Client(Instant),
}

/// The state of a connection at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleState {
    /// A request is in progress.
    Busy,
    /// The client has until then. To be checked again then.
    Waits(Instant),
    /// Idle for long enough, since then.
    Idle(Instant),
    /// The client took too long.
    TimedOut,
}

impl IdleTracker {
    /// For a connection that waits for headers since `epoch`, for `timeout` at most; a client may
    /// stall for `stall`, and headers are limited by `room`.
    pub(super) fn new(
        epoch: Instant,
        timeout: Duration,
        stall: Duration,
        room: HeaderBudget,
    ) -> Arc<Self> {
        Arc::new(Self {
            epoch,
            timeout,
            stall,
            header_wait_since: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            heads: AtomicU32::new(0),
            flushed: AtomicBool::new(true),
            header_budget: room,
        })
    }

    /// What the connection waits for now.
    pub(super) fn waiting_for(&self) -> WaitingFor {
        let at = |since: &AtomicU64| {
            let since = since.load(Relaxed).checked_sub(1)?;
            Some(self.epoch + Duration::from_millis(since))
        };
        match (at(&self.header_wait_since), at(&self.blocked)) {
            (Some(since), _) => WaitingFor::Head(since),
            (None, Some(since)) => WaitingFor::Client(since),
            (None, None) => WaitingFor::Nothing,
        }
    }

    /// The state at `now`. A connection is idle `rest` after the end of a request, but not before
    /// the first one of this `IdleTracker`, whose first bytes were already read.
    pub(super) fn state_at(&self, rest: Duration, now: Instant) -> IdleState {
        let since = match self.waiting_for() {
            WaitingFor::Nothing => return IdleState::Busy,
            WaitingFor::Client(since) if now >= since + self.stall => return IdleState::TimedOut,
            WaitingFor::Client(since) => return IdleState::Waits(since + self.stall),
            WaitingFor::Head(since) => since,
        };
        let deadline = since + self.timeout;
        if now >= deadline {
            return IdleState::TimedOut;
        }
        if self.heads.load(Relaxed) < 2 {
            return IdleState::Waits(deadline);
        }
        let rested = since + rest;
        if now < rested {
            return IdleState::Waits(rested.min(deadline));
        }
        if self.flushed.load(Relaxed) {
            IdleState::Idle(since)
        } else {
            IdleState::Waits((now + rest).min(deadline))
        }
    }

    /// The current exchange, if any, is over.
    pub(super) fn release(&self) {
        self.header_budget.release();
    }

    /// Whether headers exceeded the budget, and the client can be told.
    pub(super) fn has_refused_header(&self) -> bool {
        self.header_budget.has_refused() && self.flushed.load(Relaxed)
    }

    fn begins(&self, now: Instant) {
        self.header_budget.begins();
        let first = self.heads.fetch_add(1, Relaxed) == 0;
        let since = if first { self.epoch } else { now };
        self.header_wait_since.store(self.stamp(since), Relaxed);
    }

    fn stamp(&self, at: Instant) -> u64 {
        let since = at.duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Records whether the client reads what is written.
    fn note_progress<T>(&self, given: &Poll<T>) {
        if given.is_ready() {
            self.blocked.store(0, Relaxed);
        } else if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.stamp(Instant::now()), Relaxed);
        }
    }
}

/// hyper's timer, which it uses for request headers only. It never fires: timeouts are found by
/// [`IdleTracker::state_at`].
#[derive(Debug)]
pub(super) struct HeaderTimer(pub(super) Arc<IdleTracker>);

#[derive(Debug)]
struct HeaderSleep(Arc<IdleTracker>);

impl HeaderTimer {
    fn begins(&self, deadline: std::time::Instant) {
        let deadline = Instant::from_std(deadline);
        let began = deadline.checked_sub(self.0.timeout);
        self.0.begins(began.unwrap_or(deadline));
    }
}

impl hyper::rt::Timer for HeaderTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.begins(deadline);
        Box::pin(HeaderSleep(Arc::clone(&self.0)))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }

    fn reset(&self, _: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: std::time::Instant) {
        self.begins(deadline);
    }
}

impl Future for HeaderSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl hyper::rt::Sleep for HeaderSleep {}

impl Drop for HeaderSleep {
    fn drop(&mut self) {
        self.0.header_wait_since.store(0, Relaxed);
        self.0.header_budget.complete();
    }
}

/// A stream while hyper owns it.
#[derive(Debug)]
pub(super) struct TrackedStream<S> {
    /// Limited to what may be read next.
    stream: Take<S>,
    /// Bytes read before; they come first.
    read_ahead: Bytes,
    tracker: Arc<IdleTracker>,
}

impl<S: AsyncRead> TrackedStream<S> {
    pub(super) fn new(stream: S, before: Bytes, idle_tracker: Arc<IdleTracker>) -> Self {
        Self {
            stream: stream.take(0),
            read_ahead: before,
            tracker: idle_tracker,
        }
    }

    /// The stream, and the bytes that were read from it and not consumed.
    pub(super) fn into_parts(self) -> (S, Bytes) {
        (self.stream.into_inner(), self.read_ahead)
    }

    fn stream(&mut self) -> Pin<&mut S>
    where
        S: Unpin,
    {
        Pin::new(self.stream.get_mut())
    }

    fn mark_unflushed(&self) {
        self.tracker.flushed.store(false, Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(room) = self.tracker.header_budget.next_read() else {
            let reason = "the request headers exceed the memory budget";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, reason)));
        };
        let filled = buffer.filled().len();
        if self.read_ahead.is_empty() {
            self.stream.set_limit(room as u64);
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            let length = self.read_ahead.len().min(buffer.remaining()).min(room);
            buffer.put_slice(&self.read_ahead[..length]);
            self.read_ahead.advance(length);
        }
        self.tracker
            .header_budget
            .received(buffer.filled().len() - filled);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.mark_unflushed();
        let written = self.stream().poll_write(cx, bytes);
        self.tracker.note_progress(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.mark_unflushed();
        let written = self.stream().poll_write_vectored(cx, slices);
        self.tracker.note_progress(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream().poll_flush(cx);
        let settled = matches!(flushed, Poll::Ready(Ok(())));
        self.tracker.flushed.store(settled, Relaxed);
        self.tracker.note_progress(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.mark_unflushed();
        let shut = self.stream().poll_shutdown(cx);
        self.tracker.note_progress(&shut);
        shut
    }
}

#[cfg(test)]
mod tests;
