//! What is wrong with a first flight that rustls takes, or refuses with another alert than the RFCs have
//! for it. Pure; all of it is said in the clear, before a word of the handshake.

use edgeseal_core::delivery::TlsVersions;
use rustls::{AlertDescription, Error, InvalidMessage, PeerMisbehaved, SignatureScheme};

/// The records of a first flight, looked at as they come.
#[derive(Debug, Default)]
pub(super) struct RecordChecker {
    /// Where the next one begins.
    next: usize,
}

/// What a ClientHello says that rustls does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ParsedClientHello {
    legacy_version: u16,
    /// `None` without the extension.
    versions: Option<Vec<u16>>,
    has_groups: bool,
    has_key_share: bool,
    /// A share is for a group that is not among the groups.
    has_stray_share: bool,
    has_signature_algorithms: bool,
    has_psk: bool,
    /// A ticket of TLS 1.2.
    has_ticket: bool,
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// The plain text of one record (RFC 8446 §5.1).
const FRAGMENT_MAX: usize = 16_384;
const SSL3: u16 = 0x0300;
const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

impl RecordChecker {
    /// The alert for a record that cannot be part of a ClientHello; `bytes` are all that have come.
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
    /// Reads the message that these records hold; `None` if it is not whole, or does not read.
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
            body.vector(length)?; // session, suites, compression
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
        // What does not read is left to rustls.
        hello.has_stray_share = stray_share(groups, shares).unwrap_or_default();
        Some(hello)
    }

    /// `protocol_version`, if it is of a version that nobody speaks any more: a client that knows of no
    /// `supported_versions` says its best in the old place; SSL 3.0 there is refused in any case (RFC 8446
    /// §4.2.1, appendix D.5).
    pub(super) fn version_alert(&self) -> Option<AlertDescription> {
        let is_old =
            self.legacy_version <= SSL3 || (self.versions.is_none() && self.legacy_version < TLS12);
        is_old.then_some(AlertDescription::ProtocolVersion)
    }

    /// `missing_extension`, if it can only be of TLS 1.3, and lacks what that needs (RFC 8446 §9.2). With
    /// a key from before less is needed, and rustls looks at that.
    pub(super) fn extension_alert(&self) -> Option<AlertDescription> {
        let complete = self.has_groups && self.has_key_share && self.has_signature_algorithms;
        let lacks = self.offers(TLS13) && !self.has_psk && !complete;
        lacks.then_some(AlertDescription::MissingExtension)
    }

    /// What a domain that speaks `spoken` cannot answer. `can_sign` tells whether a certificate is there
    /// that makes one of some signatures; with a session to resume none may be needed.
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

/// Whether one of some key shares is for none of some groups; `None` if either does not read.
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

/// Whether a scheme may sign a handshake of TLS 1.3: neither PKCS#1 nor SHA-1 (RFC 8446 §4.2.3).
fn is_of_tls13(scheme: SignatureScheme) -> bool {
    let [hash, signature] = u16::from(scheme).to_be_bytes();
    signature != 1 && hash != 2
}

/// The alert for an error that rustls has none for.
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

/// Whether it is of a change_cipher_spec that is longer than it may be, or another one: rustls says
/// `decode_error`, and `unexpected_message` is due, as in TLS 1.3 (RFC 8446 §5).
pub(super) fn is_bad_ccs(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidMessage(
            InvalidMessage::InvalidCcs | InvalidMessage::TrailingData("ChangeCipherSpecPayload")
        )
    )
}

/// A fatal alert in the clear.
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

    /// A number of so many bytes.
    fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.take(length)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn short(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    /// What has its length before it, in so many bytes.
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
            // What is refused early is refused for the same reason when all is there.
            let all = RecordChecker::default().alert(&bytes);
            prop_assert!(first.is_none() || first == all || all == Some(AlertDescription::RecordOverflow));
        }
    }
}
