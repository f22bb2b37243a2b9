use std::collections::BTreeMap;

use bytes::Bytes;
use edgeseal_core::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{Catalog, Deed};
use crate::{
    Expect, Fault, Key, Txn, Write,
    record::{self, BindingChange},
};

/// A change in the making: remembers what it read and collects what it writes.
pub struct Draft {
    pub(super) catalog: Catalog,
    pub(super) now: Timestamp,
    read: BTreeMap<Key, (Expect, Option<Bytes>)>,
    write: BTreeMap<Key, Option<Bytes>>,
    expires: BTreeMap<Key, Timestamp>,
    notes: Vec<String>,
    bindings: Vec<BindingChange>,
}

impl Draft {
    pub(super) const fn new(catalog: Catalog, now: Timestamp) -> Self {
        Self {
            catalog,
            now,
            read: BTreeMap::new(),
            write: BTreeMap::new(),
            expires: BTreeMap::new(),
            notes: Vec::new(),
            bindings: Vec::new(),
        }
    }

    /// Adds a sentence to the audit record: a warning that refuses nothing.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Adds to the audit record what a domain serves before and after.
    pub(super) fn note_binding(&mut self, change: BindingChange) {
        self.bindings.push(change);
    }

    /// Reads a record; the commit will expect it unchanged.
    pub(super) async fn get<T: DeserializeOwned>(&mut self, key: &Key) -> Result<Option<T>, Fault> {
        match self.get_bytes(key).await? {
            Some(value) => record::decode(&value).map(Some),
            None => Ok(None),
        }
    }

    /// Whether there is such a key; the commit will expect the same.
    pub(super) async fn has(&mut self, key: &Key) -> Result<bool, Fault> {
        Ok(self.get_bytes(key).await?.is_some())
    }

    pub(super) fn put<T: Serialize>(&mut self, key: Key, value: &T) -> Result<(), Fault> {
        let value = record::encode(value)?;
        self.put_bytes(key, value);
        Ok(())
    }

    /// As [`Draft::put`]; the store may forget it from then on.
    pub(super) fn put_until<T: Serialize>(
        &mut self,
        key: Key,
        value: &T,
        expires: Timestamp,
    ) -> Result<(), Fault> {
        self.expires.insert(key.clone(), expires);
        self.put(key, value)
    }

    pub(super) fn put_bytes(&mut self, key: Key, value: Bytes) {
        self.write.insert(key, Some(value));
    }

    /// Whether the change writes this key.
    pub(super) fn writes(&self, key: &Key) -> bool {
        self.write.contains_key(key)
    }

    /// What the change puts under a prefix.
    pub(super) fn puts_under(&self, prefix: &str) -> impl Iterator<Item = (Key, Bytes)> {
        self.write
            .range(Key::from_stored(prefix)..)
            .take_while(move |(key, _)| key.as_str().starts_with(prefix))
            .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
    }

    /// Whether the change deletes this key.
    pub(super) fn deletes(&self, key: &Key) -> bool {
        self.write.get(key).is_some_and(Option::is_none)
    }

    pub(super) fn delete(&mut self, key: Key) {
        self.write.insert(key, None);
    }

    pub(super) fn into_txn(self, deed: &Deed) -> Result<Txn, Fault> {
        let mut txn = Txn {
            expect: self.read.into_values().map(|(expect, _)| expect).collect(),
            write: Vec::with_capacity(self.write.len() + 2),
        };
        for (key, value) in self.write {
            txn.write.push(match value {
                Some(value) => Write::Put {
                    expires: self.expires.get(&key).copied(),
                    key,
                    value,
                },
                None => Write::Delete(key),
            });
        }
        deed.attach(&mut txn, "OK", &self.notes, &self.bindings)?;
        Ok(txn)
    }

    async fn get_bytes(&mut self, key: &Key) -> Result<Option<Bytes>, Fault> {
        if let Some(written) = self.write.get(key) {
            return Ok(written.clone());
        }
        // A second read agrees with the first, or the commit fails as it should.
        if let Some((_, value)) = self.read.get(key) {
            return Ok(value.clone());
        }
        let entry = self.catalog.store.get(key).await?;
        let expect = match &entry {
            Some(entry) => Expect::Unchanged(key.clone(), entry.changed),
            None => Expect::Absent(key.clone()),
        };
        let value = entry.map(|entry| entry.value);
        self.read.insert(key.clone(), (expect, value.clone()));
        Ok(value)
    }
}
