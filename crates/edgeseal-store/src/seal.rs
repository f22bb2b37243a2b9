//! Encryption at rest: secrets under AES-256-GCM, with a key-encryption key (KEK) that is not in
//! the store.
//!
//! A sealed value is `1 ‖ KEK ID (4 bytes) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`. The associated
//! data is the store key of its record, so a sealed value that is moved to another record cannot be
//! unsealed. Nonces are random: after 2^32 seals under one KEK the probability of a repeat reaches
//! 2^-33 (NIST SP 800-38D §8.3); rotate long before.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::Secret;
use zeroize::Zeroizing;

use crate::{Key, random};

const VERSION: u8 = 1;
const ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + ID_LEN + NONCE_LEN;

/// The key-encryption keys: the active one seals, all unseal.
///
/// Clones share them: [`Keyring::replace`] takes effect in all clones.
#[derive(Clone)]
pub struct Keyring {
    ring: Arc<RwLock<Arc<KeySet>>>,
}

/// The current keys; the first one is active.
struct KeySet {
    keys: Vec<(KeyId, Arc<LessSafeKey>)>,
}

/// Held from sealing until the sealed value is committed; see [`RetiredKeys::drained`].
pub struct SealGuard {
    _ring: Arc<KeySet>,
}

/// Keys that no longer seal, but may have sealed values that are not committed yet.
pub struct RetiredKeys {
    ring: Weak<KeySet>,
}

/// Identifies a key-encryption key: the start of the key's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_LEN]);

/// Why parsing a keyring failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyring {
    /// The text contains no key.
    #[error("there is no key-encryption key in it")]
    Empty,
    /// A line is not 32 bytes in base64.
    #[error("line {line} is not a key-encryption key: 32 bytes in base64 are expected")]
    Malformed {
        /// The line, from 1.
        line: usize,
    },
}

/// Why a keyring cannot replace another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key-encryption key {missing} is in use and is not among the new ones")]
pub struct MissingKey {
    /// A key of the current keyring that the new one lacks.
    pub missing: KeyId,
}

/// Why a key cannot be removed from the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoveKeyError {
    /// It is the active key.
    #[error("key-encryption key {id} is the one that seals")]
    Active {
        /// The key.
        id: KeyId,
    },
    /// The keyring does not contain it.
    #[error("there is no key-encryption key {id} in the keyring")]
    Unknown {
        /// The key.
        id: KeyId,
    },
}

/// Why a value cannot be unsealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// Its key-encryption key is not in the keyring.
    #[error("it needs key-encryption key {needed}, which is not in the keyring")]
    UnknownKey {
        /// The key that is needed.
        needed: KeyId,
    },
    /// It was changed, truncated, or moved from another record.
    #[error("it was changed, truncated or moved since it was sealed")]
    Broken,
}

impl Keyring {
    /// Parses a keyring: one key per line, 32 bytes in base64; the first is active. Empty lines,
    /// lines that start with `#`, and duplicate keys are skipped.
    ///
    /// # Errors
    /// [`InvalidKeyring`], which never shows a part of a key.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyring> {
        let mut keys: Vec<(KeyId, Arc<LessSafeKey>)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let Some((id, key)) = parse_line(line)
                .map_err(|Malformed| InvalidKeyring::Malformed { line: number + 1 })?
            else {
                continue;
            };
            if keys.iter().all(|(known, _)| *known != id) {
                keys.push((id, Arc::new(key)));
            }
        }
        if keys.is_empty() {
            return Err(InvalidKeyring::Empty);
        }
        Ok(Self {
            ring: Arc::new(RwLock::new(Arc::new(KeySet { keys }))),
        })
    }

    /// A keyring's text without the line of one key; everything else is unchanged. `None` if no
    /// line contains that key.
    ///
    /// # Errors
    /// [`InvalidKeyring`] if the text does not parse.
    pub fn text_without(
        text: &str,
        id: KeyId,
    ) -> Result<Option<Zeroizing<String>>, InvalidKeyring> {
        let mut kept = Zeroizing::new(String::with_capacity(text.len()));
        let mut found = false;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let key = parse_line(line)
                .map_err(|Malformed| InvalidKeyring::Malformed { line: number + 1 })?;
            if key.is_some_and(|(known, _)| known == id) {
                found = true;
            } else {
                kept.push_str(line);
            }
        }
        Ok(found.then_some(kept))
    }

    /// A new random key in the format of [`Keyring::parse`].
    #[must_use]
    pub fn generate() -> Zeroizing<String> {
        let bytes = Zeroizing::new(random::bytes::<32>());
        Zeroizing::new(STANDARD.encode(bytes.as_slice()))
    }

    /// The active key, which seals.
    #[must_use]
    pub fn active(&self) -> KeyId {
        self.current().active().0
    }

    /// All keys; the active one first.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.current().keys.iter().map(|(id, _)| *id).collect()
    }

    /// Replaces the keys by those of `with`, here and in every clone.
    ///
    /// # Errors
    /// [`MissingKey`] if `with` lacks a key that this one has; nothing has changed then.
    pub fn replace(&self, with: &Self) -> Result<RetiredKeys, MissingKey> {
        let new = with.current();
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((missing, _)) = ring.keys.iter().find(|(id, _)| new.key(*id).is_none()) {
            return Err(MissingKey { missing: *missing });
        }
        let before = std::mem::replace(&mut *ring, new);
        Ok(RetiredKeys {
            ring: Arc::downgrade(&before),
        })
    }

    /// Makes another key of the keyring the active one, here and in every clone; `None` if it is
    /// active already.
    ///
    /// # Errors
    /// [`MissingKey`] if the keyring lacks it.
    pub fn activate(&self, id: KeyId) -> Result<Option<RetiredKeys>, MissingKey> {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let mut keys = ring.keys.clone();
        let found = keys.iter().position(|(known, _)| *known == id);
        let found = found.ok_or(MissingKey { missing: id })?;
        if found == 0 {
            return Ok(None);
        }
        keys[..=found].rotate_right(1);
        let before = std::mem::replace(&mut *ring, Arc::new(KeySet { keys }));
        Ok(Some(RetiredKeys {
            ring: Arc::downgrade(&before),
        }))
    }

    /// Removes a key, here and in every clone. The caller has made sure that nothing is sealed
    /// under it.
    ///
    /// # Errors
    /// [`RemoveKeyError`] if it is the active key, or not in the keyring.
    pub fn remove_key(&self, id: KeyId) -> Result<(), RemoveKeyError> {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if ring.active().0 == id {
            return Err(RemoveKeyError::Active { id });
        }
        if ring.key(id).is_none() {
            return Err(RemoveKeyError::Unknown { id });
        }
        let kept = ring.keys.iter().filter(|(known, _)| *known != id);
        *ring = Arc::new(KeySet {
            keys: kept.cloned().collect(),
        });
        Ok(())
    }

    /// Must be held from before a value is sealed until the store has committed it.
    #[must_use]
    pub fn seal_guard(&self) -> SealGuard {
        SealGuard {
            _ring: self.current(),
        }
    }

    /// Seals `plain` for the record with the key `holder`.
    #[must_use]
    pub fn seal(&self, plain: &Secret, holder: &Key) -> Vec<u8> {
        let nonce = random::bytes::<NONCE_LEN>();
        let mut ciphertext = Zeroizing::new(plain.expose().to_vec());
        let ring = self.current();
        let (id, key) = ring.active();
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(holder.as_str().as_bytes()),
                &mut ciphertext,
            )
            .expect("AES-256-GCM seals anything below 64 GiB");
        let mut sealed = Vec::with_capacity(HEADER_LEN + ciphertext.len() + tag.as_ref().len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Unseals a value that was sealed for the record with the key `holder`.
    ///
    /// # Errors
    /// [`UnsealError`] with the missing key, or because the value is corrupt.
    pub fn open(&self, sealed: &[u8], holder: &Key) -> Result<Secret, UnsealError> {
        let needed = KeyId::of_sealed(sealed).ok_or(UnsealError::Broken)?;
        let ring = self.current();
        let key = ring.key(needed).ok_or(UnsealError::UnknownKey { needed })?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1 + ID_LEN..HEADER_LEN])
            .map_err(|_| UnsealError::Broken)?;
        let mut buffer = Zeroizing::new(sealed[HEADER_LEN..].to_vec());
        let plain = key
            .open_in_place(nonce, Aad::from(holder.as_str().as_bytes()), &mut buffer)
            .map_err(|_| UnsealError::Broken)?;
        Ok(Secret::new(plain.to_vec()))
    }

    /// [Seals](Self::seal) `plain`; base64.
    pub(crate) fn seal_text(&self, plain: &Secret, holder: &Key) -> String {
        STANDARD.encode(self.seal(plain, holder))
    }

    /// Unseals what [`seal_text`](Self::seal_text) sealed.
    pub(crate) fn open_text(&self, sealed: &str, holder: &Key) -> Result<Secret, UnsealError> {
        let sealed = STANDARD.decode(sealed).map_err(|_| UnsealError::Broken)?;
        self.open(&sealed, holder)
    }

    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeySet {
    fn active(&self) -> (KeyId, &LessSafeKey) {
        let (id, key) = self
            .keys
            .first()
            .expect("a ring is made with one key at least");
        (*id, key)
    }

    fn key(&self, id: KeyId) -> Option<&LessSafeKey> {
        let found = self.keys.iter().find(|(have, _)| *have == id);
        found.map(|(_, key)| &**key)
    }
}

impl RetiredKeys {
    /// Whether every value sealed with the retired keys has been committed or given up.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.ring.strong_count() == 0
    }

    /// Waits until every value sealed with the retired keys has been committed or given up. Commits
    /// take milliseconds, so polling suffices.
    pub async fn drained(&self) {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        while !self.is_drained() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl KeyId {
    /// Parses the eight hex digits as which an ID is printed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; ID_LEN];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }

    /// The key under which a value was sealed; `None` if it is not a sealed value.
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

/// A line that is not a key.
struct Malformed;

/// The key in a line; `None` if the line is empty or a comment.
fn parse_line(line: &str) -> Result<Option<(KeyId, LessSafeKey)>, Malformed> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let bytes = Zeroizing::new(STANDARD.decode(line).map_err(|_| Malformed)?);
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| Malformed)?;
    Ok(Some((KeyId::of(&bytes), LessSafeKey::new(key))))
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
        f.debug_struct("Keyring")
            .field("active", &self.active())
            .field("ids", &self.ids())
            .finish()
    }
}

#[cfg(test)]
mod tests;
