//! What a store returns: entries with their revisions, pages and listings of them.

use bytes::Bytes;

use crate::{Fault, Key};

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
    /// The newest commit that the page can show. Applying [`Source::changes`](crate::Source::changes) from the first page's
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

impl<T> Listing<T> {
    /// Counts one more item, and keeps it if it is in the range.
    pub(crate) fn add<E>(
        &mut self,
        skip: usize,
        limit: usize,
        item: impl FnOnce() -> Result<T, E>,
    ) -> Result<(), E> {
        if self.total >= skip && self.items.len() < limit {
            self.items.push(item()?);
        }
        self.total += 1;
        Ok(())
    }
}

impl Listing<Entry> {
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
