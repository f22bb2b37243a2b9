//! How far the audit is linked.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{BEHIND_AFTER, Tampered};
use crate::{Entry, LogPage, LogRow, Revision, record};

/// The revision up to which all records of all accounts are linked, and the accounts that are left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) through: u64,
    #[serde(default, skip_serializing_if = "Tampered::is_empty")]
    pub(super) tampered: Tampered,
}

/// Records that wait for their link, as one process has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    through: u64,
    since: Instant,
}

impl Checkpoint {
    /// One that does not decode is taken to be at the beginning: the heads of the chains know what is
    /// linked.
    pub(super) fn decode(stored: &Entry) -> Self {
        let decoded = record::decode(&stored.value);
        decoded.unwrap_or_else(|fault| {
            let error: &dyn std::error::Error = &fault;
            tracing::error!(error, "all audit records are read again");
            Self::default()
        })
    }
}

/// The records of a page after `after` that may be linked, and up to which revision all are linked
/// then: those that are not newer than the checkpoint, which was stored before the page was read.
pub(super) fn covered(
    page: LogPage,
    checkpoint: Option<&Entry>,
    after: Revision,
) -> (Vec<LogRow>, Revision) {
    let bound = checkpoint.map_or(after, |entry| entry.revision.max(after));
    let mut rows = page.rows;
    let end = rows.partition_point(|row| row.revision <= bound);
    let has_all = end < rows.len() || !page.has_more;
    rows.truncate(end);
    let last = rows.last().map(|row| row.revision);
    (rows, last.filter(|_| !has_all).unwrap_or(bound))
}

impl Waiting {
    /// What is known once everything up to `through` is linked and, if `has_unlinked`, something after
    /// that is not, given what was known before.
    pub(super) fn after(
        before: Option<Self>,
        through: u64,
        has_unlinked: bool,
        now: Instant,
    ) -> Option<Self> {
        let waits = has_unlinked.then_some(Self {
            through,
            since: now,
        })?;
        Some(before.filter(|it| it.through == through).unwrap_or(waits))
    }

    /// Whether nothing was linked for too long.
    pub(super) fn is_behind(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= BEHIND_AFTER
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::Key;

    fn rows(revisions: &[u64]) -> Vec<LogRow> {
        let row = |revision: &u64| LogRow {
            scope: "1".to_owned(),
            name: revision.to_string(),
            revision: Revision(*revision),
            value: Bytes::new(),
        };
        revisions.iter().map(row).collect()
    }

    #[test]
    fn records_are_covered_that_are_not_newer_than_the_checkpoint() {
        for (found, has_more, stored_at, expected, through) in [
            (&[][..], false, Some(50), &[][..], 50),
            (&[41, 42], false, Some(50), &[41, 42], 50),
            (&[41, 42], true, Some(50), &[41, 42], 42),
            (&[41, 50, 51], false, Some(50), &[41, 50], 50),
            (&[41, 50, 51], true, Some(50), &[41, 50], 50),
            (&[51, 52], true, Some(50), &[], 50),
            (&[41, 42], false, None, &[], 40),
        ] {
            let page = LogPage {
                rows: rows(found),
                has_more,
                revision: Revision(99),
            };
            let stored = stored_at.map(|revision| Entry {
                key: Key::audit_checkpoint(),
                value: Bytes::new(),
                revision: Revision(revision),
            });
            let covered = covered(page, stored.as_ref(), Revision(40));
            let expected = (rows(expected), Revision(through));
            assert_eq!(covered, expected, "{found:?} {has_more} {stored_at:?}");
        }
    }

    #[tokio::test]
    async fn what_makes_no_progress_is_behind() {
        let origin = Instant::now();
        let mut waiting = None;
        for (second, through, has_unlinked, is_behind) in [
            (0, 1, false, false),
            (10, 1, true, false),
            (69, 1, true, false),
            (70, 1, true, true),
            // It goes on.
            (71, 2, true, false),
            (130, 2, true, false),
            (131, 2, true, true),
            // Linked up to the last record.
            (132, 2, false, false),
            (999, 2, true, false),
        ] {
            let now = origin + Duration::from_secs(second);
            waiting = Waiting::after(waiting, through, has_unlinked, now);
            let found = waiting.is_some_and(|it| it.is_behind(now));
            assert_eq!(found, is_behind, "after {second} s");
        }
    }
}
