//! Session-ticket keys, shared by all edges of an environment, and created by the first edge that
//! needs one.
//!
//! [`edgeseal_core::ticket`] decides when a key is used. Each period has one record, which is
//! written once: if two edges race, both get the key that was committed first. The store removes a
//! record when its key no longer decrypts anything.

use bytes::Bytes;
use edgeseal_core::{Secret, Timestamp, domain::Environment, ticket::TicketPeriod};
use zeroize::Zeroizing;

use crate::{
    CommitError, Entry, Expect, Fault, Key, Keyring, Revision, Store, Txn, Write, random,
    record::{self, TicketKeyRecord},
    seal::UnsealError,
};

/// Bytes of a key name.
pub const NAME_LEN: usize = 16;
/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// An unsealed ticket key.
#[derive(Debug)]
pub struct TicketKey {
    /// The period in which it encrypts.
    pub period: TicketPeriod,
    /// When it was created.
    pub created: Timestamp,
    /// Its name in tickets; random, not secret.
    pub name: [u8; NAME_LEN],
    /// The key, [`KEY_LEN`] bytes.
    pub key: Secret,
}

/// Why a record contains no usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketKeyError {
    /// It cannot be decoded, or its period differs from that of its key.
    #[error("the record cannot be decoded")]
    Unreadable,
    /// It cannot be unsealed.
    #[error("the ticket key cannot be unsealed: {0}")]
    Sealed(#[from] UnsealError),
}

impl TicketKey {
    /// A new random key.
    #[must_use]
    pub fn generate(period: TicketPeriod, now: Timestamp) -> Self {
        let key = Zeroizing::new(random::bytes::<KEY_LEN>());
        Self {
            period,
            created: now,
            name: random::bytes(),
            key: Secret::new(key.to_vec()),
        }
    }

    /// Unseals the record stored under `holder`.
    ///
    /// # Errors
    /// [`TicketKeyError`].
    pub fn open(keyring: &Keyring, holder: &Key, value: &[u8]) -> Result<Self, TicketKeyError> {
        let unreadable = |_| TicketKeyError::Unreadable;
        let record: TicketKeyRecord = record::decode(value).map_err(unreadable)?;
        // It can be unsealed for its own key only, so that key determines the period, whatever the
        // record says.
        let opened = keyring.open_text(&record.sealed_key, holder)?;
        let of_holder = [Environment::Production, Environment::Staging]
            .map(|environment| Key::ticket_key(environment, record.period))
            .contains(holder);
        let (name, key) = opened
            .expose()
            .split_first_chunk()
            .filter(|(_, key)| of_holder && key.len() == KEY_LEN)
            .ok_or(TicketKeyError::Unreadable)?;
        Ok(Self {
            period: record.period,
            created: record.created,
            name: *name,
            key: Secret::new(key.to_vec()),
        })
    }

    /// The record of this key, sealed for `holder` under the active key-encryption key.
    ///
    /// # Errors
    /// Never in practice.
    pub fn seal(&self, keyring: &Keyring, holder: &Key) -> Result<Bytes, Fault> {
        let mut plain = Vec::with_capacity(NAME_LEN + KEY_LEN);
        plain.extend_from_slice(&self.name);
        plain.extend_from_slice(self.key.expose());
        record::encode(&TicketKeyRecord {
            period: self.period,
            created: self.created,
            sealed_key: keyring.seal_text(&Secret::new(plain), holder),
        })
    }
}

/// The record of a period's key: the existing one, or a new one.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn get_or_create(
    store: &dyn Store,
    keyring: &Keyring,
    environment: Environment,
    period: TicketPeriod,
    now: Timestamp,
) -> Result<Entry, Fault> {
    let key = Key::ticket_key(environment, period);
    if let Some(entry) = store.get(&key).await? {
        return Ok(entry);
    }
    // Held until the store has committed: see `seal::RetiredKeys`.
    let _sealing = keyring.seal_guard();
    let value = TicketKey::generate(period, now).seal(keyring, &key)?;
    match store.commit(create_txn(&key, &value, period)).await {
        Ok(changed) => Ok(entry(key, value, changed)),
        Err(CommitError::Conflict { .. }) => store.get(&key).await?.ok_or(Fault::new(
            "a ticket key: it was there and has gone meanwhile",
        )),
        Err(CommitError::Fault(fault)) => Err(fault),
    }
}

fn create_txn(key: &Key, value: &Bytes, period: TicketPeriod) -> Txn {
    Txn {
        expect: vec![Expect::Absent(key.clone())],
        write: vec![Write::Put {
            key: key.clone(),
            value: value.clone(),
            expires: Some(period.expires_at()),
        }],
        ..Txn::default()
    }
}

const fn entry(key: Key, value: Bytes, changed: Revision) -> Entry {
    Entry {
        key,
        value,
        revision: changed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Source as _, key, memory::MemoryStore};

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn keyring() -> Keyring {
        Keyring::parse(&Keyring::generate()).unwrap()
    }

    #[tokio::test]
    async fn whoever_asks_gets_the_same_key_and_each_environment_has_its_own() {
        let (store, keyring) = (Arc::new(MemoryStore::new()), keyring());
        let period = TicketPeriod::at(NOW);
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (store, keyring) = (Arc::clone(&store), keyring.clone());
            asking.spawn(async move {
                get_or_create(&*store, &keyring, Environment::Production, period, NOW).await
            });
        }
        let got = asking.join_all().await;
        let first = got[0].as_ref().unwrap();
        for one in &got {
            assert_eq!(one.as_ref().unwrap(), first);
        }
        let page = store.list(key::TICKET_KEYS, None, 100).await.unwrap();
        assert_eq!(page.entries, std::slice::from_ref(first));
        let opened = TicketKey::open(&keyring, &first.key, &first.value).unwrap();
        assert_eq!((opened.period, opened.created), (period, NOW));
        assert_eq!(opened.key.expose().len(), KEY_LEN);

        let staging = get_or_create(&*store, &keyring, Environment::Staging, period, NOW).await;
        let staging = staging.unwrap();
        let staged = TicketKey::open(&keyring, &staging.key, &staging.value).unwrap();
        assert!(staged.key != opened.key && staged.name != opened.name);
    }

    #[tokio::test]
    async fn the_record_expires_with_its_key() {
        let (store, keyring) = (MemoryStore::new(), keyring());
        let period = TicketPeriod::at(NOW);
        let entry = get_or_create(&store, &keyring, Environment::Production, period, NOW).await;
        let key = entry.unwrap().key;
        let last = period.expires_at();
        assert_eq!(store.sweep(last).await.unwrap(), 0);
        assert!(store.get(&key).await.unwrap().is_some());
        assert_eq!(store.sweep(last.plus_ms(1)).await.unwrap(), 1);
        assert!(store.get(&key).await.unwrap().is_none());
    }

    #[test]
    fn a_record_opens_only_under_its_key() {
        let keyring = keyring();
        let period = TicketPeriod::at(NOW);
        let holder = Key::ticket_key(Environment::Production, period);
        let made = TicketKey::generate(period, NOW);
        let value = made.seal(&keyring, &holder).unwrap();
        let opened = TicketKey::open(&keyring, &holder, &value).unwrap();
        assert!(opened.key == made.key && opened.name == made.name);
        assert!(!format!("{opened:?}").contains(&hex::encode(made.key.expose())));

        let elsewhere = [
            Key::ticket_key(Environment::Staging, period),
            Key::ticket_key(Environment::Production, period.next()),
        ];
        for other in elsewhere {
            let opened = TicketKey::open(&keyring, &other, &value).map(|key| key.period);
            assert_eq!(
                opened,
                Err(TicketKeyError::Sealed(UnsealError::Broken)),
                "{other}"
            );
        }
        // Sealed for this very record, but with another period.
        let moved = TicketKey::generate(period.next(), NOW);
        let value = moved.seal(&keyring, &holder).unwrap();
        let opened = TicketKey::open(&keyring, &holder, &value).map(|key| key.period);
        assert_eq!(opened, Err(TicketKeyError::Unreadable));
        let opened = TicketKey::open(&keyring, &holder, b"{}").map(|key| key.period);
        assert_eq!(opened, Err(TicketKeyError::Unreadable));
    }
}
