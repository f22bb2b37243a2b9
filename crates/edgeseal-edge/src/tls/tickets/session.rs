//! How long a session can be resumed: at most until the certificate of its full handshake expires,
//! and [`SESSION_LIFETIME_MAX_MS`] in total, however often it is resumed (RFC 8446 §4.6.1 leaves
//! the end to the server).
//!
//! Each ticket records the time of its full handshake and the certificate used. A ticket issued in
//! a resumed handshake records the same values, so that a chain of them has one end. A session is
//! resumed only while its domain still has that certificate: after a compromised key is replaced,
//! every client gets the new certificate.

use std::{fmt, sync::Arc};

use edgeseal_core::{Timestamp, certificate::Digest, ticket::PERIOD_MS};
use parking_lot::Mutex;
use rustls::server::ProducesTickets;

use super::{super::cert_resolver::CertResolver, TicketKeys};

/// Maximum lifetime of a session from its full handshake, in milliseconds: a day.
const SESSION_LIFETIME_MAX_MS: i64 = 24 * 60 * 60 * 1000;

/// The ticketer of one handshake.
pub(in crate::tls) struct SessionTicketer {
    tickets: Arc<TicketKeys>,
    domain_id: i64,
    resolver: Arc<CertResolver>,
    /// The session of the client's ticket. If the handshake becomes a full one anyway, its new
    /// session ends sooner than necessary.
    resumed: Mutex<Option<Session>>,
}

/// What a ticket contains besides the rustls session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    /// Time of its full handshake.
    began: Timestamp,
    /// When the certificate of that handshake expires.
    not_after: Timestamp,
    /// The digest of that certificate.
    certificate: Digest,
}

/// Two timestamps and a digest.
const HEAD: usize = 8 + 8 + 32;

impl SessionTicketer {
    /// For a handshake with a domain whose certificate `resolver` resolves.
    pub(in crate::tls) const fn new(
        tickets: Arc<TicketKeys>,
        domain: i64,
        resolver: Arc<CertResolver>,
    ) -> Self {
        Self {
            tickets,
            domain_id: domain,
            resolver,
            resumed: Mutex::new(None),
        }
    }

    /// The session to record in a ticket issued now.
    fn session(&self) -> Option<Session> {
        let resumed = *self.resumed.lock();
        resumed.or_else(|| {
            let chosen = self.resolver.chosen()?;
            Some(Session {
                began: self.tickets.now(),
                not_after: chosen.not_after,
                certificate: chosen.digest,
            })
        })
    }
}

impl Session {
    fn ends(&self) -> Timestamp {
        self.began
            .plus_ms(SESSION_LIFETIME_MAX_MS)
            .min(self.not_after)
    }

    fn left_ms(&self, now: Timestamp) -> i64 {
        self.ends().since_ms(now).max(0)
    }

    fn encode(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&self.began.unix_ms().to_be_bytes());
        head[8..16].copy_from_slice(&self.not_after.unix_ms().to_be_bytes());
        head[16..].copy_from_slice(&self.certificate.0);
        head
    }

    /// The session, and the rustls part.
    fn decode(opened: &[u8]) -> Option<(Self, &[u8])> {
        let (began, rest) = opened.split_first_chunk()?;
        let (not_after, rest) = rest.split_first_chunk()?;
        let (certificate, rest) = rest.split_first_chunk()?;
        let moment = |bytes: &[u8; 8]| Timestamp::from_unix_ms(i64::from_be_bytes(*bytes));
        let session = Self {
            began: moment(began),
            not_after: moment(not_after),
            certificate: Digest(*certificate),
        };
        Some((session, rest))
    }
}

impl ProducesTickets for SessionTicketer {
    /// Always: rustls accepts early data only with server-side session storage, so this also
    /// disables early data.
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let now = self.tickets.now();
        let left_ms = self.session().map_or(0, |session| session.left_ms(now));
        u32::try_from(left_ms.min(PERIOD_MS) / 1000).unwrap_or(0)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let session = self.session()?;
        if session.left_ms(self.tickets.now()) == 0 {
            return None;
        }
        let whole = [&session.encode()[..], plain].concat();
        self.tickets.seal(self.domain_id, &whole)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.tickets.open(self.domain_id, ticket)?;
        let (session, plain) = Session::decode(&opened)?;
        if session.left_ms(self.tickets.now()) == 0 || !self.resolver.includes(&session.certificate)
        {
            return None;
        }
        *self.resumed.lock() = Some(session);
        Some(plain.to_vec())
    }
}

impl fmt::Debug for SessionTicketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTickets")
            .field("domain", &self.domain_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn a_session_ends_with_its_certificate_or_after_a_day() {
        for (certificate, left) in [
            (48 * HOUR, 24 * HOUR),
            (24 * HOUR, 24 * HOUR),
            (HOUR, HOUR),
            (0, 0),
            (-HOUR, 0),
        ] {
            let session = Session {
                began: NOW,
                not_after: NOW.plus_ms(certificate),
                certificate: Digest([7; 32]),
            };
            assert_eq!(session.left_ms(NOW), left);
            let later = NOW.plus_ms(left / 2);
            assert_eq!(session.left_ms(later), left - left / 2);
            assert_eq!(session.left_ms(NOW.plus_ms(left)), 0);
            let whole = [&session.encode()[..], b"rest"].concat();
            assert_eq!(Session::decode(&whole), Some((session, &b"rest"[..])));
            assert_eq!(Session::decode(&whole[..HEAD - 1]), None);
        }
    }
}
