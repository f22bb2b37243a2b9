//! What comes in on a connection: how much of it is held, and how fast it must come.
//!
//! A message (a TLS handshake, or a request with its body) may take a page without being counted.
//! What it takes beyond comes out of the [`Budget`] of all messages under way.

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

/// What a message may take without being counted, and what is read at once: what stays behind of one
/// message belongs to the next, and is no more than this.
const UNCOUNTED: usize = PAGE;
/// A message that has only begun has so long to come.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// Bytes a second that lengthen it: the longest request may take half a minute.
const RATE: usize = 16 * 1024;

/// A stream whose reading side keeps to that.
pub(super) struct PacedReader<S> {
    stream: S,
    message: Arc<InboundMessage>,
    deadline: Pin<Box<Sleep>>,
}

/// The message under way on a connection.
pub(super) struct InboundMessage {
    budget: Arc<Budget>,
    source: IpAddr,
    revoker: Revoker,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    stage: ReceiveState,
    /// Of the message, and while it is answered of the next one.
    bytes: usize,
    /// What of it is not counted. What follows a handshake may come with its end.
    uncounted: usize,
    reservation: Option<Reservation>,
    /// Whether its head has come.
    head_received: bool,
    over_budget: Option<Part>,
    /// Whether whoever reads is still to be told so.
    unreported: bool,
    /// Whether no more of it is wanted.
    is_stopped: bool,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What comes before a call of it can begin.
    Head,
    Body,
}

#[derive(Clone, Copy, Default)]
enum ReceiveState {
    /// Nothing of a message has come.
    #[default]
    Idle,
    /// A part of it has come, the first of it then.
    Receiving(Instant),
    /// All of it has come.
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

    /// Its head has come.
    pub(super) fn head_received(&self) {
        let mut progress = self.progress();
        progress.head_received = true;
        // It may have come with what was before it: with the handshake, or another message.
        if matches!(progress.stage, ReceiveState::Idle) {
            progress.stage = ReceiveState::Receiving(Instant::now());
        }
    }

    /// All of it has come. What it takes is held until [`done`](Self::done).
    pub(super) fn set_received(&self) {
        let mut progress = self.progress();
        progress.stage = ReceiveState::Received;
        progress.bytes = 0;
    }

    /// It is of no more use.
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

    /// No more of it is wanted, nor of any other: what comes is thrown away.
    pub(super) fn stop_reading(&self) {
        self.progress().is_stopped = true;
    }

    /// Whether no more of it is wanted.
    pub(super) fn is_stopped(&self) -> bool {
        self.progress().is_stopped
    }

    /// Which part of it there was no room for.
    pub(super) fn over_budget(&self) -> Option<Part> {
        self.progress().over_budget
    }

    /// Fails once if there was no room for what came last. That was still handed on, since what is
    /// read of TLS must not have gaps.
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

    /// By when more of it must have come.
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
