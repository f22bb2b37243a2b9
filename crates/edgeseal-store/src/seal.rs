//! Secrets at rest: AES-256-GCM under a key-encryption key that is not in the store.
//!
//! A sealed value is `1 ‖ id of the KEK (4 octets) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`. The
//! associated data is the store key of the record that holds it, so that a sealed value moved to
//! another record does not open. Nonces are random: at 2^32 sealings under one KEK the chance of a
//! repeat reaches 2^-33 (NIST SP 800-38D §8.3); rotate long before.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::Secret;
use zeroize::Zeroizing;

use crate::Key;

const VERSION: u8 = 1;
const ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + ID_LEN + NONCE_LEN;

/// The key-encryption keys: one seals, all open.
#[derive(Clone)]
pub struct Keyring {
    active: KeyId,
    keys: Vec<(KeyId, std::sync::Arc<LessSafeKey>)>,
}

/// Names a key-encryption key: the start of the SHA-256 of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID_LEN]);

/// Why a text is no keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyring {
    /// No line holds a key.
    #[error("there is no key-encryption key in it")]
    Empty,
    /// A line is not 32 octets in base64.
    #[error("line {line} is not a key-encryption key: 32 octets in base64")]
    Malformed {
        /// Its number, from 1.
        line: usize,
    },
}

/// Why a sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was sealed under a key-encryption key that is not in the keyring.
    #[error("it needs key-encryption key {needed}, which is not in the keyring")]
    UnknownKey {
        /// The key that is needed.
        needed: KeyId,
    },
    /// It was changed, cut, or moved from another record.
    #[error("it was changed, cut or moved since it was sealed")]
    Broken,
}

impl Keyring {
    /// Parses a keyring: one key a line, 32 octets in base64; the first seals, all open. Empty
    /// lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    /// [`InvalidKeyring`], which never shows a part of a key.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyring> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = InvalidKeyring::Malformed { line: number + 1 };
            let bytes = Zeroizing::new(STANDARD.decode(line).map_err(|_| malformed.clone())?);
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| malformed)?;
            keys.push((
                KeyId::of(&bytes),
                std::sync::Arc::new(LessSafeKey::new(key)),
            ));
        }
        let (active, _) = keys.first().ok_or(InvalidKeyring::Empty)?;
        Ok(Self {
            active: *active,
            keys,
        })
    }

    /// A new random key in the form that [`Keyring::parse`] reads.
    #[must_use]
    pub fn generate() -> Zeroizing<String> {
        let bytes = Zeroizing::new(random::<32>());
        Zeroizing::new(STANDARD.encode(bytes.as_slice()))
    }

    /// The key that seals.
    #[must_use]
    pub const fn active(&self) -> KeyId {
        self.active
    }

    /// Seals `plain` for the record `holder`.
    #[must_use]
    pub fn seal(&self, plain: &Secret, holder: &Key) -> Vec<u8> {
        let nonce = random::<NONCE_LEN>();
        let mut ciphertext = Zeroizing::new(plain.expose().to_vec());
        let tag = self
            .key(self.active)
            .and_then(|key| {
                let aad = Aad::from(holder.as_str().as_bytes());
                key.seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(nonce),
                    aad,
                    &mut ciphertext,
                )
                .ok()
            })
            .expect("AES-256-GCM seals anything below 64 GiB, and the active key is in the ring");
        let mut sealed = Vec::with_capacity(HEADER_LEN + ciphertext.len() + tag.as_ref().len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.active.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed for the record `holder`.
    ///
    /// # Errors
    /// [`OpenError`] names the key that is needed, or says that the value is broken.
    pub fn open(&self, sealed: &[u8], holder: &Key) -> Result<Secret, OpenError> {
        let needed = KeyId::of_sealed(sealed).ok_or(OpenError::Broken)?;
        let key = self.key(needed).ok_or(OpenError::UnknownKey { needed })?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1 + ID_LEN..HEADER_LEN])
            .map_err(|_| OpenError::Broken)?;
        let mut buffer = Zeroizing::new(sealed[HEADER_LEN..].to_vec());
        let plain = key
            .open_in_place(nonce, Aad::from(holder.as_str().as_bytes()), &mut buffer)
            .map_err(|_| OpenError::Broken)?;
        Ok(Secret::new(plain.to_vec()))
    }

    fn key(&self, id: KeyId) -> Option<&LessSafeKey> {
        self.keys
            .iter()
            .find(|(have, _)| *have == id)
            .map(|(_, key)| &**key)
    }
}

impl KeyId {
    /// The key that a sealed value was sealed under; `None` if it is no sealed value.
    #[must_use]
    pub fn of_sealed(sealed: &[u8]) -> Option<Self> {
        let well_formed = sealed.len() >= HEADER_LEN && sealed[0] == VERSION;
        let id = sealed.get(1..=ID_LEN)?.try_into().ok()?;
        well_formed.then_some(Self(id))
    }

    fn of(key: &[u8]) -> Self {
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&digest(&SHA256, key).as_ref()[..ID_LEN]);
        Self(id)
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .expect("the operating system's random source never fails once it is seeded");
    bytes
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<KeyId> = self.keys.iter().map(|(id, _)| *id).collect();
        f.debug_struct("Keyring")
            .field("active", &self.active)
            .field("ids", &ids)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holder(name: &str) -> Key {
        Key::from_stored(name)
    }

    #[test]
    fn a_sealed_value_opens_only_for_its_record() {
        let ring = Keyring::parse(&Keyring::generate()).unwrap();
        let sealed = ring.seal(&Secret::new(b"key".to_vec()), &holder("a"));
        assert_eq!(ring.open(&sealed, &holder("a")).unwrap().expose(), b"key");
        assert_eq!(ring.open(&sealed, &holder("b")), Err(OpenError::Broken));
    }

    #[test]
    fn an_older_key_opens_and_the_first_seals() {
        let (old, new) = (Keyring::generate(), Keyring::generate());
        let before = Keyring::parse(&old).unwrap();
        let after = Keyring::parse(&format!("# new\n{}\n\n{}\n", *new, *old)).unwrap();
        let sealed = before.seal(&Secret::new(b"key".to_vec()), &holder("a"));
        assert!(after.open(&sealed, &holder("a")).is_ok());
        let sealed = after.seal(&Secret::new(b"key".to_vec()), &holder("a"));
        assert_eq!(
            before.open(&sealed, &holder("a")),
            Err(OpenError::UnknownKey {
                needed: after.active()
            })
        );
    }

    #[test]
    fn refused_keyrings() {
        assert_eq!(
            Keyring::parse("# nothing\n").unwrap_err(),
            InvalidKeyring::Empty
        );
        assert_eq!(
            Keyring::parse("\nAAAA").unwrap_err(),
            InvalidKeyring::Malformed { line: 2 }
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let text = Keyring::generate();
        let ring = Keyring::parse(&text).unwrap();
        assert!(!format!("{ring:?}").contains(&text[..8]));
    }

    proptest! {
        #[test]
        fn any_changed_octet_breaks_it(plain in prop::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index, bit in 0..8_u8) {
            let ring = Keyring::parse(&Keyring::generate()).unwrap();
            let mut sealed = ring.seal(&Secret::new(plain), &holder("a"));
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(ring.open(&sealed, &holder("a")).is_err());
        }

        #[test]
        fn any_octets_are_refused_calmly(sealed in prop::collection::vec(any::<u8>(), 0..64)) {
            let ring = Keyring::parse(&Keyring::generate()).unwrap();
            prop_assert!(ring.open(&sealed, &holder("a")).is_err());
        }
    }
}
