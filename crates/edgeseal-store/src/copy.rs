//! Copies a store record by record into another one, of any engine, while the source takes changes.
//!
//! 1. Everything is listed, page by page, and written to the target with its revision and expiry.
//! 2. What changed meanwhile is read from the change log and written too, until little is left.
//! 3. Both are listed and compared, record by record, except what changed after that.
//! 4. A [marker](CopyMarker) in the source makes it refuse changes. The last changes are copied, and
//!    everything that changed since step 3 began is compared. Then the source is marked as moved, and
//!    the target as complete, in this order: at no time do both take changes.
//!
//! The target's own marker holds the progress, written in the same transaction as the records, so a
//! copy that was killed goes on where it was. No process opens a store with that marker. The target
//! continues above the source's newest revision and keeps no log from before, so each follower of the
//! source lists everything again there.

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Fault, Key, Revision};

mod compare;
mod error;
mod marker;
mod moment;
mod run;

pub use compare::Difference;
pub use error::CopyError;
pub(crate) use marker::COPY_MARKER;
pub use marker::{ChangeCursor, CopyId, CopyMarker, CopyProgress, ReadOnly};
pub(crate) use moment::{SKIPPED_IDS, copy_moment, skip_ids};
pub use run::{Copied, Copier, CopyStep, reopen};

/// The tables of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Keys with their values.
    #[default]
    Entry,
    /// Audit records.
    Audit,
    /// Changes of domains.
    History,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key; in the logs scope and name, with a tab between them.
    pub key: Key,
    /// Its value; `None` if the key was deleted.
    pub value: Option<Bytes>,
    /// The commit that wrote it.
    pub changed: Revision,
    /// When the store may remove it.
    pub expires: Option<Timestamp>,
}

/// Rows, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The rows: none if the end is reached.
    pub rows: Vec<Row>,
    /// The newest commit at that moment.
    pub head: Revision,
}

impl Row {
    /// The row of a key that was deleted.
    fn deleted(key: &Key) -> Self {
        Self {
            key: key.clone(),
            value: None,
            changed: Revision(0),
            expires: None,
        }
    }

    /// The scope and the name of a row in a log.
    pub(crate) fn scope_and_name(key: &str) -> (&str, &str) {
        key.split_once('\t').unwrap_or((key, ""))
    }
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Entry, Self::Audit, Self::History];

    /// Its name in SQL.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Audit => "audit",
            Self::History => "history",
        }
    }
}

/// How many rows all tables have.
async fn count_all(side: &(impl CopySide + ?Sized)) -> Result<u64, Fault> {
    let mut count = 0;
    for table in Table::ALL {
        count += side.count(table).await?;
    }
    Ok(count)
}

/// Rows read at once, at most.
pub(crate) const ROWS_MAX: usize = 2000;
/// Bytes of values read at once, about.
pub(crate) const ROW_BYTES_MAX: usize = 4 << 20;

/// What both sides of a copy are: a store whose rows can be listed. Rows of expired keys may be
/// returned or not. The marker of the copy is no row.
#[async_trait]
pub trait CopySide: Send + Sync {
    /// The store for messages, without user and password.
    fn name(&self) -> &str;

    /// How many rows there are.
    async fn count(&self, table: Table) -> Result<u64, Fault>;

    /// The next present rows after this key, in byte order of the keys.
    async fn rows(&self, table: Table, after: Option<&Key>) -> Result<Rows, Fault>;

    /// The present rows with these keys, in any order.
    async fn rows_of(&self, table: Table, keys: &[Key]) -> Result<Vec<Row>, Fault>;

    /// The marker in the store.
    async fn marker(&self) -> Result<Option<CopyMarker>, Fault>;
}

/// What is copied.
#[async_trait]
pub trait CopySource: CopySide {
    /// The next rows that changed after this place, in the order of commits and keys; of
    /// [`Table::Entry`] deleted ones too.
    ///
    /// # Errors
    /// [`ChangesError`](crate::ChangesError), as in [`Source::changes`](crate::Source::changes).
    async fn changed(
        &self,
        table: Table,
        after: &ChangeCursor,
    ) -> Result<Rows, crate::ChangesError>;

    /// Replaces the marker, if it is still this one, in a commit of its own.
    ///
    /// # Errors
    /// A [`Fault`], also if it is another one.
    async fn set_marker(
        &self,
        expected: Option<&CopyMarker>,
        marker: Option<&CopyMarker>,
    ) -> Result<Revision, Fault>;
}

/// Where it is copied to.
#[async_trait]
pub trait CopyTarget: CopySide {
    /// Writes the marker into an empty store, or over that of an earlier run.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or if there is neither.
    async fn begin(&self, before: Option<&CopyMarker>, marker: &CopyMarker) -> Result<(), Fault>;

    /// Removes all rows.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    async fn clear(&self, marker: &CopyMarker) -> Result<(), Fault>;

    /// Writes rows, removes those without a value, and replaces the marker, in one transaction.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or if another run has replaced the marker.
    async fn load(&self, table: Table, rows: &[Row], marker: &CopyMarker) -> Result<(), Fault>;

    /// Removes the marker and continues with revisions above this one, of which none has been issued.
    /// The change log begins there.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    async fn finish(&self, marker: &CopyMarker, above: Revision) -> Result<(), Fault>;

    /// Lets the engine look at what was written, so that it plans queries well.
    ///
    /// # Errors
    /// A [`Fault`] if it could not; the store can be used nevertheless.
    async fn analyze(&self) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
