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

use super::head_room::HeadRoom;

/// Whether something is under way on a connection. Written and read by its one task.
#[derive(Debug)]
pub(super) struct Idleness {
    /// When the first head began to be waited for.
    epoch: Instant,
    /// For the head of a request.
    timeout: Duration,
    /// For a client that takes nothing.
    stall: Duration,
    /// Since when the head of a request is waited for, in milliseconds from `epoch`, plus one; 0 if
    /// none is.
    since: AtomicU64,
    /// Heads that were waited for.
    heads: AtomicU32,
    /// Since when the client takes nothing of what it is given, in the same form.
    blocked: AtomicU64,
    /// Whether nothing that was written waits to be flushed, and the stream is not being shut down.
    settled: AtomicBool,
    /// For the heads of requests.
    room: HeadRoom,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing that the client has to do.
    Nothing,
    /// The head of a request, since then.
    Head(Instant),
    /// That the client takes what it is given, since then.
    Client(Instant),
}

/// What the clock says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A request is under way.
    Busy,
    /// What the client has to do may take until then. To be asked again then.
    Waits(Instant),
    /// Nothing has been under way for long enough, since then.
    Idle(Instant),
    /// It took too long.
    TimedOut,
}

impl Idleness {
    /// Of a connection on which a head is waited for since `epoch`, for `timeout` at most; a client may
    /// take nothing for `stall`, and heads have `room`.
    pub(super) fn new(
        epoch: Instant,
        timeout: Duration,
        stall: Duration,
        room: HeadRoom,
    ) -> Arc<Self> {
        Arc::new(Self {
            epoch,
            timeout,
            stall,
            since: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            heads: AtomicU32::new(0),
            settled: AtomicBool::new(true),
            room,
        })
    }

    /// What is waited for now.
    pub(super) fn wait(&self) -> Wait {
        let at = |since: &AtomicU64| {
            let since = since.load(Relaxed).checked_sub(1)?;
            Some(self.epoch + Duration::from_millis(since))
        };
        match (at(&self.since), at(&self.blocked)) {
            (Some(since), _) => Wait::Head(since),
            (None, Some(since)) => Wait::Client(since),
            (None, None) => Wait::Nothing,
        }
    }

    /// The verdict at `now`. A connection is idle `rest` after the end of a request; not before the
    /// first one of this `Idleness`, of which a part is there.
    pub(super) fn verdict(&self, rest: Duration, now: Instant) -> Verdict {
        let since = match self.wait() {
            Wait::Nothing => return Verdict::Busy,
            Wait::Client(since) if now >= since + self.stall => return Verdict::TimedOut,
            Wait::Client(since) => return Verdict::Waits(since + self.stall),
            Wait::Head(since) => since,
        };
        let deadline = since + self.timeout;
        if now >= deadline {
            return Verdict::TimedOut;
        }
        if self.heads.load(Relaxed) < 2 {
            return Verdict::Waits(deadline);
        }
        let rested = since + rest;
        if now < rested {
            return Verdict::Waits(rested.min(deadline));
        }
        if self.settled.load(Relaxed) {
            Verdict::Idle(since)
        } else {
            Verdict::Waits((now + rest).min(deadline))
        }
    }

    /// The exchange that is under way, if any, is over.
    pub(super) fn release(&self) {
        self.room.release();
    }

    /// Whether a head takes more than there is room for, and the client can be told.
    pub(super) fn has_refused_head(&self) -> bool {
        self.room.has_refused() && self.settled.load(Relaxed)
    }

    fn begins(&self, now: Instant) {
        self.room.begins();
        let first = self.heads.fetch_add(1, Relaxed) == 0;
        let since = if first { self.epoch } else { now };
        self.since.store(self.stamp(since), Relaxed);
    }

    fn stamp(&self, at: Instant) -> u64 {
        let since = at.duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Notes whether the client takes what it is given.
    fn takes<T>(&self, given: &Poll<T>) {
        if given.is_ready() {
            self.blocked.store(0, Relaxed);
        } else if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.stamp(Instant::now()), Relaxed);
        }
    }
}

/// hyper's timer, which it uses for heads only. It never fires: what is due is found by
/// [`Idleness::verdict`].
#[derive(Debug)]
pub(super) struct HeadTimer(pub(super) Arc<Idleness>);

#[derive(Debug)]
struct Head(Arc<Idleness>);

impl HeadTimer {
    fn begins(&self, deadline: std::time::Instant) {
        let deadline = Instant::from_std(deadline);
        let began = deadline.checked_sub(self.0.timeout);
        self.0.begins(began.unwrap_or(deadline));
    }
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.begins(deadline);
        Box::pin(Head(Arc::clone(&self.0)))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }

    fn reset(&self, _: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: std::time::Instant) {
        self.begins(deadline);
    }
}

impl Future for Head {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl hyper::rt::Sleep for Head {}

impl Drop for Head {
    fn drop(&mut self) {
        self.0.since.store(0, Relaxed);
        self.0.room.is_complete();
    }
}

/// A stream while hyper has it.
#[derive(Debug)]
pub(super) struct Watched<S> {
    /// Limited to what may be read next.
    stream: Take<S>,
    /// What was read from it before; it comes first.
    before: Bytes,
    idleness: Arc<Idleness>,
}

impl<S: AsyncRead> Watched<S> {
    pub(super) fn new(stream: S, before: Bytes, idleness: Arc<Idleness>) -> Self {
        Self {
            stream: stream.take(0),
            before,
            idleness,
        }
    }

    /// The stream, and what was read from it and is not taken yet.
    pub(super) fn into_parts(self) -> (S, Bytes) {
        (self.stream.into_inner(), self.before)
    }

    fn stream(&mut self) -> Pin<&mut S>
    where
        S: Unpin,
    {
        Pin::new(self.stream.get_mut())
    }

    fn unsettled(&self) {
        self.idleness.settled.store(false, Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(room) = self.idleness.room.next_read() else {
            let why = "there is no room for so long a head";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, why)));
        };
        let filled = buffer.filled().len();
        if self.before.is_empty() {
            self.stream.set_limit(room as u64);
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            let length = self.before.len().min(buffer.remaining()).min(room);
            buffer.put_slice(&self.before[..length]);
            self.before.advance(length);
        }
        self.idleness.room.came(buffer.filled().len() - filled);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unsettled();
        let written = self.stream().poll_write(cx, octets);
        self.idleness.takes(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unsettled();
        let written = self.stream().poll_write_vectored(cx, slices);
        self.idleness.takes(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream().poll_flush(cx);
        let settled = matches!(flushed, Poll::Ready(Ok(())));
        self.idleness.settled.store(settled, Relaxed);
        self.idleness.takes(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unsettled();
        let shut = self.stream().poll_shutdown(cx);
        self.idleness.takes(&shut);
        shut
    }
}

#[cfg(test)]
mod tests;
