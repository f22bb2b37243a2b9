//! What times say about when a record was written: pure rules.
//!
//! The order of a chain is that of its links, whatever the clock said. Times are evidence beside it. A
//! clock that is set back makes all that is written afterwards look older than what stands before it;
//! a record that somebody inserts under an old time looks just so. A link tells them apart: it says, under
//! its MAC, what the clock was when it was made. If the record fits that clock, the clock went back; if it
//! does not, the record was not written when it was linked.

use edgeseal_core::Timestamp;

/// A record that is so much older than what was linked before it was not written by a call: calls
/// take seconds, and the clocks of nodes that accept the same signatures differ by 15 minutes at most.
pub const LATE_MS: i64 = 20 * 60 * 1000;

/// What the time of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    /// It may have been written when the chain says.
    Fits,
    /// It is older than what was linked before, and so was the clock when it was linked: that was set
    /// back.
    ClockSetBack,
    /// It is older than what was linked before, and its link, made by an earlier release, does not say
    /// what the clock was.
    Undated,
    /// It was written long before it was linked, by whoever did it.
    Inserted,
}

/// Judges a record of this time. `linked` is the clock of the link that it is in, or of now if it is in
/// none yet; `before` is when the link before that one was made.
pub(super) fn judge(at: Timestamp, linked: Option<Timestamp>, before: Option<Timestamp>) -> Timing {
    let is_late = |than: Timestamp| than.since_ms(at) > LATE_MS;
    match (before, linked) {
        (None, _) => Timing::Fits,
        (Some(before), _) if !is_late(before) => Timing::Fits,
        (Some(_), None) => Timing::Undated,
        (Some(_), Some(linked)) if is_late(linked) => Timing::Inserted,
        (Some(_), Some(_)) => Timing::ClockSetBack,
    }
}

/// By how many milliseconds the clock went back between two links; nothing that the clocks of several
/// nodes differ by.
pub(super) fn set_back_ms(before: Option<Timestamp>, linked: Option<Timestamp>) -> Option<i64> {
    let by = before?.since_ms(linked?);
    (by > LATE_MS).then_some(by)
}

/// Records from before this moment are older than `days`; `None` if nothing is linked.
///
/// Counted back from the clock, and never from later than the newest record that is linked: a clock that
/// jumps ahead writes none, so it lets nothing grow old.
#[must_use]
pub fn expired_before(
    now: Timestamp,
    newest_linked: Option<Timestamp>,
    days: u32,
) -> Option<Timestamp> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let now = now.min(newest_linked?);
    Some(now.plus_ms(-i64::from(days) * DAY_MS))
}

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
            let found = judge(hours(at), linked.map(hours), before.map(hours));
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
            let found = set_back_ms(Some(hours(0)), Some(minutes(-back)));
            assert_eq!(found, expected, "{back} minutes");
        }
        assert_eq!(set_back_ms(None, Some(hours(0))), None);
        assert_eq!(set_back_ms(Some(hours(0)), None), None);
    }

    #[test]
    fn nothing_grows_old_by_a_clock_alone() {
        let days = |days: i64| hours(24 * days);
        for (now, newest, kept, expected) in [
            (1000, Some(1000), 400, Some(600)),
            // Nothing was written for a while.
            (1000, Some(900), 400, Some(500)),
            // The clock jumped ahead, and nothing was written since.
            (9000, Some(1000), 400, Some(600)),
            // It is behind.
            (900, Some(1000), 400, Some(500)),
            (1000, None, 400, None),
        ] {
            let found = expired_before(days(now), newest.map(days), kept);
            assert_eq!(found, expected.map(days), "{now} {newest:?}");
        }
    }
}
