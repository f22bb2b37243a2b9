//! Responses delimited by the end of the connection (RFC 9112 §6.3): those without a length to
//! HTTP/1.0 clients. If one is aborted, the connection must not end as if the response were
//! complete: it is reset.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Response, Version};
use http_body::Body;
use rustix::net::sockopt::set_socket_linger;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::tls::TlsStream;

/// A stream over TCP.
pub(super) trait OverTcp {
    fn socket(&self) -> &TcpStream;
}

/// Whether the current response is delimited by the end of its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct EndsConnection(Arc<AtomicBool>);

/// A stream that is reset if it is dropped, and not shut down, during such a response.
#[derive(Debug)]
pub(super) struct CloseDelimited<S> {
    stream: S,
    ends: EndsConnection,
    /// Whether closing the socket resets the connection.
    armed: bool,
}

impl EndsConnection {
    /// Records whether the response to a request of `version` is one.
    pub(super) fn note<B: Body>(&self, version: Version, response: &Response<B>) {
        if version == Version::HTTP_10 && response.body().size_hint().exact().is_none() {
            self.0.store(true, Relaxed);
        }
    }
}

impl<S: OverTcp> CloseDelimited<S> {
    pub(super) const fn new(stream: S, ends: EndsConnection) -> Self {
        Self {
            stream,
            ends,
            armed: false,
        }
    }

    /// Called before anything of the response is written.
    fn arm(&mut self) {
        if !self.armed && self.ends.0.load(Relaxed) {
            self.armed = set_socket_linger(self.stream.socket(), Some(Duration::ZERO)).is_ok();
        }
    }

    /// Called when the response is complete.
    fn disarm(&mut self) {
        if self.armed {
            self.armed = set_socket_linger(self.stream.socket(), None).is_err();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CloseDelimited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + OverTcp + Unpin> AsyncWrite for CloseDelimited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.arm();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.arm();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.disarm();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl OverTcp for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl OverTcp for Box<TlsStream> {
    fn socket(&self) -> &TcpStream {
        TlsStream::socket(self)
    }
}
