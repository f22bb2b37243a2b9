//! Errors in a client's first flight that rustls accepts, or refuses with another alert than the
//! RFCs require. Pure; all alerts here are unencrypted, before the handshake begins.

use edgeseal_core::delivery::TlsVersions;
use rustls::{AlertDescription, Error, InvalidMessage, PeerMisbehaved, SignatureScheme};

/// Checks the records of a first flight as they arrive.
#[derive(Debug, Default)]
pub(super) struct RecordChecker {
    /// Offset of the next record.
    next: usize,
}

/// The parts of a ClientHello that rustls does not expose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ParsedClientHello {
    legacy_version: u16,
    /// `None` without the extension.
    versions: Option<Vec<u16>>,
    has_groups: bool,
    has_key_share: bool,
    /// Whether a key share is for a group that is not among the supported groups.
    has_stray_share: bool,
    has_signature_algorithms: bool,
    has_psk: bool,
    /// Whether it has a TLS 1.2 session ticket.
    has_ticket: bool,
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Maximum size of a record's plaintext (RFC 8446 §5.1).
pub(super) const FRAGMENT_MAX: usize = 16_384;
const SSL3: u16 = 0x0300;
const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

impl RecordChecker {
    /// The alert for a record that cannot be part of a ClientHello; `bytes` is everything received
    /// so far.
    pub(super) fn alert(&mut self, bytes: &[u8]) -> Option<AlertDescription> {
        while let Some([kind, _, _, high, low]) = bytes.get(self.next..self.next + 5) {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if *kind == HANDSHAKE && length > FRAGMENT_MAX {
                return Some(AlertDescription::RecordOverflow);
            }
            self.next += 5 + length;
        }
        let is_other = |first: &[u8]| {
            first[0] == HANDSHAKE && first[3..5] != [0, 0] && first[5] != CLIENT_HELLO
        };
        let other = bytes.get(..6).is_some_and(is_other);
        other.then_some(AlertDescription::UnexpectedMessage)
    }
}

impl ParsedClientHello {
    /// Parses the message in these records; `None` if it is incomplete or malformed.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let message = join(bytes);
        let mut message = Reader(&message);
        if message.number(1)? != usize::from(CLIENT_HELLO) {
            return None;
        }
        let mut body = Reader(message.vector(3)?);
        let mut hello = Self {
            legacy_version: body.short()?,
            ..Self::default()
        };
        body.take(32)?;
        for length in [1, 2, 1] {
            body.vector(length)?; // session id, cipher suites, compression
        }
        let mut extensions = Reader(if body.0.is_empty() {
            &[]
        } else {
            body.vector(2)?
        });
        let (mut groups, mut shares): (&[u8], &[u8]) = (&[], &[]);
        while !extensions.0.is_empty() {
            let kind = extensions.short()?;
            let content = extensions.vector(2)?;
            match kind {
                10 => {
                    hello.has_groups = true;
                    groups = content;
                }
                13 => hello.has_signature_algorithms = true,
                35 => hello.has_ticket = !content.is_empty(),
                41 => hello.has_psk = true,
                43 => {
                    let versions = Reader(content).vector(1)?;
                    let pairs = versions.as_chunks().0.iter();
                    hello.versions = Some(pairs.map(|pair| u16::from_be_bytes(*pair)).collect());
                }
                51 => {
                    hello.has_key_share = true;
                    shares = content;
                }
                _ => {}
            }
        }
        // Malformed extensions are left to rustls.
        hello.has_stray_share = stray_share(groups, shares).unwrap_or_default();
        Some(hello)
    }

    /// `protocol_version`, if the version is no longer supported by anyone: a client without
    /// `supported_versions` puts its highest version in the legacy field; SSL 3.0 there is refused
    /// in any case (RFC 8446 §4.2.1, appendix D.5).
    pub(super) fn version_alert(&self) -> Option<AlertDescription> {
        let is_old =
            self.legacy_version <= SSL3 || (self.versions.is_none() && self.legacy_version < TLS12);
        is_old.then_some(AlertDescription::ProtocolVersion)
    }

    /// `missing_extension`, if it can only be TLS 1.3, and lacks an extension that this requires
    /// (RFC 8446 §9.2). With a pre-shared key fewer are required, which rustls checks.
    pub(super) fn extension_alert(&self) -> Option<AlertDescription> {
        let complete = self.has_groups && self.has_key_share && self.has_signature_algorithms;
        let lacks = self.offers(TLS13) && !self.has_psk && !complete;
        lacks.then_some(AlertDescription::MissingExtension)
    }

    /// The alert if a domain with the versions `spoken` cannot serve this client. `can_sign`
    /// returns whether there is a certificate for one of some signature schemes; to resume a
    /// session none may be needed.
    pub(super) fn incompatibility_alert(
        &self,
        spoken: TlsVersions,
        offered: &[SignatureScheme],
        can_sign: impl Fn(&[SignatureScheme]) -> bool,
    ) -> Option<AlertDescription> {
        let speaks = |version| match spoken {
            TlsVersions::Both => true,
            TlsVersions::Only12 => version == TLS12,
            TlsVersions::Only13 => version == TLS13,
        };
        if self.offers(TLS13) && speaks(TLS13) {
            if let Some(missing) = self.extension_alert() {
                return Some(missing);
            }
            // RFC 8446 §4.2.8: "Servers MAY check for violations of these rules".
            if self.has_stray_share {
                return Some(AlertDescription::IllegalParameter);
            }
            let good: Vec<SignatureScheme> = offered
                .iter()
                .copied()
                .filter(|scheme| is_of_tls13(*scheme))
                .collect();
            let refused = !self.has_psk && !can_sign(&good);
            return refused.then_some(AlertDescription::HandshakeFailure);
        }
        let refused = self.offers(TLS12) && speaks(TLS12) && !self.has_ticket && !can_sign(offered);
        refused.then_some(AlertDescription::HandshakeFailure)
    }

    fn offers(&self, version: u16) -> bool {
        match &self.versions {
            Some(versions) => versions.contains(&version),
            None => version == TLS12 && self.legacy_version >= TLS12,
        }
    }
}

/// Whether a key share is for none of the groups; `None` if either is malformed.
fn stray_share(groups: &[u8], shares: &[u8]) -> Option<bool> {
    let groups = Reader(groups).vector(2)?.as_chunks().0;
    let mut shares = Reader(Reader(shares).vector(2)?);
    while !shares.0.is_empty() {
        let group = shares.short()?.to_be_bytes();
        shares.vector(2)?;
        if !groups.contains(&group) {
            return Some(true);
        }
    }
    Some(false)
}

/// Whether a scheme may sign a TLS 1.3 handshake: neither PKCS#1 nor SHA-1 (RFC 8446 §4.2.3).
fn is_of_tls13(scheme: SignatureScheme) -> bool {
    let [hash, signature] = u16::from(scheme).to_be_bytes();
    signature != 1 && hash != 2
}

/// The alert for an error, also for those to which rustls assigns none.
pub(super) fn alert_for(error: &Error) -> AlertDescription {
    match error {
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(
            PeerMisbehaved::MessageInterleavedWithHandshakeMessage
            | PeerMisbehaved::TooManyEmptyFragments
            | PeerMisbehaved::IllegalMiddleboxChangeCipherSpec,
        ) => AlertDescription::UnexpectedMessage,
        error if is_bad_ccs(error) => AlertDescription::UnexpectedMessage,
        Error::InvalidMessage(error) => (*error).into(),
        Error::PeerMisbehaved(_) => AlertDescription::IllegalParameter,
        Error::PeerIncompatible(_) | Error::General(_) => AlertDescription::HandshakeFailure,
        _ => AlertDescription::InternalError,
    }
}

/// Whether the error is caused by a malformed change_cipher_spec: rustls sends `decode_error`, but
/// `unexpected_message` is required, as in TLS 1.3 (RFC 8446 §5).
pub(super) fn is_bad_ccs(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidMessage(
            InvalidMessage::InvalidCcs | InvalidMessage::TrailingData("ChangeCipherSpecPayload")
        )
    )
}

/// The record of an unencrypted fatal alert.
pub(super) fn record_of(alert: AlertDescription) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, alert.into()]
}

/// The content of the handshake records at the front.
fn join(mut bytes: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(bytes.len());
    while let [HANDSHAKE, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (content, after) = rest.split_at(length.min(rest.len()));
        joined.extend_from_slice(content);
        bytes = after;
    }
    joined
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// An integer of `length` bytes.
    fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.take(length)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn short(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    /// A vector with a length prefix of `length` bytes.
    fn vector(&mut self, length: usize) -> Option<&'a [u8]> {
        let length = self.number(length)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0..600_usize) {
            let _ = ParsedClientHello::read(&bytes);
            let mut records = RecordChecker::default();
            let first = records.alert(&bytes[..cut.min(bytes.len())]);
            // What is refused early is refused for the same reason when everything has arrived.
            let all = RecordChecker::default().alert(&bytes);
            prop_assert!(first.is_none() || first == all || all == Some(AlertDescription::RecordOverflow));
        }
    }
}
