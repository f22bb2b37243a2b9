//! Why a store is not copied.

use super::compare::Difference;
use crate::Fault;

/// Why a store is not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Both are the same one.
    #[error("{0} cannot be copied to itself")]
    Same(String),
    /// The target has records, and is no unfinished copy.
    #[error("{0} is not empty: a store is copied into an empty one only")]
    NotEmpty(String),
    /// The target is an unfinished copy of another store.
    #[error("{target} is an unfinished copy of {from}: go on with that one, or remove it")]
    OtherCopy {
        /// The target.
        target: String,
        /// What it is a copy of.
        from: String,
    },
    /// The source is being copied to somewhere else, was moved, or is an unfinished copy itself.
    #[error("{source_name}: the {reason}; edgeseal store reopen makes it take changes again")]
    SourceReadOnly {
        /// The source.
        source_name: String,
        /// What its marker says.
        reason: String,
    },
    /// The copy differs from the source: one of them is damaged, or a fail-over has lost changes.
    #[error(
        "the copy is not equal to its source, which takes changes again: {0}; one of them is damaged, \
         or a fail-over of a database lost acknowledged changes; the same command copies everything \
         again"
    )]
    Different(#[from] Difference),
    /// The log of the source is too short for the time that a copy takes.
    #[error("the change log of the source does not reach back to the beginning of the copy")]
    LogTooShort,
    /// It was interrupted; it can go on later.
    #[error("the copy was interrupted; the same command goes on with it")]
    Interrupted,
    /// The last step failed, and the source could not be told to take changes again.
    #[error("{failure}; and the source takes no changes until edgeseal store reopen: {cause}")]
    StillStopped {
        /// Why the last step failed.
        failure: Box<Self>,
        /// Why the source cannot be told.
        cause: Fault,
    },
    /// The copy is complete and equal, and the source is marked as moved. Neither takes changes.
    #[error(
        "the copy is complete and equal, but {target} is not open yet, and the source takes no \
         changes: run the same command again: {failure}"
    )]
    TargetNotOpen {
        /// The target.
        target: String,
        /// Why it is not open.
        failure: Box<Self>,
    },
    /// The source has lost its marker when the target was open already: both may take changes.
    #[error(
        "{target} is open, but {source_name} has lost the record that it was moved, by a fail-over or \
         by edgeseal store reopen: stop its servers; what they changed since is not in {target}"
    )]
    BothOpen {
        /// The target.
        target: String,
        /// The source.
        source_name: String,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] Fault),
}
