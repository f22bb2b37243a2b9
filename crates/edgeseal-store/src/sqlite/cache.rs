//! A cache of recently read or written values: reads of these, and followers that keep up, need no
//! SQL.
//!
//! A commit invalidates the page cache of every reader's connection, so under load each read from
//! the file begins with an empty page cache. A commit changes only its own keys here.
//!
//! The cache never returns a value that the file no longer contains, so no read returns anything
//! older than another read has returned:
//! - [`ReadCache::begin`] removes what a commit writes before the commit can become visible, and
//!   [`ReadCache::commit`] adds it afterwards; in between, reads use the file;
//! - [`ReadCache::insert_read`] adds what a reader found only if no commit has ended since the read
//!   began and no commit in progress writes the same key.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{Change, Changes, Entry, Key, Revision, Write};

/// See the [module](self).
pub(super) struct ReadCache {
    values: Cache<Key, CachedValue, ByteWeighter>,
    /// Counts the ends of commits and sweeps.
    generation: AtomicU64,
    log: Mutex<RecentChanges>,
}

#[derive(Clone)]
enum CachedValue {
    Known {
        value: Bytes,
        revision: Revision,
    },
    /// A commit is about to replace it; holds its place, which it has by being read.
    Pending,
}

/// When a read began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// The last stretch of the change log.
struct RecentChanges {
    /// Keys of the commit that is about to become visible.
    pending_keys: HashSet<Key>,
    changes: VecDeque<Change>,
    bytes: usize,
    /// All changes after this one, up to `through`, are in `changes`.
    after: Revision,
    through: Revision,
}

#[derive(Clone)]
struct ByteWeighter;

/// What the values take, about, in octets: some thousand records.
const VALUES_BYTES_MAX: u64 = 4 << 20;
/// What the stretch of the change log takes, about, in octets: some hundred calls, more than come
/// while the slowest follower rests.
const CHANGES_BYTES_MAX: usize = 4 << 20;
/// What an entry takes beside its key and value.
const ENTRY_OVERHEAD_BYTES: usize = 96;

impl ReadCache {
    /// Knows nothing yet of a store whose newest commit is `head`.
    pub(super) fn new(head: Revision) -> Self {
        const TYPICAL_ENTRY_BYTES: u64 = 512;
        // What was written comes to be read the first time some hundred calls later: half of the
        // room is for what is new.
        let options = OptionsBuilder::new()
            .estimated_items_capacity((VALUES_BYTES_MAX / TYPICAL_ENTRY_BYTES) as usize)
            .weight_capacity(VALUES_BYTES_MAX)
            .hot_allocation(0.5)
            .build()
            .expect("all that has no default is there");
        let hasher = DefaultHashBuilder::default();
        Self {
            values: Cache::with_options(options, ByteWeighter, hasher, DefaultLifecycle::default()),
            generation: AtomicU64::new(0),
            log: Mutex::new(RecentChanges {
                pending_keys: HashSet::new(),
                changes: VecDeque::new(),
                bytes: 0,
                after: head,
                through: head,
            }),
        }
    }

    /// The present value, if it is known.
    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        let CachedValue::Known {
            value,
            revision: changed,
        } = self.values.get(key)?
        else {
            return None;
        };
        Some(Entry {
            key: key.clone(),
            value,
            revision: changed,
        })
    }

    /// The values of one moment, if all are known.
    pub(super) fn get_many(&self, keys: &[Key]) -> Option<Vec<Option<Entry>>> {
        let turn = self.generation();
        let entries = keys.iter().map(|key| self.get(key).map(Some));
        let entries: Option<Vec<_>> = entries.collect();
        // What a commit writes comes in after the turn has changed.
        entries.filter(|_| self.generation() == turn)
    }

    /// To be taken before the file is read.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Keeps what was found in the file by a read that began at `turn`.
    pub(super) fn insert_read(&self, turn: Generation, entry: &Entry) {
        let log = self.log();
        if self.generation() == turn && !log.pending_keys.contains(&entry.key) {
            let Entry {
                key,
                value,
                revision: changed,
            } = entry.clone();
            self.values.insert(
                key,
                CachedValue::Known {
                    value,
                    revision: changed,
                },
            );
        }
    }

    /// To be called before a transaction that writes these keys can become visible; then one of
    /// [`commit`](Self::commit), [`swept`](Self::swept) and [`invalidate`](Self::invalidate).
    pub(super) fn begin<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        let mut log = self.log();
        for key in keys {
            // Only if it is there.
            let _ = self.values.replace(key.clone(), CachedValue::Pending, true);
            log.pending_keys.insert(key.clone());
        }
    }

    /// The commits after `before`, up to `head`, are visible; `writes` are theirs, in order,
    /// without those that changed nothing.
    pub(super) fn commit(
        &self,
        (before, head): (Revision, Revision),
        writes: &[(Revision, Cow<'_, Write>)],
    ) {
        let mut log = self.log();
        self.bump_generation();
        // The last write of each key: only that one has ever been visible.
        for (revision, write) in writes.iter().rev() {
            if log.pending_keys.remove(write.key()) {
                self.keep(*revision, write);
            }
        }
        self.discard_pending(&mut log);
        if log.through != before {
            log.clear(before);
        }
        for (revision, write) in writes {
            log.push(Change::of(write, *revision));
        }
        log.through = head;
        log.shrink();
    }

    fn keep(&self, changed: Revision, write: &Write) {
        match write {
            // What expires, such as nonces, is hardly ever read.
            Write::Put {
                key,
                value,
                expires: None,
            } => {
                let value = value.clone();
                self.values.insert(
                    key.clone(),
                    CachedValue::Known {
                        value,
                        revision: changed,
                    },
                );
            }
            Write::Put { key, .. } | Write::Delete(key) | Write::Add { key, .. } => {
                self.values.remove(key);
            }
        }
    }

    /// Nothing is under way any more. What still is has no value that is known.
    fn discard_pending(&self, log: &mut RecentChanges) {
        for key in log.pending_keys.drain() {
            self.values.remove(&key);
        }
    }

    /// These keys have expired and are gone; deletes up to `compacted`, if it is there, are
    /// forgotten.
    pub(super) fn swept(&self, expired: &[Key], compacted: Option<Revision>) {
        let mut log = self.log();
        self.bump_generation();
        self.discard_pending(&mut log);
        if !expired.is_empty() {
            let expired: HashSet<&Key> = expired.iter().collect();
            log.changes.retain(|change| !expired.contains(&change.key));
            log.bytes = log.changes.iter().map(weight_bytes).sum();
        }
        if let Some(compacted) = compacted {
            log.forget_through(compacted);
        }
    }

    /// A transaction failed: whether it happened is not known.
    pub(super) fn invalidate(&self) {
        let mut log = self.log();
        self.bump_generation();
        self.discard_pending(&mut log);
        log.clear(Revision(u64::MAX));
        log.through = Revision(0);
    }

    /// As [`crate::Source::changes`], without waiting; `None` if the stretch does not go back so
    /// far, or if it has no commit after this one: those of another process are in the file only.
    pub(super) fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Option<Changes> {
        let log = self.log();
        if after < log.after || after >= log.through {
            return None;
        }
        let start = log
            .changes
            .partition_point(|change| change.revision <= after);
        // From the end: of several changes of one key only the last one is true.
        let mut seen = HashSet::new();
        let mut items: Vec<&Change> = log
            .changes
            .range(start..)
            .rev()
            .filter(|change| {
                let key = change.key.as_str();
                prefixes.iter().any(|prefix| key.starts_with(prefix)) && seen.insert(&change.key)
            })
            .collect();
        items.reverse();
        let mut through = log.through;
        // Whole commits only.
        if items.len() > limit
            && let Some(last) = items.get(limit.saturating_sub(1))
        {
            let last = last.revision;
            items.truncate(items.partition_point(|change| change.revision <= last));
            // What was cut off comes after it, if there is anything.
            if items
                .last()
                .is_some_and(|change| change.revision < log.through)
            {
                through = last;
            }
        }
        Some(Changes {
            items: items.into_iter().cloned().collect(),
            through,
        })
    }

    /// Keeps reads in progress from being cached. To be called with the lock held, before values
    /// are added.
    fn bump_generation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn log(&self) -> MutexGuard<'_, RecentChanges> {
        // Nothing that holds the lock panics half-way through a change.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentChanges {
    fn clear(&mut self, after: Revision) {
        self.changes.clear();
        self.bytes = 0;
        self.after = after;
    }

    fn push(&mut self, change: Change) {
        self.bytes += weight_bytes(&change);
        self.changes.push_back(change);
    }

    /// Lets go of the oldest commits, whole ones.
    fn shrink(&mut self) {
        while self.bytes > CHANGES_BYTES_MAX
            && let Some(oldest) = self.changes.front()
        {
            self.forget_through(oldest.revision);
        }
    }

    fn forget_through(&mut self, revision: Revision) {
        while let Some(oldest) = self.changes.front()
            && oldest.revision <= revision
        {
            self.bytes -= weight_bytes(oldest);
            self.changes.pop_front();
        }
        self.after = self.after.max(revision);
    }
}

impl Change {
    fn of(write: &Write, revision: Revision) -> Self {
        let (key, value) = match write {
            Write::Put { key, value, .. } => (key, Some(value.clone())),
            // Who commits has resolved additions.
            Write::Delete(key) | Write::Add { key, .. } => (key, None),
        };
        Self {
            key: key.clone(),
            value,
            revision,
        }
    }
}

impl Weighter<Key, CachedValue> for ByteWeighter {
    fn weight(&self, key: &Key, value: &CachedValue) -> u64 {
        let value = match value {
            CachedValue::Known { value, .. } => value.len(),
            CachedValue::Pending => 0,
        };
        (key.as_str().len() + value + ENTRY_OVERHEAD_BYTES) as u64
    }
}

fn weight_bytes(change: &Change) -> usize {
    let value = change.value.as_ref().map_or(0, Bytes::len);
    change.key.as_str().len() + value + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests;
