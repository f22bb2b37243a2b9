//! Compares the times of records and links: pure rules.
//!
//! The order of a chain is that of its links, whatever the clock showed. If the clock is set back,
//! later records look older than the ones before them; so does a record that somebody inserts with
//! an old time. A link distinguishes the two: its MAC covers the clock reading at its creation. If
//! the record fits that reading, the clock was set back; otherwise the record was not written when
//! it was linked.

use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};

/// A record that is so much older than what was linked before it was not written by a call: calls
/// take seconds, and the clocks of nodes that accept the same signatures differ by 15 minutes at
/// most.
pub const CLOCK_TOLERANCE_MS: i64 = 20 * 60 * 1000;

/// What the time of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    /// It may have been written when the chain says.
    Fits,
    /// It is older than what was linked before, and so was the clock when it was linked: that was
    /// set back.
    ClockSetBack,
    /// It is older than what was linked before, and its link, made by an earlier release, does not
    /// say what the clock was.
    Undated,
    /// Its time is long before that of its link: it was inserted.
    Inserted,
}

/// Classifies a record of time `at`. `linked` is the clock reading in its link, or the current one
/// if it is not linked yet; `before` is the clock reading in the previous link.
pub(super) fn classify(
    at: Timestamp,
    linked: Option<Timestamp>,
    before: Option<Timestamp>,
) -> Timing {
    let is_late = |than: Timestamp| than.since_ms(at) > CLOCK_TOLERANCE_MS;
    match (before, linked) {
        (None, _) => Timing::Fits,
        (Some(before), _) if !is_late(before) => Timing::Fits,
        (Some(_), None) => Timing::Undated,
        (Some(_), Some(linked)) if is_late(linked) => Timing::Inserted,
        (Some(_), Some(_)) => Timing::ClockSetBack,
    }
}

/// By how many milliseconds the clock went back between two links; nothing that the clocks of
/// several nodes differ by.
pub(super) fn clock_step_back_ms(
    before: Option<Timestamp>,
    linked: Option<Timestamp>,
) -> Option<i64> {
    let by = before?.since_ms(linked?);
    (by > CLOCK_TOLERANCE_MS).then_some(by)
}

/// The clock readings of the task that removes old records, so that a clock that is wrong for a
/// while removes nothing.
///
/// A clock that jumps (ahead by more than a day, or back) is trusted only after it has advanced
/// steadily for a day. So if it is correct again within a day, nothing was removed, whatever was
/// written and linked meanwhile and however often the server was restarted. A jump that stays, as
/// after a long time without a server, delays removal by a day. Readings decide this, not records:
/// an account may have one record a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMonitor {
    /// What the clock showed last.
    seen: Timestamp,
    /// What it showed when it had leapt last, or was first seen.
    since: Timestamp,
}

impl ClockMonitor {
    /// After a look at the clock, which shows `now`.
    #[must_use]
    pub fn observe(before: Option<Self>, now: Timestamp) -> Self {
        let goes_on =
            |before: &Self| (-CLOCK_TOLERANCE_MS..=DAY_MS).contains(&now.since_ms(before.seen));
        let since = before.filter(goes_on).map_or(now, |before| before.since);
        Self { seen: now, since }
    }

    /// What the clock shows, if it has gone on for a day.
    fn trusted_now(self) -> Option<Timestamp> {
        (self.seen.since_ms(self.since) >= DAY_MS).then_some(self.seen)
    }
}

/// Records from before this moment are older than `days`; `None` if that is not certain, or nothing
/// is linked.
///
/// Counted back from the clock, but at most from the newest linked record: if nothing is written
/// any more, nothing is removed.
#[must_use]
pub(crate) fn retention_cutoff(
    watch: ClockMonitor,
    newest_linked: Option<Timestamp>,
    days: u32,
) -> Option<Timestamp> {
    let now = watch.trusted_now()?.min(newest_linked?);
    Some(now.plus_ms(-i64::from(days) * DAY_MS))
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;

    fn hours(hours: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + hours * HOUR)
    }

    #[test]
    fn a_clock_that_went_back_is_told_from_a_record_that_was_inserted() {
        for (at, linked, before, expected) in [
            (0, Some(0), None, Timing::Fits),
            (-500, Some(0), None, Timing::Fits),
            (0, Some(0), Some(0), Timing::Fits),
            // Written, then the server was down for a day.
            (0, Some(24), Some(0), Timing::Fits),
            // The clock jumped ahead.
            (500, Some(500), Some(0), Timing::Fits),
            // And back.
            (0, Some(0), Some(500), Timing::ClockSetBack),
            (-1, Some(-1), Some(0), Timing::ClockSetBack),
            (-1, None, Some(0), Timing::Undated),
            (-1, Some(0), Some(0), Timing::Inserted),
            (-1, Some(24), Some(0), Timing::Inserted),
            // Older than a clock that went back.
            (-3, Some(-1), Some(0), Timing::Inserted),
        ] {
            let found = classify(hours(at), linked.map(hours), before.map(hours));
            assert_eq!(found, expected, "{at} {linked:?} {before:?}");
        }
    }

    #[test]
    fn clocks_of_nodes_differ_a_little() {
        let minutes = |n: i64| hours(0).plus_ms(n * 60 * 1000);
        for (back, expected) in [
            (0, None),
            (20, None),
            (21, Some(21 * 60 * 1000)),
            (-60, None),
        ] {
            let found = clock_step_back_ms(Some(hours(0)), Some(minutes(-back)));
            assert_eq!(found, expected, "{back} minutes");
        }
        assert_eq!(clock_step_back_ms(None, Some(hours(0))), None);
        assert_eq!(clock_step_back_ms(Some(hours(0)), None), None);
    }

    #[test]
    fn a_clock_that_leaps_is_believed_a_day_later() {
        // Hours at which the clock is looked at and shows the right time, plus what it is wrong by;
        // whether it is believed at the last look.
        for (looks, expected) in [
            (&[(0, 0)][..], false),
            (&[(0, 0), (23, 0)], false),
            (&[(0, 0), (1, 0), (24, 0)], true),
            // Restarts, in between an hour without a look, or a day.
            (&[(0, 0), (0, 0), (12, 0), (24, 0), (48, 0)], true),
            // Down for a month, then there again.
            (&[(0, 0), (24, 0), (744, 0)], false),
            (&[(0, 0), (24, 0), (744, 0), (768, 0)], true),
            // Ahead by 390 days for some hours, and right again.
            (&[(0, 0), (24, 0), (25, 9360)], false),
            (&[(0, 0), (24, 0), (25, 9360), (48, 9360)], false),
            (&[(0, 0), (24, 0), (25, 9360), (30, 0)], false),
            (&[(0, 0), (24, 0), (25, 9360), (30, 0), (53, 0)], false),
            (&[(0, 0), (24, 0), (25, 9360), (30, 0), (54, 0)], true),
            // For a day and more.
            (&[(0, 0), (24, 0), (25, 9360), (49, 9360)], true),
            // Back by an hour, and to the same by clocks that differ a little.
            (&[(0, 0), (24, 0), (25, -2)], false),
            (&[(0, 0), (24, 0), (24, 0)], true),
        ] {
            let mut watch = None;
            for (at, ahead) in looks {
                watch = Some(ClockMonitor::observe(watch, hours(at + ahead)));
            }
            let believed = watch.and_then(ClockMonitor::trusted_now);
            assert_eq!(believed.is_some(), expected, "{looks:?}");
        }
    }

    #[test]
    fn nothing_grows_old_by_a_clock_alone() {
        let days = |days: i64| hours(24 * days);
        for (now, newest, kept, expected) in [
            (1000, Some(1000), 400, Some(600)),
            // Nothing was written for a while.
            (1000, Some(900), 400, Some(500)),
            // It is behind.
            (900, Some(1000), 400, Some(500)),
            (1000, None, 400, None),
        ] {
            let watch = ClockMonitor::observe(None, days(now - 1));
            let found = retention_cutoff(watch, newest.map(days), kept);
            assert_eq!(found, None, "{now} {newest:?}");
            let watch = ClockMonitor::observe(Some(watch), days(now));
            let found = retention_cutoff(watch, newest.map(days), kept);
            assert_eq!(found, expected.map(days), "{now} {newest:?}");
        }
    }
}
