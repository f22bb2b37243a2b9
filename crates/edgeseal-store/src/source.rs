//! Reads and changes: what a follower needs.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Changes, ChangesError, Entry, Fault, Key, Page, Revision};

/// A source that is shared, chosen at run time.
pub type SharedSource = Arc<dyn Source>;

/// Entries with revisions, and the changes in order: all that a feed, an edge or a replica needs.
///
/// Terms: a *commit* is one accepted [`Txn`](crate::Txn). It is *visible* once a read can show it and
/// *durable* once it survives a power cut.
///
/// Guarantees:
/// - Revisions strictly increase in the order in which commits become visible.
/// - A read that starts after a commit returned shows it (or a later state); no read shows an older
///   state than one before it.
/// - [`changes`](Self::changes) misses nothing: it returns the last change of every requested key,
///   in order, or fails with [`Compacted`](ChangesError::Compacted).
///
/// Not guaranteed: that `changes` returns every intermediate value of a key; that several pages of
/// a list are one snapshot; that an expired key disappears at once.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The current value of `key`.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Fault>;

    /// The current values of several keys, in their order, in one snapshot: of a commit that writes
    /// several of them, either all writes are visible or none.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault>;

    /// At most `limit` entries, and at most [`PAGE_MAX`](crate::PAGE_MAX), whose keys start with
    /// `prefix` and, in byte order, come after `after`.
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Fault>;

    /// The changes after `after` to keys that start with one of `prefixes`, about `limit` at most;
    /// never a part of a commit. Waits until there is a commit after `after`, then returns,
    /// possibly without items, if no commit touched such a key. A call does a bounded amount of
    /// work, so `through` may be behind the newest commit even without items; `limit` counts as at most
    /// [`PAGE_MAX`](crate::PAGE_MAX).
    ///
    /// `after` must be a revision that this store returned, or zero. Any other (the file was
    /// replaced by an older copy) fails with [`Compacted`](ChangesError::Compacted).
    async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError>;

    /// Waits until this store has lost its storage, and returns how: its file was removed or
    /// replaced. By then no commit is acknowledged any more, and every operation fails. The caller
    /// drops the store and reopens it once the storage is back.
    ///
    /// Engines that cannot detect this never return.
    async fn lost(&self) -> Fault {
        std::future::pending().await
    }
}
