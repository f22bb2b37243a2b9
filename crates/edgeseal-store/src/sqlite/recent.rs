//! What was read or written lately, kept in memory: such reads, and followers that keep up, need no
//! SQL.
//!
//! A commit makes every snapshot that a reader's connection holds pages of stale, so that under load
//! each read from the file begins with an empty page cache. Here a commit touches what it changes.
//!
//! No value is shown that the file does not show any more, so that no read shows anything older than
//! another has shown:
//! - what a commit writes is let go of before it can become visible ([`Recent::begin`]) and comes in
//!   after it did ([`Recent::commit`]); in between the file is asked;
//! - what a reader found comes in only if no commit ended since it began to read, and none that
//!   writes the same key is under way ([`Recent::remember`]).

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

use crate::{
    Change, Changes, Entry, Key, Revision, Write,
    key::{AUDIT, HISTORY},
};

/// See the [module](self).
pub(super) struct Recent {
    values: Cache<Key, Value, ByLength>,
    /// Counts the ends of commits and sweeps.
    turn: AtomicU64,
    log: Mutex<Log>,
}

#[derive(Clone)]
enum Value {
    Known {
        value: Bytes,
        changed: Revision,
    },
    /// A commit is about to replace it; holds its place, which it has by being read.
    UnderWay,
}

/// When a read began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// The last stretch of the change log.
struct Log {
    /// Keys of the commit that is about to become visible.
    under_way: HashSet<Key>,
    changes: VecDeque<Change>,
    octets: usize,
    /// All changes after this one, up to `through`, are in `changes`.
    after: Revision,
    through: Revision,
}

#[derive(Clone)]
struct ByLength;

/// What the values take, about, in octets: some thousand records.
const VALUES_OCTETS: u64 = 4 << 20;
/// What the stretch of the change log takes, about, in octets: some hundred calls, more than come
/// while the slowest follower rests.
const LOG_OCTETS: usize = 4 << 20;
/// What an entry takes beside its key and value.
const FRAME_OCTETS: usize = 96;

impl Recent {
    /// Knows nothing yet of a store whose newest commit is `head`.
    pub(super) fn new(head: Revision) -> Self {
        const USUAL_OCTETS: u64 = 512;
        // What was written comes to be read the first time some hundred calls later: half of the
        // room is for what is new.
        let options = OptionsBuilder::new()
            .estimated_items_capacity((VALUES_OCTETS / USUAL_OCTETS) as usize)
            .weight_capacity(VALUES_OCTETS)
            .hot_allocation(0.5)
            .build()
            .expect("all that has no default is there");
        let hasher = DefaultHashBuilder::default();
        Self {
            values: Cache::with_options(options, ByLength, hasher, DefaultLifecycle::default()),
            turn: AtomicU64::new(0),
            log: Mutex::new(Log {
                under_way: HashSet::new(),
                changes: VecDeque::new(),
                octets: 0,
                after: head,
                through: head,
            }),
        }
    }

    /// The present value, if it is known.
    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        let Value::Known { value, changed } = self.values.get(key)? else {
            return None;
        };
        Some(Entry {
            key: key.clone(),
            value,
            changed,
        })
    }

    /// The values of one moment, if all are known.
    pub(super) fn get_many(&self, keys: &[Key]) -> Option<Vec<Option<Entry>>> {
        let turn = self.turn();
        let entries = keys.iter().map(|key| self.get(key).map(Some));
        let entries: Option<Vec<_>> = entries.collect();
        // What a commit writes comes in after the turn has changed.
        entries.filter(|_| self.turn() == turn)
    }

    /// To be taken before the file is read.
    pub(super) fn turn(&self) -> Turn {
        Turn(self.turn.load(Ordering::Acquire))
    }

    /// Keeps what was found in the file by a read that began at `turn`.
    pub(super) fn remember(&self, turn: Turn, entry: &Entry) {
        let log = self.log();
        if self.turn() == turn && !log.under_way.contains(&entry.key) {
            let Entry {
                key,
                value,
                changed,
            } = entry.clone();
            self.values.insert(key, Value::Known { value, changed });
        }
    }

    /// To be called before a transaction that writes these keys can become visible; then one of
    /// [`commit`](Self::commit), [`swept`](Self::swept) and [`forget`](Self::forget).
    pub(super) fn begin<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        let mut log = self.log();
        for key in keys {
            // Only if it is there.
            let _ = self.values.replace(key.clone(), Value::UnderWay, true);
            log.under_way.insert(key.clone());
        }
    }

    /// The commits after `before`, up to `head`, are visible; `writes` are theirs, in order, without
    /// those that changed nothing.
    pub(super) fn commit(
        &self,
        (before, head): (Revision, Revision),
        writes: &[(Revision, Cow<'_, Write>)],
    ) {
        let mut log = self.log();
        self.next_turn();
        // The last write of each key: only that one has ever been visible.
        for (revision, write) in writes.iter().rev() {
            if log.under_way.remove(write.key()) {
                self.keep(*revision, write);
            }
        }
        self.drop_under_way(&mut log);
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
            // Nonces, and records of what was, are hardly ever read, or in listings only.
            Write::Put {
                key,
                value,
                expires: None,
            } if !key.as_str().starts_with(AUDIT) && !key.as_str().starts_with(HISTORY) => {
                let value = value.clone();
                self.values
                    .insert(key.clone(), Value::Known { value, changed });
            }
            Write::Put { key, .. } | Write::Delete(key) | Write::Add { key, .. } => {
                self.values.remove(key);
            }
        }
    }

    /// Nothing is under way any more. What still is has no value that is known.
    fn drop_under_way(&self, log: &mut Log) {
        for key in log.under_way.drain() {
            self.values.remove(&key);
        }
    }

    /// These keys have expired and are gone; deletes up to `compacted`, if it is there, are
    /// forgotten.
    pub(super) fn swept(&self, expired: &[Key], compacted: Option<Revision>) {
        let mut log = self.log();
        self.next_turn();
        self.drop_under_way(&mut log);
        if !expired.is_empty() {
            let expired: HashSet<&Key> = expired.iter().collect();
            log.changes.retain(|change| !expired.contains(&change.key));
            log.octets = log.changes.iter().map(octets).sum();
        }
        if let Some(compacted) = compacted {
            log.forget_through(compacted);
        }
    }

    /// A transaction failed: whether it happened is not known.
    pub(super) fn forget(&self) {
        let mut log = self.log();
        self.next_turn();
        self.drop_under_way(&mut log);
        log.clear(Revision(u64::MAX));
        log.through = Revision(0);
    }

    /// As [`crate::Store::changes`], without waiting; `None` if the stretch does not go back so far.
    pub(super) fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Option<Changes> {
        let log = self.log();
        if after < log.after {
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

    /// What is being read is not remembered. To be called with the lock held, before values come in.
    fn next_turn(&self) {
        self.turn.fetch_add(1, Ordering::AcqRel);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Nothing that holds the lock panics half-way through a change.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn clear(&mut self, after: Revision) {
        self.changes.clear();
        self.octets = 0;
        self.after = after;
    }

    fn push(&mut self, change: Change) {
        self.octets += octets(&change);
        self.changes.push_back(change);
    }

    /// Lets go of the oldest commits, whole ones.
    fn shrink(&mut self) {
        while self.octets > LOG_OCTETS
            && let Some(oldest) = self.changes.front()
        {
            self.forget_through(oldest.revision);
        }
    }

    fn forget_through(&mut self, revision: Revision) {
        while let Some(oldest) = self.changes.front()
            && oldest.revision <= revision
        {
            self.octets -= octets(oldest);
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

impl Weighter<Key, Value> for ByLength {
    fn weight(&self, key: &Key, value: &Value) -> u64 {
        let value = match value {
            Value::Known { value, .. } => value.len(),
            Value::UnderWay => 0,
        };
        (key.as_str().len() + value + FRAME_OCTETS) as u64
    }
}

fn octets(change: &Change) -> usize {
    let value = change.value.as_ref().map_or(0, Bytes::len);
    change.key.as_str().len() + value + FRAME_OCTETS
}

#[cfg(test)]
mod tests;
