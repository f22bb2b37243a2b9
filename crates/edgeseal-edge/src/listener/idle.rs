//! What hyper does with an HTTP/1.1 connection, seen from outside.
//!
//! hyper does not say when a connection is idle. It does ask for a timer exactly when it begins to wait
//! for the head of a request, which it does only once the exchange before is complete in both
//! directions, and lets go of it when the head is there. And it flushes the stream only when all that
//! it had to write is written. Both are seen here: of a connection whose head is waited for and that
//! was flushed since it was written to, nothing is under way.

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

/// Whether something is under way on a connection. Written and read by its one task.
#[derive(Debug)]
pub(super) struct IdleTracker {
    /// When the first head began to be waited for.
    epoch: Instant,
    /// For the head of a request.
    timeout: Duration,
    /// For a client that takes nothing.
    stall: Duration,
    /// Since when the head of a request is waited for, in milliseconds from `epoch`, plus one; 0 if
    /// none is.
    header_wait_since: AtomicU64,
    /// Heads that were waited for.
    heads: AtomicU32,
    /// Since when the client takes nothing of what it is given, in the same form.
    blocked: AtomicU64,
    /// Whether nothing that was written waits to be flushed, and the stream is not being shut down.
    flushed: AtomicBool,
    /// For the heads of requests.
    header_budget: HeaderBudget,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitingFor {
    /// Nothing that the client has to do.
    Nothing,
    /// The head of a request, since then.
    Head(Instant),
    /// That the client takes what it is given, since then.
    Client(Instant),
}

/// What the clock says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleState {
    /// A request is under way.
    Busy,
    /// What the client has to do may take until then. To be asked again then.
    Waits(Instant),
    /// Nothing has been under way for long enough, since then.
    Idle(Instant),
    /// It took too long.
    TimedOut,
}

impl IdleTracker {
    /// Of a connection on which a head is waited for since `epoch`, for `timeout` at most; a client may
    /// take nothing for `stall`, and heads have `room`.
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

    /// What is waited for now.
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

    /// The verdict at `now`. A connection is idle `rest` after the end of a request; not before the
    /// first one of this `IdleTracker`, of which a part is there.
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

    /// The exchange that is under way, if any, is over.
    pub(super) fn release(&self) {
        self.header_budget.release();
    }

    /// Whether a head takes more than there is room for, and the client can be told.
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

    /// Notes whether the client takes what it is given.
    fn note_progress<T>(&self, given: &Poll<T>) {
        if given.is_ready() {
            self.blocked.store(0, Relaxed);
        } else if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.stamp(Instant::now()), Relaxed);
        }
    }
}

/// hyper's timer, which it uses for heads only. It never fires: what is due is found by
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

/// A stream while hyper has it.
#[derive(Debug)]
pub(super) struct TrackedStream<S> {
    /// Limited to what may be read next.
    stream: Take<S>,
    /// What was read from it before; it comes first.
    read_ahead: Bytes,
    tracker: Arc<IdleTracker>,
}

impl<S: AsyncRead> TrackedStream<S> {
    pub(super) fn new(stream: S, before: Bytes, idleness: Arc<IdleTracker>) -> Self {
        Self {
            stream: stream.take(0),
            read_ahead: before,
            tracker: idleness,
        }
    }

    /// The stream, and what was read from it and is not taken yet.
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
            let reason = "there is no room for so long a head";
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
