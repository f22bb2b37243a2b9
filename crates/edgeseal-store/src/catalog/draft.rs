//! The uncommitted change of one attempt of a transaction.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use edgeseal_core::{AccountId, Timestamp, certificate::Digest};
use serde::{Serialize, de::DeserializeOwned};

use super::{AuditContext, Catalog, counts::CounterDelta};
use crate::{
    Entry, Expect, Fault, Key, LogWrite, Page, Txn, Write,
    lease::Term,
    record::{self, BindingChange, CertificateRecord, UploadRecord},
};

/// The first placeholder for an ID: the largest ID, which allocation never reaches.
const PLACEHOLDER_ID_MAX: i64 = (1 << 53) - 1;

/// A change in progress: records what it read and collects what it writes.
#[derive(Clone)]
pub struct Draft {
    pub(super) catalog: Catalog,
    pub(super) now: Timestamp,
    read: BTreeMap<Key, (Expect, Option<Bytes>)>,
    /// Listings that were read ahead, by prefix.
    listed: BTreeMap<String, Page>,
    /// Keys that were assumed absent, and not read.
    assumed_absent: BTreeSet<Key>,
    /// Whether such an assumption was wrong in an earlier attempt: then all keys are read.
    verify_assumptions: bool,
    /// Cache of certificates that were read or written: a change reads each one many times.
    certificates: BTreeMap<Key, CertificateRecord>,
    write: BTreeMap<Key, Option<Bytes>>,
    expires: BTreeMap<Key, Timestamp>,
    /// What the change adds to counters.
    pub(super) counter_deltas: BTreeMap<Key, CounterDelta>,
    /// How many uses of intermediates the change adds.
    pub(super) issuer_deltas: BTreeMap<Digest, i64>,
    /// The recorded uploads of domains that the change may have changed, by the record's key.
    pub(super) uploads: BTreeMap<Key, Vec<UploadRecord>>,
    /// History entries.
    pub(super) history: Vec<LogWrite>,
    notes: Vec<String>,
    bindings: Vec<BindingChange>,
    /// In a dry run, the next placeholder for an ID.
    placeholder_id: Option<i64>,
    /// Other accounts in whose audit the change is recorded too.
    also_recorded_in: BTreeSet<AccountId>,
}

impl Draft {
    /// A new attempt.
    pub(super) const fn new(catalog: Catalog, now: Timestamp) -> Self {
        Self {
            catalog,
            now,
            read: BTreeMap::new(),
            listed: BTreeMap::new(),
            assumed_absent: BTreeSet::new(),
            verify_assumptions: false,
            certificates: BTreeMap::new(),
            write: BTreeMap::new(),
            expires: BTreeMap::new(),
            counter_deltas: BTreeMap::new(),
            issuer_deltas: BTreeMap::new(),
            uploads: BTreeMap::new(),
            history: Vec::new(),
            notes: Vec::new(),
            bindings: Vec::new(),
            placeholder_id: None,
            also_recorded_in: BTreeSet::new(),
        }
    }

    /// Whether to read all keys, because an earlier attempt wrongly assumed one absent.
    pub(super) fn verifying_assumptions(mut self, verify: bool) -> Self {
        self.verify_assumptions = verify;
        self
    }

    /// For a change that is never committed: placeholders take the place of IDs, whose allocation
    /// writes.
    pub(super) const fn for_dry_run(mut self) -> Self {
        self.placeholder_id = Some(PLACEHOLDER_ID_MAX);
        self
    }

    /// Whether the change is never committed: nothing may be written on its behalf.
    pub(super) const fn is_dry_run(&self) -> bool {
        self.placeholder_id.is_some()
    }

    /// A placeholder for an ID, none twice; `None` if the change will be committed.
    pub(super) fn take_placeholder_id(&mut self) -> Option<i64> {
        let id = self.placeholder_id?;
        self.placeholder_id = Some(id - 1);
        Some(id)
    }

    /// Adds a note to the audit record, such as a warning.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Records the change in the audit of `account` too, because it acts upon that account's
    /// resources on behalf of another one. Both records have the same request ID. Does nothing if
    /// it is the caller's own account.
    pub fn also_record_in(&mut self, account: &AccountId) {
        self.also_recorded_in.insert(account.clone());
    }

    /// Adds to the audit record which leaves a domain serves before and after.
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

    /// Whether this term of a lease lasts; the commit will expect it.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn has_term(&mut self, term: &Term) -> Result<bool, Fault> {
        let key = term.key();
        self.get_bytes(&key).await?;
        let read = self.read.get(&key);
        Ok(read.is_some_and(|(expect, _)| *expect == term.guard()))
    }

    /// Whether there is such a key; the commit will expect the same.
    pub(super) async fn has(&mut self, key: &Key) -> Result<bool, Fault> {
        Ok(self.get_bytes(key).await?.is_some())
    }

    /// As [`Draft::has`], for a key that hardly ever exists: instead of reading it, the change
    /// assumes it absent. Only if the commit finds that wrong does the next attempt read it.
    pub(super) async fn assume_absent(&mut self, key: &Key) -> Result<bool, Fault> {
        let known = self.write.contains_key(key) || self.read.contains_key(key);
        if known || self.verify_assumptions {
            return self.has(key).await;
        }
        self.assumed_absent.insert(key.clone());
        self.read
            .insert(key.clone(), (Expect::Absent(key.clone()), None));
        Ok(false)
    }

    /// The keys that were assumed absent.
    pub(super) fn take_assumed_absent(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.assumed_absent)
    }

    /// As [`Draft::get`], of a certificate.
    pub(super) async fn get_certificate(
        &mut self,
        key: &Key,
    ) -> Result<Option<CertificateRecord>, Fault> {
        if let Some(known) = self.certificates.get(key) {
            return Ok(Some(known.clone()));
        }
        let row: Option<CertificateRecord> = self.get(key).await?;
        if let Some(row) = &row {
            self.certificates.insert(key.clone(), row.clone());
        }
        Ok(row)
    }

    /// As [`Draft::put`], of a certificate.
    pub(super) fn put_certificate_record(
        &mut self,
        key: Key,
        row: CertificateRecord,
    ) -> Result<(), Fault> {
        self.put(key.clone(), &row)?;
        self.certificates.insert(key, row);
        Ok(())
    }

    pub(super) fn put<T: Serialize>(&mut self, key: Key, value: &T) -> Result<(), Fault> {
        let value = record::encode(value)?;
        self.put_bytes(key, value);
        Ok(())
    }

    /// As [`Draft::put`], with an expiry.
    pub(super) fn put_until<T: Serialize>(
        &mut self,
        key: Key,
        value: &T,
        expires: Timestamp,
    ) -> Result<(), Fault> {
        self.expires.insert(key.clone(), expires);
        self.put(key, value)
    }

    /// As [`Draft::put_bytes`], with an expiry.
    pub(super) fn put_bytes_until(&mut self, key: Key, value: Bytes, expires: Timestamp) {
        self.expires.insert(key.clone(), expires);
        self.put_bytes(key, value);
    }

    pub(super) fn put_bytes(&mut self, key: Key, value: Bytes) {
        self.certificates.remove(&key);
        self.write.insert(key, Some(value));
    }

    /// Whether the change writes this key.
    pub(super) fn writes(&self, key: &Key) -> bool {
        self.write.contains_key(key)
    }

    /// The values that the change puts under a prefix.
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
        self.certificates.remove(&key);
        self.write.insert(key, None);
    }

    pub(super) fn into_txn(mut self, audit: &AuditContext) -> Result<Txn, Fault> {
        let added = self.take_counter_deltas();
        // The commit expects some of the deleted keys to be absent already.
        let is_absent = |key: &Key| matches!(self.read.get(key), Some((Expect::Absent(_), _)));
        self.write
            .retain(|key, value| value.is_some() || !is_absent(key));
        let mut txn = Txn {
            expect: self.read.into_values().map(|(expect, _)| expect).collect(),
            write: Vec::with_capacity(self.write.len() + 2),
            log: self.history,
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
        txn.write.extend(added);
        let mut notes = self.notes;
        let mut others = self.also_recorded_in;
        others.remove(&audit.account);
        for account in &others {
            audit.attach_for_account(account, &mut txn, &notes, &self.bindings)?;
        }
        notes.extend(
            others
                .iter()
                .map(|other| format!("recorded in the audit of {other} as well")),
        );
        audit.attach(&mut txn, "OK", &notes, &self.bindings)?;
        Ok(txn)
    }

    /// Reads keys and listings that the change will ask for, at once instead of one read each. The
    /// listings, of at most `limit` entries, are no older than the values: a guard that is among
    /// the keys makes a concurrent change of what it guards conflict.
    pub(super) async fn read_ahead(
        &mut self,
        mut unread: Vec<Key>,
        prefixes: &[String],
        limit: usize,
    ) -> Result<(), Fault> {
        unread.retain(|key| !self.write.contains_key(key) && !self.read.contains_key(key));
        let store = &self.catalog.store;
        let (entries, pages) = store.get_and_list(&unread, prefixes, limit).await?;
        for (key, entry) in unread.into_iter().zip(entries) {
            self.remember(key, entry);
        }
        self.listed.extend(prefixes.iter().cloned().zip(pages));
        Ok(())
    }

    /// The stored entries under a prefix, at most `limit`, or what was read ahead of them. This
    /// change may delete some of them.
    pub(super) async fn list(&self, prefix: &str, limit: usize) -> Result<Page, Fault> {
        match self.listed.get(prefix) {
            Some(page) => Ok(page.clone()),
            None => self.catalog.store.list(prefix, None, limit).await,
        }
    }

    pub(super) async fn get_bytes(&mut self, key: &Key) -> Result<Option<Bytes>, Fault> {
        if let Some(written) = self.write.get(key) {
            return Ok(written.clone());
        }
        // A second read agrees with the first; otherwise the commit conflicts, as it should.
        if let Some((_, value)) = self.read.get(key) {
            return Ok(value.clone());
        }
        let entry = self.catalog.store.get(key).await?;
        Ok(self.remember(key.clone(), entry))
    }

    fn remember(&mut self, key: Key, entry: Option<Entry>) -> Option<Bytes> {
        let expect = Expect::same_as(key.clone(), entry.as_ref());
        let value = entry.map(|entry| entry.value);
        self.read.insert(key, (expect, value.clone()));
        value
    }
}
