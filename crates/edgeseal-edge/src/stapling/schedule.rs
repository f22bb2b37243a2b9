//! When a response is fetched again, and when it is no longer stapled.

use edgeseal_core::{Timestamp, certificate::ocsp::GoodStatus};

/// Upper limit of a jitter.
pub(super) const JITTER_MAX: i64 = 1000;

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 60 * 60 * SECOND_MS;
/// Minimum interval between requests for one certificate, even if the responder returns outdated
/// responses.
const SOONEST_MS: i64 = 5 * 60 * SECOND_MS;
/// Margin for clients whose clock is ahead, and for the time a handshake takes.
const MARGIN_MS: i64 = 60 * SECOND_MS;
const FIRST_PAUSE_MS: i64 = 5 * SECOND_MS;

/// When a response is refreshed: at half of its validity, a tenth of it sooner or later.
pub(super) fn refresh_at(good: GoodStatus, jitter: i64, now: Timestamp) -> Timestamp {
    let validity = good.next_update.since_ms(good.this_update);
    let spread = validity / 10 * (2 * jitter - JITTER_MAX) / JITTER_MAX;
    let wanted = good.this_update.plus_ms(validity / 2 + spread);
    wanted.max(now.plus_ms(SOONEST_MS))
}

/// When a response is no longer stapled.
pub(super) const fn drop_at(good: GoodStatus) -> Timestamp {
    good.next_update.plus_ms(-MARGIN_MS)
}

/// When to retry after `failures` failures in a row, at least one: 5 s, doubling to an hour, a
/// quarter of it sooner or later.
pub(super) fn retry_at(failures: u32, jitter: i64, now: Timestamp) -> Timestamp {
    let pause = FIRST_PAUSE_MS << failures.saturating_sub(1).min(16);
    let pause = pause.min(HOUR_MS);
    now.plus_ms(pause + pause / 4 * (2 * jitter - JITTER_MAX) / JITTER_MAX)
}

/// When to ask again about a revoked certificate: one on hold may come back.
pub(super) fn ask_of_revoked_at(now: Timestamp) -> Timestamp {
    now.plus_ms(HOUR_MS)
}

/// When the first request for one of `together` new certificates is due: one alone at once, those
/// of a start spread over up to five minutes.
pub(super) fn first_at(together: usize, jitter: i64, now: Timestamp) -> Timestamp {
    const AT_ONCE: usize = 32;
    if together <= AT_ONCE {
        return now;
    }
    let spread = i64::try_from(together).unwrap_or(i64::MAX);
    let spread = spread.saturating_mul(SECOND_MS / 10).min(SOONEST_MS);
    now.plus_ms(spread * jitter / JITTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    const fn hours(hours: i64) -> Timestamp {
        NOW.plus_ms(hours * HOUR_MS)
    }

    #[test]
    fn refresh_times() {
        let good = |from, to| GoodStatus {
            this_update: hours(from),
            next_update: hours(to),
        };
        let table = [
            (good(0, 100), 0, hours(40)),
            (good(0, 100), 500, hours(50)),
            (good(0, 100), 1000, hours(60)),
            (good(-20, 80), 500, hours(30)),
            // Old on arrival.
            (good(-90, 10), 500, NOW.plus_ms(SOONEST_MS)),
        ];
        for (good, jitter, expected) in table {
            assert_eq!(refresh_at(good, jitter, NOW), expected, "{good:?} {jitter}");
        }
        assert_eq!(drop_at(good(0, 1)), hours(1).plus_ms(-60_000));
    }

    #[test]
    fn retry_times_after_failures() {
        let table = [
            (1, 500, 5),
            (2, 500, 10),
            (3, 500, 20),
            (10, 500, 2560),
            (11, 500, 3600),
            (u32::MAX, 500, 3600),
            (u32::MAX, 0, 2700),
            (u32::MAX, 1000, 4500),
        ];
        for (failures, jitter, seconds) in table {
            let at = retry_at(failures, jitter, NOW);
            assert_eq!(at.since_ms(NOW), 1000 * seconds, "{failures} {jitter}");
        }
    }

    #[test]
    fn first_request_times() {
        for (together, jitter, ms) in [
            (1, 1000, 0),
            (32, 1000, 0),
            (100, 0, 0),
            (100, 1000, 10_000),
            (1_000_000, 1000, 300_000),
            (usize::MAX, 500, 150_000),
        ] {
            let at = first_at(together, jitter, NOW);
            assert_eq!(at.since_ms(NOW), ms, "{together} {jitter}");
        }
    }
}
