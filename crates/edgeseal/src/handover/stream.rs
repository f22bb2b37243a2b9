//! Lines over a Unix socket, with file descriptors attached (`SCM_RIGHTS`).

use std::{
    collections::VecDeque,
    io,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream};

use super::HandoverError;

/// Most descriptors with one line; there are fewer roles.
const SOCKETS_MAX: usize = 16;
/// Most bytes of a line.
const LINE_MAX: usize = 1024;

/// One side of a hand-over.
pub(super) struct HandoverStream {
    stream: UnixStream,
    buffer: Vec<u8>,
    received_fds: VecDeque<OwnedFd>,
}

impl HandoverStream {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            received_fds: VecDeque::new(),
        }
    }

    pub(super) async fn send(&mut self, line: &str) -> Result<(), HandoverError> {
        self.send_with_fds(line, &[]).await
    }

    /// Sends a line, with these sockets attached to its first byte.
    pub(super) async fn send_with_fds(
        &mut self,
        line: &str,
        mut sockets: &[BorrowedFd<'_>],
    ) -> Result<(), HandoverError> {
        let line = format!("{line}\n");
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            let send = || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
                let mut with = SendAncillaryBuffer::new(&mut space);
                if !sockets.is_empty() {
                    with.push(SendAncillaryMessage::ScmRights(sockets));
                }
                let bytes = [io::IoSlice::new(rest)];
                Ok(sendmsg(
                    &self.stream,
                    &bytes,
                    &mut with,
                    SendFlags::NOSIGNAL,
                )?)
            };
            let sent = self.stream.async_io(Interest::WRITABLE, send).await?;
            rest = &rest[sent..];
            sockets = &[];
        }
        Ok(())
    }

    /// Receives the next line.
    pub(super) async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.buffer.len() > LINE_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "says more than a line",
                ));
            }
            let mut bytes = [0; LINE_MAX];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let stream = &self.stream;
            let (count, sockets) = stream
                .async_io(Interest::READABLE, || {
                    let mut with = RecvAncillaryBuffer::new(&mut space);
                    let mut into = [io::IoSliceMut::new(&mut bytes)];
                    let flags = RecvFlags::CMSG_CLOEXEC;
                    let received = recvmsg(stream, &mut into, &mut with, flags)?;
                    let mut sockets = Vec::new();
                    for message in with.drain() {
                        if let RecvAncillaryMessage::ScmRights(some) = message {
                            sockets.extend(some);
                        }
                    }
                    Ok((received.bytes, sockets))
                })
                .await?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "is gone"));
            }
            self.buffer.extend_from_slice(&bytes[..count]);
            self.received_fds.extend(sockets);
        }
    }

    /// The next received socket.
    pub(super) fn next_fd(&mut self) -> Option<OwnedFd> {
        self.received_fds.pop_front()
    }
}
