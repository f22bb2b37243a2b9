//! A store in memory: for tests and for `memory:`. Keeps every guarantee except durability.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::Timestamp;
use tokio::sync::watch;

use crate::{
    Change, Changes, ChangesError, CommitError, Entry, Expect, Fault, Key, Lists, Log, LogPage,
    LogRange, LogRow, Logs, Page, Revision, Source, Store, Txn, Write, key,
    open::{TOMBSTONES_KEPT, revision_jump},
    page_limit,
};

mod logs;

use logs::MemoryLogs;

/// See the [module](self).
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    head: watch::Sender<Revision>,
    tombstone_limit: usize,
}

/// A copy of what a store holds.
#[cfg(test)]
pub(crate) struct Backup(State);

#[derive(Clone, Debug, Default)]
struct State {
    /// Current keys and, until compaction, deleted ones.
    slots: BTreeMap<Key, Slot>,
    /// Every slot by its revision.
    log: BTreeSet<(Revision, Key)>,
    /// The deleted keys in `log`.
    tombstones: BTreeSet<(Revision, Key)>,
    /// The audit and the history.
    logs: MemoryLogs,
    /// Current keys that expire.
    expiring: BTreeSet<(Timestamp, Key)>,
    /// First revision of this incarnation of the store.
    first_revision: Revision,
    head: Revision,
    /// Deletes up to here were compacted.
    compacted: Revision,
}

#[derive(Clone, Debug)]
struct Slot {
    /// `None` if it was deleted.
    value: Option<Bytes>,
    revision: Revision,
    expires: Option<Timestamp>,
}

/// Most expired keys that one sweep removes.
const SWEEP_LIMIT: usize = 10_000;

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_tombstone_limit(TOMBSTONES_KEPT)
    }

    /// An empty store whose change log keeps this many deletes after a sweep.
    #[must_use]
    pub fn with_tombstone_limit(kept_deletes: usize) -> Self {
        let first = Revision(revision_jump());
        Self {
            state: Mutex::new(State {
                first_revision: first,
                head: first,
                ..State::default()
            }),
            head: watch::Sender::new(first),
            tombstone_limit: kept_deletes,
        }
    }

    /// What it holds, to be [put back](Self::put_back) later.
    #[cfg(test)]
    pub(crate) fn backup(&self) -> Backup {
        Backup(self.state().clone())
    }

    /// Goes back to an earlier moment, as a database does when a backup is put back.
    #[cfg(test)]
    pub(crate) fn put_back(&self, backup: Backup) {
        let mut state = self.state();
        *state = backup.0;
        state.head = Revision(state.head.0 + crate::open::lineage_step());
        state.first_revision = state.head;
        self.head.send_replace(state.head);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics in the middle of a change while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Source for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        Ok(self.state().entry(key))
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.entry(key)).collect())
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault> {
        Ok(self.state().list(prefix, after, page_limit(limit)))
    }

    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let mut head = self.head.subscribe();
        self.state().check_reachable(after)?;
        head.wait_for(|head| *head > after)
            .await
            .map_err(Fault::of("wait for a commit"))?;
        let state = self.state();
        state.check_reachable(after)?;
        Ok(state.changes(after, prefixes, page_limit(limit)))
    }
}

#[async_trait]
impl Lists for MemoryStore {
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        Ok(self.state().list_back(prefix, before, page_limit(limit)))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        txn.check()?;
        let mut state = self.state();
        state.expect(&txn.expect)?;
        let before = state.head;
        let revision = Revision(before.0 + txn.revisions());
        let write = state.resolve(&txn.write)?;
        state.head = revision;
        for write in write {
            state.write(write, revision);
        }
        for (write, revision) in txn.numbered_log(before) {
            state.logs.apply(write, revision);
        }
        // Under the lock, so that followers never see the head decrease.
        self.head.send_replace(revision);
        Ok(revision)
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        let mut state = self.state();
        let removed = state.remove_expired(now);
        state.compact(self.tombstone_limit);
        Ok(removed)
    }
}

#[async_trait]
impl Logs for MemoryStore {
    async fn read_log(&self, range: LogRange<'_>, limit: usize) -> Result<LogPage, Fault> {
        let state = self.state();
        Ok(state.logs.read(range, page_limit(limit), state.head))
    }

    async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        Ok(self.state().logs.get(log, scope, names))
    }

    async fn audit_since(&self, after: Revision, limit: usize) -> Result<LogPage, Fault> {
        let state = self.state();
        Ok(state.logs.audit_since(after, page_limit(limit), state.head))
    }

    async fn log_scopes(&self, log: Log, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        Ok(self.state().logs.scopes(log, after, page_limit(limit)))
    }
}

impl State {
    fn entry(&self, key: &Key) -> Option<Entry> {
        self.slots.get(key).and_then(|slot| slot.entry(key))
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Page {
        let first = Key::from_stored(prefix);
        let from = match after {
            Some(after) if *after >= first => Bound::Excluded(after),
            Some(_) | None => Bound::Included(&first),
        };
        let mut rest = self
            .slots
            .range::<Key, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.as_str().starts_with(prefix))
            .filter_map(|(key, slot)| slot.entry(key));
        Page {
            entries: rest.by_ref().take(limit).collect(),
            has_more: rest.next().is_some(),
            revision: self.head,
        }
    }

    fn list_back(&self, prefix: &str, before: Option<&Key>, limit: usize) -> Page {
        let end = Key::from_stored(&key::prefix_end(prefix));
        let end = before.map_or(&end, |before| before.min(&end));
        let mut rest = self
            .slots
            .range::<Key, _>(..end)
            .rev()
            .take_while(|(key, _)| key.as_str().starts_with(prefix))
            .filter_map(|(key, slot)| slot.entry(key));
        Page {
            entries: rest.by_ref().take(limit).collect(),
            has_more: rest.next().is_some(),
            revision: self.head,
        }
    }

    fn expect(&self, expect: &[Expect]) -> Result<(), CommitError> {
        for (key, wanted) in expect.iter().map(Expect::parts) {
            if self.entry(key).map(|entry| entry.revision) != wanted {
                return Err(CommitError::Conflict { key: key.clone() });
            }
        }
        Ok(())
    }

    /// Replaces additions by puts of their results.
    fn resolve(&self, writes: &[Write]) -> Result<Vec<Write>, CommitError> {
        let resolved = writes.iter().map(|write| {
            let entry = self.entry(write.key());
            let resolved = write.resolve(entry.as_ref().map(|entry| &*entry.value));
            let key = write.key().clone();
            resolved
                .map(Cow::into_owned)
                .ok_or(CommitError::Conflict { key })
        });
        resolved.collect()
    }

    fn write(&mut self, write: Write, revision: Revision) {
        let (key, value, expires) = match write {
            Write::Put {
                key,
                value,
                expires,
            } => (key, Some(value), expires),
            // A key that never existed leaves no tombstone.
            Write::Delete(key) if self.entry(&key).is_none() => return,
            Write::Delete(key) => (key, None, None),
            // `resolve` has replaced it.
            Write::Add { .. } => return,
        };
        self.remove(&key);
        self.log.insert((revision, key.clone()));
        if value.is_none() {
            self.tombstones.insert((revision, key.clone()));
        }
        if let Some(expires) = expires {
            self.expiring.insert((expires, key.clone()));
        }
        self.slots.insert(
            key,
            Slot {
                value,
                revision,
                expires,
            },
        );
    }

    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.slots.remove(key) {
            let logged = (old.revision, key.clone());
            self.log.remove(&logged);
            self.tombstones.remove(&logged);
            if let Some(expires) = old.expires {
                self.expiring.remove(&(expires, key.clone()));
            }
        }
    }

    fn check_reachable(&self, after: Revision) -> Result<(), ChangesError> {
        let issued = after == Revision(0) || (self.first_revision..=self.head).contains(&after);
        if issued && after >= self.compacted {
            return Ok(());
        }
        Err(ChangesError::Compacted {
            oldest: self.compacted,
        })
    }

    fn changes(&self, after: Revision, prefixes: &[&str], limit: usize) -> Changes {
        let mut items: Vec<Change> = Vec::new();
        let from = (Revision(after.0 + 1), Key::from_stored(""));
        for (revision, key) in self.log.range(from..) {
            if let Some(last) = items.last()
                && items.len() >= limit
                && last.revision != *revision
            {
                let through = last.revision;
                return Changes { items, through };
            }
            let asked = prefixes.iter().any(|p| key.as_str().starts_with(p));
            if asked && let Some(slot) = self.slots.get(key) {
                items.push(Change {
                    key: key.clone(),
                    value: slot.value.clone(),
                    revision: *revision,
                });
            }
        }
        Changes {
            items,
            through: self.head,
        }
    }

    fn remove_expired(&mut self, now: Timestamp) -> usize {
        let expired: Vec<Key> = self
            .expiring
            .iter()
            .take_while(|(expires, _)| *expires < now)
            .take(SWEEP_LIMIT)
            .map(|(_, key)| key.clone())
            .collect();
        for key in &expired {
            self.remove(key);
        }
        expired.len()
    }

    fn compact(&mut self, kept_deletes: usize) {
        while self.tombstones.len() > kept_deletes
            && let Some((revision, key)) = self.tombstones.first().cloned()
        {
            self.remove(&key);
            self.compacted = revision;
        }
    }
}

impl Slot {
    fn entry(&self, key: &Key) -> Option<Entry> {
        self.value.as_ref().map(|value| Entry {
            key: key.clone(),
            value: value.clone(),
            revision: self.revision,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{SharedStore, conformance};

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_contract() {
        conformance::suite(async || {
            let store = MemoryStore::with_tombstone_limit(conformance::TOMBSTONES_KEPT);
            Arc::new(store) as SharedStore
        })
        .await;
    }
}
