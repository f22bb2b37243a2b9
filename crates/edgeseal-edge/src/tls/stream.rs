//! A TLS stream over a socket that holds no buffers while nothing is in them.
//!
//! rustls' buffered connections keep a read buffer of 4 KiB each for their whole life. Most
//! connections are idle, so here rustls works on per-thread buffers ([`Scratch`]), and the
//! connection keeps only unconsumed bytes: a partial record, plaintext that was not read yet, and
//! records that the socket did not accept. Each of them is bounded: nothing is read while plaintext
//! is pending, and nothing is encrypted while records are.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    Error, HandshakeKind, ProtocolVersion, ServerConfig, server::UnbufferedServerConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

mod buffer;
mod records;

use buffer::PendingBytes;

use super::{client_hello::FRAGMENT_MAX, linger};

/// The decrypted stream of a connection.
pub(crate) struct TlsStream {
    socket: TcpStream,
    tls: UnbufferedServerConnection,
    /// Records, or the beginning of one, that rustls has not consumed.
    incoming: Vec<u8>,
    /// Whether it may contain complete records.
    unread: bool,
    /// Decrypted and not read yet: one record, or those that arrived with it.
    plain: PendingBytes,
    /// Records that the socket has not accepted.
    outgoing: PendingBytes,
    /// Whether the client has sent close_notify.
    peer_closed: bool,
    /// Whether close_notify was sent to the client.
    closed: bool,
    /// The error that ended the connection.
    failed: Option<Error>,
}

/// Buffers of a thread, used by one connection at a time.
struct Scratch {
    /// For bytes from the socket, which are decrypted in place.
    incoming: Box<[u8]>,
    /// For joining vectored writes.
    plain: Box<[u8]>,
    /// For records to the socket.
    outgoing: Box<[u8]>,
}

/// The longest record (RFC 8446 §5.2, RFC 5246 §6.2.3): the size of a read.
const RECORD_MAX: usize = 5 + FRAGMENT_MAX + 2048;
/// Maximum size of unconsumed bytes from the client during the handshake, in which messages of up
/// to 64 KiB are joined. Later nothing is joined, and at most a partial record remains.
const INCOMING_MAX: usize = 0xffff;
/// An encrypted record with its overhead, and a key update before it.
const ENCRYPTED_RECORD_MAX: usize = FRAGMENT_MAX + 128;
/// Records written at once.
const RECORDS_PER_WRITE: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        incoming: vec![0; INCOMING_MAX + RECORD_MAX].into(),
        plain: vec![0; FRAGMENT_MAX].into(),
        outgoing: vec![0; RECORDS_PER_WRITE * ENCRYPTED_RECORD_MAX].into(),
    });
}

impl TlsStream {
    /// Does the handshake with a client that has sent `hello` already.
    ///
    /// # Errors
    /// Of the socket; or a [`rustls::Error`] inside one of kind `InvalidData`, after its alert was
    /// sent to the client.
    pub(super) async fn accept(
        socket: TcpStream,
        hello: Vec<u8>,
        config: Arc<ServerConfig>,
    ) -> io::Result<Box<Self>> {
        let mut stream = Box::new(Self {
            socket,
            tls: UnbufferedServerConnection::new(config).map_err(broken)?,
            incoming: hello,
            unread: false,
            plain: PendingBytes::default(),
            outgoing: PendingBytes::default(),
            peer_closed: false,
            closed: false,
            failed: None,
        });
        match poll_fn(|cx| stream.poll_handshake(cx)).await {
            Ok(()) => Ok(stream),
            Err(error) => {
                if stream.failed.is_some() {
                    linger(&mut stream.socket).await;
                }
                Err(error)
            }
        }
    }

    /// The socket.
    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The TLS version.
    pub(super) fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.tls.protocol_version()
    }

    /// Whether a session was resumed.
    pub(super) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.tls.handshake_kind()
    }

    /// The negotiated ALPN protocol.
    pub(super) fn alpn_protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let worked = self
                .check_not_failed()
                .and_then(|()| self.process_pending());
            // The alert, if that failed.
            let sent = ready!(self.poll_send(cx));
            worked?;
            sent?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.peer_closed {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let filled = SCRATCH.with_borrow_mut(|scratch| {
                let read = ready!(self.poll_fill(cx, &mut scratch.incoming))?;
                self.incoming.extend_from_slice(&scratch.incoming[..read]);
                Poll::Ready(io::Result::Ok(()))
            });
            ready!(filled)?;
        }
    }

    /// Reads into `room` what follows `self.incoming`.
    fn poll_fill(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = if self.tls.is_handshaking() {
            INCOMING_MAX
        } else {
            RECORD_MAX
        };
        if self.incoming.len() >= most {
            let reason = "a message of the client is too long";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let mut buffer = ReadBuf::new(&mut room[..RECORD_MAX]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        match buffer.filled().len() {
            0 => {
                let reason = "the client closed the connection without close_notify";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason)))
            }
            read => Poll::Ready(Ok(read)),
        }
    }

    /// Sends all pending records.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, self.outgoing.remaining());
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.outgoing.consume(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads plaintext: at least one byte, except at the end.
    fn poll_plain(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        reader: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = reader.filled().len();
        loop {
            let worked = if mem::take(&mut self.unread) {
                let mut incoming = mem::take(&mut self.incoming);
                self.process_records(&mut incoming, Some(reader))
            } else {
                let kept = self.incoming.len();
                let read = ready!(self.poll_fill(cx, &mut scratch[kept..]))?;
                let all = &mut scratch[..kept + read];
                all[..kept].copy_from_slice(&self.incoming);
                let worked = self.process_records(all, Some(reader));
                all.fill(0); // wipe this client's plaintext
                worked
            };
            // An alert or a key update. What the socket does not accept goes before the next write.
            let _ = self.poll_send(cx);
            if reader.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            worked?;
            if self.peer_closed {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Encrypts the beginning of `bytes`, returns how much, and sends what the socket accepts of
    /// it. Nothing else may be pending.
    fn poll_encrypt(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (mut read, mut filled) = (0, 0);
        while read < bytes.len() && scratch.len() - filled >= ENCRYPTED_RECORD_MAX {
            let end = bytes.len().min(read + FRAGMENT_MAX);
            let room = &mut scratch[filled..];
            match self.with_write_traffic(|traffic| traffic.encrypt(&bytes[read..end], room)) {
                Ok(length) => filled += length,
                // What is already encrypted goes first.
                Err(_) if read > 0 => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
            read = end;
        }
        let mut sent = 0;
        while sent < filled {
            match Pin::new(&mut self.socket).poll_write(cx, &scratch[sent..filled]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(length)) => sent += length,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        self.outgoing
            .bytes
            .extend_from_slice(&scratch[sent..filled]);
        Poll::Ready(Ok(read))
    }

    /// Prepares for writing: processes what was received, and sends what is pending.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_not_failed()?;
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let worked = self.process_pending();
        // The alert, if that failed.
        let sent = self.poll_send(cx);
        worked?;
        sent
    }

    fn check_not_failed(&self) -> io::Result<()> {
        match &self.failed {
            Some(error) => Err(broken(error.clone())),
            None => Ok(()),
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        reader: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if reader.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !this.plain.is_empty() {
            let length = reader.remaining().min(this.plain.remaining().len());
            reader.put_slice(&this.plain.remaining()[..length]);
            this.plain.consume(length);
            return Poll::Ready(Ok(()));
        }
        if this.peer_closed {
            return Poll::Ready(Ok(()));
        }
        this.check_not_failed()?;
        SCRATCH.with_borrow_mut(|scratch| this.poll_plain(cx, &mut scratch.incoming, reader))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_writable(cx))?;
        SCRATCH.with_borrow_mut(|scratch| this.poll_encrypt(cx, bytes, &mut scratch.outgoing))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().position(|slice| !slice.is_empty());
        let slices = &slices[first.unwrap_or(slices.len())..];
        let long = |slice: &io::IoSlice<'_>| slice.len() >= FRAGMENT_MAX;
        match slices {
            [] => return self.poll_write(cx, &[]),
            [first] => return self.poll_write(cx, first),
            [first, ..] if long(first) => return self.poll_write(cx, first),
            _ => {}
        }
        // Joined, so that response headers and body are one record.
        let this = self.get_mut();
        ready!(this.poll_writable(cx))?;
        SCRATCH.with_borrow_mut(|scratch| {
            let mut filled = 0;
            for slice in slices {
                let length = slice.len().min(scratch.plain.len() - filled);
                scratch.plain[filled..][..length].copy_from_slice(&slice[..length]);
                filled += length;
            }
            let plain = &mut scratch.plain[..filled];
            let written = this.poll_encrypt(cx, plain, &mut scratch.outgoing);
            plain.fill(0);
            written
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed && this.failed.is_none() {
            match ready!(this.poll_writable(cx)) {
                Ok(()) => this.queue_close_notify()?,
                // The alert goes first.
                Err(_) if this.failed.is_some() => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

fn broken(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
