//! When a domain whose order failed is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DAY_MS, HOUR_MS, MINUTE_MS, Seed, delay_ms};
use crate::{Backoff, Timestamp};

/// The wait before the next attempt, moved by up to a quarter: from one minute to one attempt a
/// day, at which Let's Encrypt never pauses a name (<https://letsencrypt.org/docs/rate-limits/>,
/// "Consecutive Authorization Failures").
const DELAYS: Backoff = Backoff::doubling(Duration::from_secs(60), Duration::from_secs(86_400));
/// The longest wait once the certificate has expired, or if there is none yet: four attempts a day,
/// at which Let's Encrypt pauses a name after three years.
const LONGEST_EXPIRED_MS: i64 = 6 * HOUR_MS;
/// At least this share of the time that remains before the expiry is left after the next attempt.
const REMAINING_SHARE: i64 = 4;
/// A call that asks again brings the next attempt no closer than this to the last one.
const ASK_AGAIN_MS: i64 = 10_000;
/// The longest `Retry-After` that is believed: the longest period of a documented limit.
const RETRY_AFTER_MAX_MS: i64 = 7 * DAY_MS;

/// The failures of one domain since its last certificate, kept over restarts. The default has
/// none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryState {
    /// Failed attempts in a row.
    pub failures: u32,
    /// No attempt before this point.
    pub next_attempt: Timestamp,
}

impl RetryState {
    /// The back-off after one more failure at `now`.
    ///
    /// The wait doubles from one minute to a day, and `seed` moves it by up to a quarter either
    /// way. `expires` is the end of what is served: the next attempt comes within a quarter of the
    /// time that remains, and at most six hours apart once nothing valid is served (`None`).
    /// `retry_after`, the issuer's word, is waited for even then, up to a week.
    ///
    /// An issuer that is unreachable or limits all orders is no failure of a domain: see
    /// [`super::IssuerHealth`].
    #[must_use]
    pub fn after_failure(
        self,
        expires: Option<Timestamp>,
        retry_after: Option<Timestamp>,
        seed: Seed,
        now: Timestamp,
    ) -> Self {
        let failures = self.failures.saturating_add(1);
        let doubled = delay_ms(DELAYS, self.failures);
        let seed = seed.nth(u64::from(failures));
        let spread = doubled - doubled / 4 + seed.below(doubled / 2);
        let remaining = expires.map_or(0, |expires| expires.since_ms(now));
        let longest = if remaining > 0 {
            (remaining / REMAINING_SHARE).clamp(MINUTE_MS, DAY_MS)
        } else {
            LONGEST_EXPIRED_MS
        };
        let own = now.plus_ms(spread.min(longest));
        let issuers = retry_after.map(|at| at.min(now.plus_ms(RETRY_AFTER_MAX_MS)));
        Self {
            failures,
            next_attempt: issuers.map_or(own, |issuers| own.max(issuers)),
        }
    }

    /// The same, but somebody asked for another attempt at `now`: it follows ten seconds after the
    /// last one, at `failed_at`. The failures still count.
    #[must_use]
    pub fn asked_again(self, failed_at: Timestamp, now: Timestamp) -> Self {
        let soon = failed_at.plus_ms(ASK_AGAIN_MS).max(now);
        Self {
            next_attempt: self.next_attempt.min(soon),
            ..self
        }
    }

    /// Whether an attempt is allowed.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        self.next_attempt <= now
    }
}
