//! The records of a connection: what rustls consumes and produces.

use std::{io, mem};

use rustls::{
    Error, HandshakeKind, ProtocolVersion,
    server::ServerConnectionData,
    unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic},
};
use tokio::io::ReadBuf;

use super::{
    super::client_hello::{alert_for, is_bad_ccs, record_of},
    TlsStream, broken,
    buffer::encode,
};

impl TlsStream {
    /// Lets `act` write, after [`Self::process_pending`].
    pub(super) fn with_write_traffic(
        &mut self,
        act: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        // With the received bytes, because rustls tracks how many of them it has seen.
        let mut incoming = mem::take(&mut self.incoming);
        let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut incoming);
        let acted = match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                act(&mut traffic).map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))
            }
            Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(broken(error)),
        };
        incoming.drain(..discard);
        self.incoming = incoming;
        acted
    }

    pub(super) fn queue_close_notify(&mut self) -> io::Result<()> {
        self.closed = true;
        let mut room = [0; 128];
        let length = self.with_write_traffic(|traffic| traffic.queue_close_notify(&mut room))?;
        self.outgoing.bytes.extend_from_slice(&room[..length]);
        Ok(())
    }

    /// Lets rustls consume all that it can of the received bytes.
    pub(super) fn process_pending(&mut self) -> io::Result<()> {
        let unread = mem::take(&mut self.unread);
        if !unread && !self.tls.is_handshaking() && !self.tls.wants_write() {
            return Ok(());
        }
        let mut incoming = mem::take(&mut self.incoming);
        self.process_records(&mut incoming, None)
    }

    /// Lets rustls consume what it can from the front of `incoming`, and keeps the rest. Plaintext
    /// goes to the reader, if there is one, until it is full; the remainder is kept, and processing
    /// stops. Records to be sent are in `self.outgoing` afterwards, also after an error.
    pub(super) fn process_records(
        &mut self,
        incoming: &mut [u8],
        mut reader: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<()> {
        let mut taken = 0;
        let worked = loop {
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut incoming[taken..]);
            taken += discard;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.outgoing.bytes);
                }
                // From here on it is this side's turn to send.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        taken += record.discard;
                        self.plain.deliver(record.payload, reader.as_deref_mut());
                    }
                    if reader
                        .as_ref()
                        .is_some_and(|reader| reader.remaining() == 0)
                    {
                        self.unread = true;
                        break Ok(());
                    }
                }
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(
                    ConnectionState::WriteTraffic(_)
                    | ConnectionState::BlockedHandshake
                    | ConnectionState::Closed,
                ) => break Ok(()),
                // Early data is never accepted.
                Ok(_) => break Err(Error::General("a state that is not served".to_owned())),
                Err(error) => break Err(error),
            }
        };
        self.incoming = incoming[taken..].to_vec();
        worked.map_err(|error| {
            let before = self.outgoing.bytes.len();
            self.take_alert();
            let has_none = self.outgoing.bytes.len() == before;
            if (has_none || is_bad_ccs(&error)) && self.writes_in_clear() {
                self.outgoing.bytes.truncate(before);
                let alert = record_of(alert_for(&error));
                self.outgoing.bytes.extend_from_slice(&alert);
            }
            self.failed = Some(error.clone());
            broken(error)
        })
    }

    /// Collects the records that rustls wants to send after an error. It must not get any more
    /// input.
    fn take_alert(&mut self) {
        while self.tls.wants_write() {
            match self.tls.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.outgoing.bytes);
                }
                _ => return,
            }
        }
    }

    /// Whether this side still writes unencrypted: in TLS 1.2 until its part of a full handshake is
    /// complete. Only rustls can send what is encrypted, alerts included.
    fn writes_in_clear(&self) -> bool {
        let resumed = self.tls.handshake_kind() == Some(HandshakeKind::Resumed);
        let tls12 = self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_2);
        self.tls.is_handshaking() && tls12 && !resumed
    }
}
