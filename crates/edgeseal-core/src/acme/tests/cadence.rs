use proptest::prelude::*;

use super::*;
use crate::acme::cadence::{Cadence, Replacement, Timing};

/// Replacements on the given days, by certificates that live so many days.
fn on(days_and_lives: &[(i64, i64)]) -> Vec<Replacement> {
    let replacement = |&(day, life): &(i64, i64)| Replacement {
        at: start().plus_ms(days(day)),
        not_after: start().plus_ms(days(day + life)),
    };
    days_and_lives.iter().map(replacement).collect()
}

fn interval_days(history: &[(i64, i64)]) -> Option<i64> {
    let cadence = Cadence::of(&on(history))?;
    Some((cadence.interval_ms + DAY_MS / 2) / DAY_MS)
}

#[test]
fn cadences() {
    for (history, expected) in [
        // Too few to tell.
        (&[][..], None),
        (&[(0, 90)], None),
        (&[(0, 90), (60, 90)], None),
        // Two intervals that agree, and two that do not.
        (&[(0, 90), (60, 90), (120, 90)], Some(60)),
        (&[(0, 90), (60, 90), (85, 90)], None),
        // One by hand between regular ones, and a late one.
        (
            &[(0, 90), (60, 90), (75, 90), (135, 90), (195, 90)],
            Some(60),
        ),
        (
            &[(0, 90), (60, 90), (120, 90), (200, 90), (260, 90)],
            Some(60),
        ),
        // No rule in it.
        (
            &[(0, 90), (5, 90), (60, 90), (75, 90), (150, 90), (151, 90)],
            None,
        ),
        // By age, while lives become shorter: two thirds of 47 days are due next.
        (&[(0, 90), (60, 90), (120, 47)], Some(31)),
        (&[(0, 200), (133, 90), (193, 47)], Some(31)),
        // By the calendar, every 30 days, although lives become shorter.
        (&[(0, 90), (30, 90), (60, 47)], Some(30)),
        // Lives become longer: the later of both.
        (&[(0, 47), (31, 47), (62, 90)], Some(59)),
        // Twice in a night is once.
        (&[(0, 90), (0, 90), (60, 90), (60, 90), (120, 90)], Some(60)),
    ] {
        assert_eq!(interval_days(history), expected, "{history:?}");
    }
}

#[test]
fn only_what_is_recent_counts() {
    let mut history: Vec<(i64, i64)> = (0..10).map(|n| (n * 60, 90)).collect();
    assert_eq!(interval_days(&history), Some(60));
    // Since 2029 every 31 days.
    history.extend((1..=4).map(|n| (540 + n * 31, 47)));
    assert_eq!(interval_days(&history), Some(31));
}

#[test]
fn says_that_it_is_late_days_before_the_end() {
    let cadence = Cadence::of(&on(&[(0, 90), (60, 90), (120, 90), (180, 90)])).unwrap();
    let at = |day: i64| start().plus_ms(days(day));
    assert_eq!(cadence.due(), at(240));
    assert_eq!(cadence.late_from(), at(246));
    assert_eq!(cadence.timing(at(239)), Timing::OnTime { due: at(240) });
    assert_eq!(cadence.timing(at(245)), Timing::Due { since: at(240) });
    assert_eq!(cadence.timing(at(249)), Timing::Late { since: at(240) });
    for (day, text) in [
        (200, "replaced every 60 days; next in 40 days"),
        (239, "replaced every 60 days; next in 24 hours"),
        (241, "replaced every 60 days; due now"),
        (249, "replaced every 60 days; 9 days late"),
    ] {
        assert_eq!(cadence.describe(at(day)).to_string(), text);
    }
}

#[test]
fn six_day_certificates_are_late_in_time() {
    let history = [(0, 6), (3, 6), (6, 6), (9, 6)];
    let cadence = Cadence::of(&on(&history)).unwrap();
    assert_eq!(cadence.due(), start().plus_ms(days(12)));
    // A tenth of the interval is seven hours.
    let late = cadence.late_from().since_ms(cadence.due());
    assert!((7 * HOUR_MS..8 * HOUR_MS).contains(&late), "{late}");
}

proptest! {
    /// Late is known before the end: half of what was left at the due time is left then.
    #[test]
    fn late_before_the_end(
        gaps in prop::collection::vec(1_i64..100, 0..12),
        life in 2_i64..200,
    ) {
        let mut day = 0;
        let mut history = vec![(0, life)];
        for gap in gaps {
            day += gap;
            history.push((day, life));
        }
        if let Some(cadence) = Cadence::of(&on(&history)) {
            prop_assert!(cadence.interval_ms > 0);
            prop_assert!(cadence.due() < cadence.not_after);
            prop_assert!(cadence.late_from() < cadence.not_after);
            prop_assert!(cadence.due() <= cadence.late_from());
        }
    }
}
