//! Limits the input of a connection: how much of it is buffered, and how fast it must arrive.
//!
//! The first page of a message (a TLS handshake, or a request with its body) is not counted. The
//! rest is reserved from the [`Budget`] of all messages in flight.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    budget::{Budget, PAGE, Reservation},
    connections::Revoker,
};

/// Bytes of a message that are not counted, and the most that one read returns: a read that ends
/// one message may return this much of the next.
const UNCOUNTED: usize = PAGE;
/// Time limit of a message that has just begun.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// Bytes per second that extend the limit: the longest request may take half a minute.
const RATE: usize = 16 * 1024;

/// A stream that enforces these limits on reads.
pub(super) struct PacedReader<S> {
    stream: S,
    message: Arc<InboundMessage>,
    deadline: Pin<Box<Sleep>>,
}

/// The message that a connection receives.
pub(super) struct InboundMessage {
    budget: Arc<Budget>,
    source: IpAddr,
    revoker: Revoker,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    stage: ReceiveState,
    /// Bytes of the message and, while it is processed, of the next one.
    bytes: usize,
    /// Bytes that are not counted. A request may arrive together with the end of the handshake.
    uncounted: usize,
    reservation: Option<Reservation>,
    /// Whether its headers are complete.
    head_received: bool,
    over_budget: Option<Part>,
    /// Whether the reader has yet to get the error.
    unreported: bool,
    /// Whether reading has stopped.
    is_stopped: bool,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All bytes before its call starts.
    Head,
    Body,
}

#[derive(Clone, Copy, Default)]
enum ReceiveState {
    /// Nothing has arrived.
    #[default]
    Idle,
    /// A part has arrived; the first bytes at this time.
    Receiving(Instant),
    /// All of it has arrived.
    Received,
}

impl InboundMessage {
    pub(super) fn new(budget: Arc<Budget>, source: IpAddr, revoker: Revoker) -> Arc<Self> {
        Arc::new(Self {
            budget,
            source,
            revoker,
            progress: Mutex::new(Progress {
                uncounted: 2 * UNCOUNTED,
                ..Progress::default()
            }),
        })
    }

    /// Marks the headers complete.
    pub(super) fn head_received(&self) {
        let mut progress = self.progress();
        progress.head_received = true;
        // The headers may have arrived with the previous message or the handshake.
        if matches!(progress.stage, ReceiveState::Idle) {
            progress.stage = ReceiveState::Receiving(Instant::now());
        }
    }

    /// Marks the message complete. Its memory stays reserved until [`done`](Self::done).
    pub(super) fn set_received(&self) {
        let mut progress = self.progress();
        progress.stage = ReceiveState::Received;
        progress.bytes = 0;
    }

    /// Ends the message and releases its memory.
    pub(super) fn done(&self) {
        let mut progress = self.progress();
        if !matches!(progress.stage, ReceiveState::Received) {
            progress.bytes = 0;
        }
        progress.stage = if progress.bytes == 0 {
            ReceiveState::Idle
        } else {
            ReceiveState::Receiving(Instant::now())
        };
        progress.uncounted = UNCOUNTED;
        progress.reservation = None;
        progress.head_received = false;
    }

    /// Stops reading: further input is discarded.
    pub(super) fn stop_reading(&self) {
        self.progress().is_stopped = true;
    }

    /// Whether reading has stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.progress().is_stopped
    }

    /// The part that exceeded the memory budget.
    pub(super) fn over_budget(&self) -> Option<Part> {
        self.progress().over_budget
    }

    /// Fails once if the last input exceeded the memory budget. That input was still passed on,
    /// because TLS input must not have gaps.
    fn check_budget(&self) -> io::Result<()> {
        if std::mem::take(&mut self.progress().unreported) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }

    fn add_bytes(&self, bytes: usize) {
        let mut progress = self.progress();
        if progress.is_stopped {
            return;
        }
        if bytes > 0 && matches!(progress.stage, ReceiveState::Idle) {
            progress.stage = ReceiveState::Receiving(Instant::now());
        }
        progress.bytes += bytes;
        let Some(more @ 1..) = progress.bytes.checked_sub(progress.uncounted) else {
            return;
        };
        let held = match &mut progress.reservation {
            Some(held) => held.grow_to(more),
            none => {
                let held = self.budget.reserve(self.source, more, self.revoker.clone());
                held.map(|held| *none = Some(held))
            }
        };
        if held.is_err() {
            let part = if progress.head_received {
                Part::Body
            } else {
                Part::Head
            };
            progress.over_budget = Some(part);
            progress.unreported = true;
            progress.is_stopped = true;
        }
    }

    /// The deadline of further input.
    fn deadline(&self) -> Option<Instant> {
        let progress = self.progress();
        let ReceiveState::Receiving(since) = progress.stage else {
            return None;
        };
        if progress.is_stopped {
            return None;
        }
        let seconds = progress.bytes as f64 / RATE as f64;
        Some(since + GRACE + Duration::from_secs_f64(seconds))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> PacedReader<S> {
    pub(super) fn new(stream: S, message: Arc<InboundMessage>) -> Self {
        Self {
            stream,
            message,
            deadline: Box::pin(sleep(GRACE)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedReader<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.message.check_budget()?;
        let room = buffer.remaining().min(UNCOUNTED);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, &mut part) {
            read?;
            let bytes = part.filled().len();
            buffer.advance(bytes);
            this.message.add_bytes(bytes);
            return Poll::Ready(Ok(()));
        }
        let Some(deadline) = this.message.deadline() else {
            return Poll::Pending;
        };
        if this.deadline.deadline() != deadline {
            this.deadline.as_mut().reset(deadline);
        }
        ready!(this.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedReader<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
