//! Responses that arrive before the request body is sent.
//!
//! An origin may respond to the headers alone (401, 413, 501) and close the connection with the
//! body unread. Then writing fails, with the response in the receive buffer, where Linux keeps it
//! past a reset. hyper would give up at the failed write; so it does not see one: writing stops,
//! and what can be read is read (RFC 9112 §9.3: a client that cannot send the rest still reads the
//! response).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to an origin. After a failed write it accepts no more, and fails only when there is
/// nothing more to read either.
#[derive(Debug)]
pub(super) struct EarlyResponseStream<S> {
    stream: S,
    /// The error of a write.
    broken: Option<io::ErrorKind>,
    /// Whether reading has ended.
    read_ended: bool,
    /// The task that waits to write, after the failure.
    writer: Option<Waker>,
}

impl<S> EarlyResponseStream<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            broken: None,
            read_ended: false,
            writer: None,
        }
    }

    /// A write or a flush.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        let kind = match self.broken {
            Some(kind) => kind,
            None => match write(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "an origin accepts no more of a request");
                    *self.broken.insert(error.kind())
                }
                written => return written,
            },
        };
        if self.read_ended {
            return Poll::Ready(Err(kind.into()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EarlyResponseStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if room == 0 || (read.is_ok() && buffer.remaining() < room) {
            return Poll::Ready(read);
        }
        self.read_ended = true;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        // A reset is reported once. If the write got it, the end of the response must not look
        // complete; with EPIPE the origin had closed gracefully before.
        match self.broken {
            Some(kind) if kind != io::ErrorKind::BrokenPipe => Poll::Ready(Err(kind.into())),
            _ => Poll::Ready(read),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EarlyResponseStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
