//! What changed, and why changes cannot be returned.

use bytes::Bytes;

use crate::{Fault, Key, Revision};

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
