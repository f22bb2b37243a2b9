//! Bytes waiting to be read or sent.

use rustls::{
    server::ServerConnectionData,
    unbuffered::{EncodeError, EncodeTlsData},
};
use tokio::io::ReadBuf;

/// Bytes of which the first ones are consumed.
#[derive(Default)]
pub(super) struct PendingBytes {
    pub(super) bytes: Vec<u8>,
    taken: usize,
}

impl PendingBytes {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn remaining(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Consumes the first `length`; frees the memory with the last of them.
    pub(super) fn consume(&mut self, length: usize) {
        self.taken += length;
        if self.taken >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Copies `bytes` to `reader` and keeps those that do not fit.
    pub(super) fn deliver(&mut self, bytes: &[u8], reader: Option<&mut ReadBuf<'_>>) {
        let mut given = 0;
        if let Some(reader) = reader {
            given = bytes.len().min(reader.remaining());
            reader.put_slice(&bytes[..given]);
        }
        self.bytes.extend_from_slice(&bytes[given..]);
    }
}

/// Appends what rustls wants to send to `outgoing`.
pub(super) fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    let mut room = 0;
    loop {
        outgoing.resize(start + room, 0);
        match data.encode(&mut outgoing[start..]) {
            Ok(length) => return outgoing.truncate(start + length),
            Err(EncodeError::InsufficientSize(size)) if room < size.required_size => {
                room = size.required_size;
            }
            Err(_) => return outgoing.truncate(start),
        }
    }
}
