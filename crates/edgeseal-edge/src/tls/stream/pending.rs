//! Octets that wait for the other side.

use rustls::{
    server::ServerConnectionData,
    unbuffered::{EncodeError, EncodeTlsData},
};
use tokio::io::ReadBuf;

/// Octets of which the first have been taken.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) octets: Vec<u8>,
    taken: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// Takes the first `length`; with the last of them goes the memory.
    pub(super) fn take(&mut self, length: usize) {
        self.taken += length;
        if self.taken >= self.octets.len() {
            *self = Self::default();
        }
    }

    /// Gives `octets` to `reader` and keeps those for which it has no room.
    pub(super) fn hand_over(&mut self, octets: &[u8], reader: Option<&mut ReadBuf<'_>>) {
        let mut given = 0;
        if let Some(reader) = reader {
            given = octets.len().min(reader.remaining());
            reader.put_slice(&octets[..given]);
        }
        self.octets.extend_from_slice(&octets[given..]);
    }
}

/// Puts what rustls wants to be sent behind `outgoing`.
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
