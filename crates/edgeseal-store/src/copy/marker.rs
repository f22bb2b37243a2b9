//! The record that says that a store takes no changes, because it is being moved or is an unfinished copy.
//!
//! It is in the store itself and checked by the engine, in the transaction of each commit: once it is
//! written, whichever process commits is refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Row, Table};
use crate::{Fault, Key, Revision, random};

/// What the record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CopyMarker {
    /// In the source: the last changes are being copied.
    Moving {
        /// Which copy.
        copy: CopyId,
        /// The target, without user and password.
        to: String,
        /// When the last step began.
        at: Timestamp,
    },
    /// In the source: the copy is complete and was compared.
    Moved {
        /// Which copy.
        copy: CopyId,
        /// The target, without user and password.
        to: String,
        /// When the last step began.
        at: Timestamp,
    },
    /// In the target, until the copy is complete.
    Unfinished {
        /// Which copy.
        copy: CopyId,
        /// Which of the processes that worked on it: only the last one may go on.
        run: CopyId,
        /// The source, without user and password.
        from: String,
        /// How far it is.
        progress: CopyProgress,
    },
    /// In a store that a restored backup replaced.
    Replaced {
        /// When.
        at: Timestamp,
    },
}

/// Identifies a copy, or a run of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CopyId(String);

/// How far a copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// The table that is listed.
    pub table: Table,
    /// The last key of its listing that was copied.
    pub listed: Option<String>,
    /// Whether the listing of all tables is complete.
    pub is_listed: bool,
    /// For each table: all changes up to this one are copied, of those keys that are listed. Empty
    /// before the first page.
    pub applied: BTreeMap<Table, ChangeCursor>,
    /// Records copied so far.
    pub records: u64,
}

/// A place in the change log: between two rows of one commit too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCursor {
    /// The commit.
    pub revision: u64,
    /// The last key of it; `None` if all of the commit lies before the place.
    pub key: Option<String>,
}

/// Why a store takes no changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ReadOnly {
    /// A sentence for callers.
    pub reason: String,
}

impl CopyId {
    pub(super) fn random() -> Self {
        Self(random::text::<16>())
    }
}

impl ChangeCursor {
    /// After this row.
    pub(super) fn at(row: &Row) -> Self {
        Self {
            revision: row.changed.0,
            key: Some(row.key.as_str().to_owned()),
        }
    }

    /// After a whole commit.
    pub(crate) const fn after(revision: Revision) -> Self {
        Self {
            revision: revision.0,
            key: None,
        }
    }

    /// The last commit all of which lies before the place.
    pub(crate) const fn complete(&self) -> Revision {
        match self.key {
            None => Revision(self.revision),
            Some(_) => Revision(self.revision.saturating_sub(1)),
        }
    }
}

impl CopyMarker {
    /// Reads the record.
    ///
    /// # Errors
    /// A [`Fault`] if it is none.
    pub fn parse(value: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(value).map_err(Fault::of("decode the record of a copy"))
    }

    /// The record.
    pub(crate) fn encode(&self) -> Result<Bytes, Fault> {
        let json = serde_json::to_vec(self);
        Ok(Bytes::from(
            json.map_err(Fault::of("encode the record of a copy"))?,
        ))
    }

    /// Which copy it belongs to.
    pub(super) const fn copy(&self) -> Option<&CopyId> {
        match self {
            Self::Moving { copy, .. }
            | Self::Moved { copy, .. }
            | Self::Unfinished { copy, .. } => Some(copy),
            Self::Replaced { .. } => None,
        }
    }

    /// The run that may go on with the copy; empty if it is no marker of a target.
    pub(crate) fn run(&self) -> &str {
        match self {
            Self::Unfinished { run, .. } => &run.0,
            _ => "",
        }
    }

    /// Whether it is the marker of a target on which the same run works.
    pub(crate) fn is_of_same_run(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unfinished { run, .. }, Self::Unfinished { run: other, .. }) => run == other,
            _ => false,
        }
    }

    /// The marker of a source that is being moved, when that is done.
    pub(super) fn moved(&self) -> Self {
        match self.clone() {
            Self::Moving { copy, to, at } => Self::Moved { copy, to, at },
            other => other,
        }
    }

    /// What it says, as a sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Moving { to, .. } => format!("store is being moved to {to}"),
            Self::Moved { to, at, .. } => format!("store was moved to {to} at {at}"),
            Self::Unfinished { from, .. } => format!("store is an unfinished copy of {from}"),
            Self::Replaced { at } => format!("store was replaced by a backup at {at}"),
        }
    }
}

impl ReadOnly {
    /// As the record in the store says. One that cannot be read refuses changes too.
    pub(crate) fn of_marker(value: &[u8]) -> Self {
        let reason = match CopyMarker::parse(value) {
            Ok(marker) => marker.reason(),
            Err(fault) => fault.to_string(),
        };
        Self { reason }
    }

    pub(crate) fn into_fault(self) -> Fault {
        Fault::of("commit")(self)
    }
}

impl Fault {
    /// Why the store takes no changes, if that is the cause: nothing was written.
    #[must_use]
    pub fn read_only(&self) -> Option<&ReadOnly> {
        self.cause.as_ref()?.downcast_ref()
    }
}

impl Key {
    /// Whether, and why, the store takes no changes: a [`CopyMarker`].
    #[must_use]
    pub fn copy_marker() -> Self {
        Self::from_stored(COPY_MARKER)
    }
}

/// [`Key::copy_marker`]; in `postgres/functions.sql` too.
pub(crate) const COPY_MARKER: &str = "meta/copy";
