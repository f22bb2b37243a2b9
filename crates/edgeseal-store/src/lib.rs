//! Durable storage: what is committed here survives the process, a restart of the machine and, on a
//! replicated engine, the loss of the machine.
//!
//! Three layers, bottom up:
//! 1. [`Store`]: a few operations on revisioned keys, implemented by [`memory`], [`sqlite`] and [`postgres`], and
//!    checked by the suite in `conformance.rs`. [`mod@open`] chooses one by URL.
//! 2. [`key`], [`record`], [`seal`]: key names, record types and encryption at rest.
//! 3. [`catalog`]: typed reads and writes, each write one transaction; [`feed`]: the changes in
//!    order, for followers; [`reseal`]: rotation of the key-encryption key without downtime;
//!    [`ticket_key`]: session-ticket keys that edges share.
//!
//! Nothing here knows the wire format or TLS. Private keys pass through sealed and are unsealed
//! only where they are used.

use std::{collections::VecDeque, sync::Arc};

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
mod pages;
pub mod postgres;
mod random;
pub mod record;
pub mod reseal;
pub mod rollout;
pub mod seal;
pub mod session;
pub mod sqlite;
pub mod ticket_key;
mod txn;

#[cfg(test)]
mod conformance;

pub use catalog::Catalog;
pub use key::Key;
pub use pages::Pages;
pub use seal::Keyring;
pub use session::Session;
pub use txn::{Expect, Txn, VALUE_BYTES_MAX, Write};
pub(crate) use txn::{parse_counter, write_all};

/// A shared store, chosen at run time.
pub type SharedStore = Arc<dyn Store>;

/// The position of a commit in the order in which commits become visible.
///
/// Revisions strictly increase from commit to commit. The step between two is unspecified: engines
/// jump by a random amount each time they open, so that a revision of another incarnation of the
/// store (before a backup was restored) is recognised. Zero is before the first commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A key with its current value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Bytes,
    /// The commit that wrote the value.
    pub revision: Revision,
}

/// One page of a listing, in byte order of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether more follow after the last entry.
    pub has_more: bool,
    /// The newest commit that the page can show. Applying [`Store::changes`] from the first page's
    /// revision on makes several pages consistent.
    pub revision: Revision,
}

/// A range of a listing, by offset and limit, with the total count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The items of the range, in the order of the listing.
    pub items: Vec<T>,
    /// The total count.
    pub total: usize,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            total: 0,
        }
    }
}

impl Listing<Entry> {
    /// Counts one more entry, and keeps it if it is in the range.
    fn add<E>(
        &mut self,
        skip: usize,
        limit: usize,
        entry: impl FnOnce() -> Result<Entry, E>,
    ) -> Result<(), E> {
        if self.total >= skip && self.items.len() < limit {
            self.items.push(entry()?);
        }
        self.total += 1;
        Ok(())
    }

    /// Converts the entries and keeps the count.
    pub(crate) fn map<T>(
        &self,
        convert: impl Fn(&Entry) -> Result<T, Fault>,
    ) -> Result<Listing<T>, Fault> {
        Ok(Listing {
            items: self.items.iter().map(convert).collect::<Result<_, _>>()?,
            total: self.total,
        })
    }
}

/// Decides by key and value whether an entry is included. Runs where the engine reads, so it must
/// be fast and must not block.
pub type EntryFilter = Arc<dyn Fn(&str, &[u8]) -> bool + Send + Sync>;

/// A batch of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Changes in order of their revisions. Only the latest change of a key is guaranteed.
    pub items: Vec<Change>,
    /// Every change up to here, of the requested keys, is in `items` or an earlier batch.
    pub through: Revision,
}

/// One key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its new value, or `None` if it was deleted.
    pub value: Option<Bytes>,
    /// The commit that changed it.
    pub revision: Revision,
}

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The first expectation that does not hold, or else the first [`Write::Add`] whose condition
    /// does not hold. Nothing was written.
    #[error("{key} has changed meanwhile")]
    Conflict {
        /// Its key.
        key: Key,
    },
    /// The store failed. Whether the transaction is durable is unknown until it is read back.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why changes cannot be returned.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The log does not go back so far, or the store never was at that revision: list again.
    #[error("the change feed starts after revision {oldest:?}")]
    Compacted {
        /// Changes after this revision are available.
        oldest: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The store failed: disk, network, a corrupt record. Opaque on purpose; the log shows the causes.
#[derive(Debug, thiserror::Error)]
#[error("store failure: {operation}")]
pub struct Fault {
    /// The operation that failed.
    pub operation: &'static str,
    /// The cause.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// Whether a record cannot be decoded: the store itself works.
    #[must_use]
    pub fn is_undecodable(&self) -> bool {
        self.operation.starts_with("decode ")
    }

    /// A failure without an underlying error.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self {
            operation: what,
            cause: None,
        }
    }

    /// A failure with its cause, for `map_err`.
    pub fn of<E: std::error::Error + Send + Sync + 'static>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |cause| Self {
            operation: what,
            cause: Some(Box::new(cause)),
        }
    }
}

/// A key-value store with revisions: reads, listings, transactions, a change log, and an expiry
/// sweep.
///
/// Terms: a *commit* is one accepted [`Txn`]. It is *visible* once a read can show it and *durable*
/// once it survives a power cut.
///
/// Guarantees:
/// - [`commit`](Self::commit) returns only when the commit is durable and visible. It is atomic,
///   and its conditions hold at the instant of the commit.
/// - Revisions strictly increase in the order in which commits become visible.
/// - A read that starts after a commit returned shows it (or a later state).
/// - [`changes`](Self::changes) misses nothing: it returns the last change of every requested key,
///   in order, or fails with [`Compacted`](ChangesError::Compacted).
/// - A crash loses no commit that returned.
///
/// Not guaranteed: that `changes` returns every intermediate value of a key; that several pages of
/// a list are one snapshot; that an expired key disappears at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The current value of `key`.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault>;

    /// At most `limit` entries whose keys start with `prefix` and, in byte order, come after
    /// `after`.
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault>;

    /// As [`list`](Self::list), in reverse: entries before `before` (or, without it, from the end),
    /// the last one first.
    ///
    /// This default reads all of them; engines that can scan backwards override it.
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let mut last = VecDeque::new();
        let mut has_more = false;
        let mut pages = Pages::new(self, prefix, 1000);
        'pages: while let Some(entries) = pages.next().await? {
            for entry in entries {
                if before.is_some_and(|before| entry.key >= *before) {
                    break 'pages;
                }
                last.push_front(entry);
                if last.len() > limit {
                    last.truncate(limit);
                    has_more = true;
                }
            }
        }
        Ok(Page {
            entries: last.into(),
            has_more,
            revision: pages.revision(),
        })
    }

    /// The current values of several keys, in their order, in one snapshot: of a commit that writes
    /// several of them, either all writes are visible or none.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault>;

    /// The current values of several keys, in their order and in one snapshot, and for each of the
    /// prefixes at most `limit` entries, which are no older.
    ///
    /// Engines for which a read is a round trip override this default and make one of it.
    async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        let entries = self.get_many(keys).await?;
        let mut pages = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            pages.push(self.list(prefix, None, limit).await?);
        }
        Ok((entries, pages))
    }

    /// At most `limit` entries whose keys start with `prefix`, after the first `skip` ones, and the
    /// total count.
    ///
    /// Engines that can count override this default and return one snapshot; the default reads all
    /// entries, page by page.
    async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        self.select(prefix, Arc::new(|_, _| true), skip, limit)
            .await
    }

    /// As [`window`](Self::window), of the matching entries only. Reads all entries; keeps only
    /// those that it returns.
    async fn select(
        &self,
        prefix: &str,
        wanted: EntryFilter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let mut window = Listing::default();
        let mut pages = Pages::new(self, prefix, 1000);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                if wanted(entry.key.as_str(), &entry.value) {
                    window.add(skip, limit, || Ok::<_, Fault>(entry))?;
                }
            }
        }
        Ok(window)
    }

    /// Commits a transaction. One that writes a key twice, or a value that is too long, is a
    /// [`Fault`]. Once the future was polled, dropping it does not cancel the commit.
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError>;

    /// The changes after `after` to keys that start with one of `prefixes`, about `limit` at most;
    /// never a part of a commit. Waits until there is a commit after `after`, then returns,
    /// possibly without items, if no commit touched such a key. A call does a bounded amount of
    /// work, so `through` may be behind the newest commit even without items.
    ///
    /// `after` must be a revision that this store returned, or zero. Any other (the file was
    /// replaced by an older copy) fails with [`Compacted`](ChangesError::Compacted).
    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError>;

    /// Removes keys that expired before `now` and, where the engine needs it, old parts of the
    /// change log. To be called every few seconds; does a bounded amount of work and returns how
    /// many expired keys it removed.
    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault>;

    /// Why an acknowledged change could be lost as the storage is set up now; `None` if nothing is
    /// known that could lose one.
    fn durability_risk(&self) -> Option<String> {
        None
    }

    /// Waits until this store has lost its storage, and returns how: its file was removed or
    /// replaced. By then no commit is acknowledged any more, and every operation fails. The caller
    /// drops the store and reopens it once the storage is back.
    ///
    /// Engines that cannot detect this never return.
    async fn lost(&self) -> Fault {
        std::future::pending().await
    }
}
