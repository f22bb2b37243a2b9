//! Writes: what the control plane needs.

use std::sync::Arc;

use async_trait::async_trait;
use edgeseal_core::Timestamp;

use crate::{CommitError, Fault, Lists, Logs, Reports, Revision, Txn};

/// A shared store, chosen at run time.
pub type SharedStore = Arc<dyn Store>;

/// A key-value store with revisions: reads ([`Source`](crate::Source)), listings ([`Lists`]),
/// the audit and the history ([`Logs`]), transactions and an expiry sweep.
///
/// Guarantees:
/// - [`commit`](Self::commit) returns only when the commit is durable and visible. It is atomic,
///   and its conditions hold at the instant of the commit.
/// - A crash loses no commit that returned.
#[async_trait]
pub trait Store: Lists + Logs {
    /// Commits a transaction. One that writes a key twice, or exceeds a limit of a [`Txn`], is a
    /// [`Fault`] before anything is written. Once the future was polled, dropping it does not cancel
    /// the commit.
    ///
    /// A transaction without writes only checks its conditions. It need not be a commit of its own:
    /// an engine may return the revision of the newest commit, and wake no follower.
    async fn commit(&self, txn: Txn) -> Result<Revision, CommitError>;

    /// Removes keys that expired before `now` and, where the engine needs it, old parts of the
    /// change log. To be called every few seconds; does a bounded amount of work and returns how
    /// many expired keys it removed.
    async fn sweep(&self, now: Timestamp) -> Result<usize, Fault>;

    /// Why an acknowledged change could be lost as the storage is set up now; `None` if nothing is
    /// known that could lose one.
    fn durability_risk(&self) -> Option<String> {
        None
    }

    /// Where the processes on this store report to each other; `None` if one process owns the store.
    fn reports(&self) -> Option<Arc<dyn Reports>> {
        None
    }
}
