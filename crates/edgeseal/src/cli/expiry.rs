//! How long certificates are still valid, for people.

use edgeseal_core::{Timestamp, certificate::is_expiring};

use super::output::pluralize;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Whole days from `now` to the end of a validity; negative once it has expired.
pub(super) const fn days_left(not_after: Timestamp, now: Timestamp) -> i64 {
    not_after.since_ms(now).div_euclid(DAY_MS)
}

/// `40 days left`, `12 days left (soon)`, or that it has expired.
pub(super) fn describe(not_after: Timestamp, now: Timestamp) -> String {
    let days = |count: u64| pluralize(usize::try_from(count).unwrap_or(usize::MAX), "day");
    match days_left(not_after, now) {
        0 => "less than a day left (soon)".to_owned(),
        left @ 1.. if is_expiring(not_after, now) => {
            format!("{} left (soon)", days(left.unsigned_abs()))
        }
        left @ 1.. => format!("{} left", days(left.unsigned_abs())),
        // The first day after the end is -1.
        -1 => "expired today".to_owned(),
        past => format!("expired {} ago", days(past.unsigned_abs() - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        let now = Timestamp::from_unix_seconds(1_795_522_200);
        for (ms, days, said) in [
            (30 * DAY_MS, 30, "30 days left"),
            (30 * DAY_MS - 1, 29, "29 days left (soon)"),
            (DAY_MS, 1, "1 day left (soon)"),
            (DAY_MS - 1, 0, "less than a day left (soon)"),
            (0, 0, "less than a day left (soon)"),
            (-1, -1, "expired today"),
            (-DAY_MS, -1, "expired today"),
            (-DAY_MS - 1, -2, "expired 1 day ago"),
            (-10 * DAY_MS, -10, "expired 9 days ago"),
        ] {
            let end = now.plus_ms(ms);
            assert_eq!(days_left(end, now), days, "{ms}");
            assert_eq!(describe(end, now), said, "{ms}");
        }
    }
}
