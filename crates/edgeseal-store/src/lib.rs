//! Facts that last: what is committed here survives the process, the machine's restart and, on a
//! replicated engine, the machine.
//!
//! Three layers, bottom up:
//! 1. [`Store`]: a few verbs over revisioned keys, implemented by [`memory`] and [`sqlite`] and held
//!    to their promises by the suite in `conformance.rs`. [`mod@open`] chooses one by URL.
//! 2. [`key`], [`record`], [`seal`]: how things are called, shaped and sealed.
//! 3. [`catalog`]: typed reads and writes, each write one transaction; [`feed`]: the changes, in
//!    order, for those who follow; [`reseal`]: everything sealed under another key, while all goes on;
//!    [`ticket_key`]: keys that edges share.
//!
//! Nothing in here knows the wire or TLS. Private keys pass through sealed and are opened only by
//! who needs them.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::Timestamp;

pub mod audit_chain;
pub mod audit_linker;
pub mod catalog;
pub mod consistency;
pub mod feed;
pub mod key;
pub mod memory;
pub mod open;
pub mod record;
pub mod reseal;
pub mod rollout;
pub mod seal;
pub mod session;
pub mod sqlite;
pub mod ticket_key;

#[cfg(test)]
mod conformance;

pub use catalog::Catalog;
pub use key::Key;
pub use seal::Keyring;
pub use session::Session;

/// A shared store, chosen at run time.
pub type SharedStore = Arc<dyn Store>;

/// The order in which commits become visible.
///
/// Revisions strictly increase from commit to commit. Nobody may rely on the step between two: the
/// engines leap by a random amount each time they open, so that a revision of another life of the
/// store (before a backup was put back) is recognised. Zero is before the first commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// One key with its present value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Bytes,
    /// The commit that wrote the value.
    pub revision: Revision,
}

/// A change to be committed: all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// What must still be true; checked in order.
    pub expect: Vec<Expect>,
    /// What is then written. A key may stand here once.
    pub write: Vec<Write>,
}

/// The longest value that a store takes, in octets: 1 MiB, below the 1.5 MiB that etcd takes in a
/// request.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

impl Txn {
    /// What every engine asks of a transaction before it looks at its own state.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let mut keys = HashSet::with_capacity(self.write.len());
        for write in &self.write {
            if let Write::Put { value, .. } = write
                && value.len() > VALUE_BYTES_MAX
            {
                return Err(Fault::new("commit: a value is longer than 1 MiB"));
            }
            if !keys.insert(write.key()) {
                return Err(Fault::new("commit: a key is written twice"));
            }
        }
        Ok(())
    }
}

/// A condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is no such key.
    Absent(Key),
    /// The key exists and was last written by this commit.
    Unchanged(Key, Revision),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The key has this value from now on.
    Put {
        /// The key.
        key: Key,
        /// Its value; at most [`VALUE_BYTES_MAX`].
        value: Bytes,
        /// When the store may forget it. It may be seen for a while after; that it expires is no
        /// change that followers see.
        expires: Option<Timestamp>,
    },
    /// The key is gone. No error if it never was.
    Delete(Key),
    /// The number at the key, in decimal digits, is larger by `by` from now on; or smaller, but never
    /// below zero.
    ///
    /// It is a condition too: the number must be there, and if it grows, must not become larger than
    /// `at_most`. If that does not hold at the moment of the commit, the commit is a conflict at this
    /// key. Unlike reading and [putting](Self::Put) it, additions of many commits are no conflicts.
    Add {
        /// The key.
        key: Key,
        /// How much is added.
        by: i64,
        /// The largest number that it may grow to.
        at_most: u64,
    },
}

impl Write {
    /// What is written in place of this, once the present value of its key is known: an addition is the
    /// number that it comes to, and `None` if its condition does not hold.
    pub(crate) fn resolve(&self, value: Option<&[u8]>) -> Option<Cow<'_, Self>> {
        let Self::Add { key, by, at_most } = self else {
            return Some(Cow::Borrowed(self));
        };
        let sum = parse_counter(value?)?.saturating_add_signed(*by);
        (*by <= 0 || sum <= *at_most).then(|| {
            Cow::Owned(Self::Put {
                key: key.clone(),
                value: Bytes::from(sum.to_string()),
                expires: None,
            })
        })
    }

    pub(crate) const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete(key) | Self::Add { key, .. } => key,
        }
    }
}

/// The number that [`Write::Add`] adds to; `None` if the value is none.
pub(crate) fn parse_counter(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// One page of a listing, in byte order of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether more follow after the last entry.
    pub has_more: bool,
    /// The newest commit that the page can show. [`Store::changes`] from the first page's revision
    /// on makes several pages one consistent whole.
    pub revision: Revision,
}

/// A stretch out of the middle of a listing, with the length of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The entries, in byte order of the keys.
    pub entries: Vec<Entry>,
    /// How many entries there are under the prefix.
    pub total: usize,
}

impl Window {
    /// Counts one more entry, and keeps it if it is in the stretch.
    fn add<E>(
        &mut self,
        skip: usize,
        limit: usize,
        entry: impl FnOnce() -> Result<Entry, E>,
    ) -> Result<(), E> {
        if self.total >= skip && self.entries.len() < limit {
            self.entries.push(entry()?);
        }
        self.total += 1;
        Ok(())
    }
}

/// Tells by key and value whether an entry is wanted. Runs where the engine reads, so it must be
/// quick and must not block.
pub type EntryFilter = Arc<dyn Fn(&str, &[u8]) -> bool + Send + Sync>;

/// A stretch of the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Changes in order of their revisions. Of several changes of one key, the latest is enough.
    pub items: Vec<Change>,
    /// Every change up to here, of the keys asked for, is in `items` or was before.
    pub through: Revision,
}

/// One key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its new value, or `None` if it is gone.
    pub value: Option<Bytes>,
    /// The commit that changed it.
    pub revision: Revision,
}

/// Why a commit did not happen. Nothing of it did.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The first expectation that does not hold, or else the first [`Write::Add`] whose condition does
    /// not.
    #[error("{key} has changed meanwhile")]
    Conflict {
        /// Its key.
        key: Key,
    },
    /// The store failed. Whether the change is durable is unknown until it is read back.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why there are no changes to read.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The log does not reach back that far, or the store never was at that revision: list again.
    #[error("the change log starts after revision {oldest:?}")]
    Compacted {
        /// Changes after this revision can be had.
        oldest: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The store failed: disk, network, a broken record. Opaque on purpose; the log shows the causes.
#[derive(Debug, thiserror::Error)]
#[error("store failure: {operation}")]
pub struct Fault {
    /// What was being done.
    pub operation: &'static str,
    /// Why it failed.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A failure without a cause of another kind.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self {
            operation: what,
            cause: None,
        }
    }

    /// A failure with its cause, for use in `map_err`.
    pub fn of<E: std::error::Error + Send + Sync + 'static>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |cause| Self {
            operation: what,
            cause: Some(Box::new(cause)),
        }
    }
}

/// Four verbs over revisioned keys, a way to count, and a broom.
///
/// Terms: a *commit* is one accepted [`Txn`]. It is *visible* once a read can show it and *durable*
/// once it survives a power cut.
///
/// Guarantees:
/// - [`commit`](Self::commit) returns only when the commit is durable and visible. It is all or
///   nothing, and conditions hold at the very moment of the commit.
/// - Revisions strictly increase in the order in which commits become visible.
/// - A read that starts after a commit returned shows it (or something newer).
/// - [`changes`](Self::changes) misses nothing: it shows the last change of every key asked for, in
///   order, or says [`Compacted`](ChangesError::Compacted).
/// - A crash loses no commit that returned.
///
/// Not guaranteed: that every intermediate value of a key is shown by `changes`; that several pages
/// of a list are one snapshot; that an expired key is gone at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The present value of `key`.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault>;

    /// At most `limit` entries whose keys start with `prefix` and, in byte order, come after
    /// `after`.
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault>;

    /// As [`list`](Self::list), backwards: entries that come before `before` (or, without it, at the
    /// end), the last one first.
    ///
    /// This way of doing it reads all of them; engines that can go backwards do.
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        const PAGE: usize = 1000;
        let mut last = VecDeque::new();
        let mut more = false;
        let mut after: Option<Key> = None;
        loop {
            let page = self.list(prefix, after.as_ref(), PAGE).await?;
            after = page.entries.last().map(|entry| entry.key.clone());
            let mut ended = !page.has_more;
            for entry in page.entries {
                if before.is_some_and(|before| entry.key >= *before) {
                    ended = true;
                    break;
                }
                last.push_front(entry);
                if last.len() > limit {
                    last.truncate(limit);
                    more = true;
                }
            }
            if ended {
                return Ok(Page {
                    entries: last.into(),
                    has_more: more,
                    revision: page.revision,
                });
            }
        }
    }

    /// The present values of several keys, in their order, all as they were at one moment: of a commit
    /// that writes several of them either all is shown or nothing.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault>;

    /// At most `limit` entries whose keys start with `prefix`, from the one on that has `skip` others
    /// before it; and how many there are in all.
    ///
    /// Engines that can count do so, and show one moment; this way of doing it reads all of them and
    /// shows what several pages show.
    async fn window(&self, prefix: &str, skip: usize, limit: usize) -> Result<Window, Fault> {
        self.select(prefix, Arc::new(|_, _| true), skip, limit)
            .await
    }

    /// As [`window`](Self::window), of the wanted entries only. Looks at all entries; keeps only
    /// those that it returns.
    async fn select(
        &self,
        prefix: &str,
        wanted: EntryFilter,
        skip: usize,
        limit: usize,
    ) -> Result<Window, Fault> {
        const PAGE: usize = 1000;
        let mut window = Window {
            entries: Vec::new(),
            total: 0,
        };
        let mut after = None;
        loop {
            let page = self.list(prefix, after.as_ref(), PAGE).await?;
            after = page.entries.last().map(|entry| entry.key.clone());
            for entry in page.entries {
                if wanted(entry.key.as_str(), &entry.value) {
                    window.add(skip, limit, || Ok::<_, Fault>(entry))?;
                }
            }
            if !page.has_more {
                return Ok(window);
            }
        }
    }

    /// Makes the change durable and visible, or nothing. A transaction that writes one key twice or
    /// a value that is too long is a [`Fault`]. Once the future was polled, dropping it does not
    /// take the change back.
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError>;

    /// The changes after `after` of keys that start with one of `prefixes`, about `limit` of them
    /// at most; never a part of one commit. Waits until there is a commit after `after`; then
    /// returns, perhaps with no item, if none of the commits touched such a key. A call does a
    /// bounded amount of work, so `through` may stay behind the newest commit without any item.
    ///
    /// `after` must be a revision that this store gave out, or zero. Any other (the file was
    /// replaced by an older copy) is answered like one that the log does not reach back to.
    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError>;

    /// Forgets keys that expired before `now` and, where the engine needs it, old parts of the
    /// change log. To be called every few seconds; does a bounded amount of work and returns how
    /// many expired keys it removed.
    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault>;

    /// Waits until this store has lost what it writes to, and says how: its file was removed, or another
    /// one has taken its place. By then no commit to such a file is acknowledged any more, and every
    /// verb fails. What to do is to let go of the store and to open it again, once it is back.
    ///
    /// Engines that notice nothing of the kind never return.
    async fn lost(&self) -> Fault {
        std::future::pending().await
    }
}
