//! Rate limits: the generic cell rate algorithm (ITU-T I.371, Annex A) as a function.

use serde::{Deserialize, Serialize};

use crate::{AccountId, Timestamp};

mod shared;

pub use shared::{OthersUsage, SharedUsage, UsageReport};

/// What a node used of the limit of an account for an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateUse {
    /// The account.
    pub account: AccountId,
    /// The key of the limit: an action, or a name that several share.
    pub action: String,
    /// What was used.
    #[serde(flatten)]
    pub usage: UsageReport,
}

/// Calls allowed per period; all of them may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Calls in [`RateLimit::per_ms`]; also the size of a burst. Zero refuses every call.
    pub calls: u32,
    /// The period in milliseconds; at least 1.
    pub per_ms: u32,
}

/// What a caller has used up: the theoretical arrival time of its next call, in microseconds of the
/// same clock as `now`. The default is a caller that was never seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GcraState(i64);

/// The decision on one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateDecision {
    /// Allowed; store this state.
    Allowed(GcraState),
    /// Too soon: the next call is allowed after this many milliseconds (rounded up).
    RetryAfter {
        /// Milliseconds to wait.
        ms: u64,
    },
}

impl RateLimit {
    /// `calls` in each second.
    #[must_use]
    pub const fn per_second(calls: u32) -> Self {
        Self {
            calls,
            per_ms: 1000,
        }
    }
}

impl GcraState {
    /// Whether the state no longer matters: as if the caller was never seen.
    #[must_use]
    pub const fn is_expired(self, now: Timestamp) -> bool {
        self.0 <= now.unix_ms().saturating_mul(1000)
    }
}

/// How far, in microseconds, the clock may lie behind a state that exceeds a full limit before it
/// counts as set back: calls that are decided out of order are milliseconds apart.
const CLOCK_STEP_US: i64 = 10_000_000;

/// Decides one call at `now` by a caller that has used up `spent` of `limit`. A refused call costs
/// nothing.
///
/// A caller cannot have used up more than the whole limit, unless the clock was set back. Such a
/// caller is treated as if it had used up all but one call, so that it waits as its rate requires
/// and not as long as the clock was set back.
#[must_use]
pub fn spend(limit: RateLimit, spent: GcraState, now: Timestamp) -> RateDecision {
    let window_us = i64::from(limit.per_ms.max(1)) * 1000;
    if limit.calls == 0 {
        return RateDecision::RetryAfter {
            ms: window_us.unsigned_abs() / 1000,
        };
    }
    let now_us = now.unix_ms().saturating_mul(1000);
    let cost_us = (window_us / i64::from(limit.calls)).max(1);
    let full_us = now_us.saturating_add(cost_us * i64::from(limit.calls));
    let spent_us = if spent.0 > full_us.saturating_add(CLOCK_STEP_US) {
        full_us.saturating_sub(cost_us)
    } else {
        spent.0
    };
    let arrival = spent_us.max(now_us).saturating_add(cost_us);
    let early_us = arrival.saturating_sub(full_us);
    if early_us > 0 {
        RateDecision::RetryAfter {
            ms: early_us.unsigned_abs().div_ceil(1000),
        }
    } else {
        RateDecision::Allowed(GcraState(arrival))
    }
}

/// The state without one call that was allowed under `limit`.
#[must_use]
pub fn refund(limit: RateLimit, spent: GcraState) -> GcraState {
    GcraState(spent.0.saturating_sub(cost_us(limit)))
}

/// Calls that are allowed at `now`, one after the other.
#[must_use]
pub fn left(limit: RateLimit, spent: GcraState, now: Timestamp) -> u32 {
    let now_us = now.unix_ms().saturating_mul(1000);
    let used_us = spent.0.saturating_sub(now_us).max(0);
    let full_us = cost_us(limit) * i64::from(limit.calls);
    let left = full_us.saturating_sub(used_us).max(0) / cost_us(limit);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// What one call costs, in microseconds.
fn cost_us(limit: RateLimit) -> i64 {
    let window_us = i64::from(limit.per_ms.max(1)) * 1000;
    (window_us / i64::from(limit.calls.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let limit = RateLimit::per_second(30);
        let start = Timestamp::from_unix_seconds(1_000);
        let mut spent = GcraState::default();
        for _ in 0..30 {
            let RateDecision::Allowed(next) = spend(limit, spent, start) else {
                panic!("refused within the burst")
            };
            spent = next;
        }
        assert_eq!(
            spend(limit, spent, start),
            RateDecision::RetryAfter { ms: 34 }
        );
        assert!(matches!(
            spend(limit, spent, start.plus_ms(34)),
            RateDecision::Allowed(_)
        ));
    }

    #[test]
    fn what_is_left_may_be_spent() {
        let limit = RateLimit::per_second(30);
        let start = Timestamp::from_unix_seconds(1_000);
        let mut spent = GcraState::default();
        for n in (0..30).rev() {
            let RateDecision::Allowed(next) = spend(limit, spent, start) else {
                panic!("refused with {n} left")
            };
            spent = next;
            assert_eq!(left(limit, spent, start), n);
        }
        assert_eq!(left(limit, spent, start.plus_ms(100)), 3);
        assert_eq!(left(limit, refund(limit, spent), start), 1);
        assert_eq!(left(limit, spent, start.plus_ms(60_000)), 30);
    }

    #[test]
    fn zero_refuses() {
        let limit = RateLimit::per_second(0);
        assert_eq!(
            spend(limit, GcraState::default(), Timestamp::default()),
            RateDecision::RetryAfter { ms: 1000 }
        );
    }

    #[test]
    fn a_clock_that_is_set_back_costs_no_more_than_the_rate() {
        let limit = RateLimit::per_second(30);
        let start = Timestamp::from_unix_seconds(1_000_000);
        let RateDecision::Allowed(spent) = spend(limit, GcraState::default(), start) else {
            panic!("refused at first")
        };
        // How far back; a step of 10 s or less is not detected, and passes by itself.
        for back_ms in [12_000, 3_600_000, 86_400_000] {
            let mut now = start.plus_ms(-back_ms);
            let RateDecision::Allowed(mut spent) = spend(limit, spent, now) else {
                panic!("refused after {back_ms} ms back")
            };
            assert_eq!(
                spend(limit, spent, now),
                RateDecision::RetryAfter { ms: 34 }
            );
            // From then on exactly the rate applies.
            let mut passed = 0;
            for _ in 0..1000 {
                now = now.plus_ms(1);
                if let RateDecision::Allowed(next) = spend(limit, spent, now) {
                    (spent, passed) = (next, passed + 1);
                }
            }
            assert_eq!(passed, 30, "{back_ms}");
        }
    }

    #[test]
    fn state_expires_once_refilled() {
        let start = Timestamp::from_unix_seconds(1_000);
        let RateDecision::Allowed(spent) =
            spend(RateLimit::per_second(10), GcraState::default(), start)
        else {
            panic!("the first call was refused")
        };
        assert!(GcraState::default().is_expired(start));
        assert!(!spent.is_expired(start));
        assert!(!spent.is_expired(start.plus_ms(99)));
        assert!(spent.is_expired(start.plus_ms(100)));
    }

    proptest! {
        /// In any window of `per_ms`, at most twice the burst passes (a burst plus the refill), and
        /// waiting for the returned time is always enough.
        #[test]
        fn never_more_than_burst_plus_refill(
            calls in 1_u32..50,
            per_ms in 1_u32..5000,
            gaps in prop::collection::vec(0_i64..200, 1..300),
        ) {
            let limit = RateLimit { calls, per_ms };
            let mut now = Timestamp::from_unix_seconds(1_000_000);
            let mut spent = GcraState::default();
            let mut passed = Vec::new();
            for gap in gaps {
                now = now.plus_ms(gap);
                match spend(limit, spent, now) {
                    RateDecision::Allowed(next) => { spent = next; passed.push(now); }
                    RateDecision::RetryAfter { ms } => {
                        let told = now.plus_ms(i64::try_from(ms).unwrap());
                        prop_assert!(matches!(spend(limit, spent, told), RateDecision::Allowed(_)));
                    }
                }
            }
            for (i, first) in passed.iter().enumerate() {
                let within = passed[i..].iter().filter(|t| t.since_ms(*first) < i64::from(per_ms)).count();
                // One more than twice: integer microseconds round the cost of a call down.
                prop_assert!(within <= 2 * calls as usize + 1, "{within} of {calls} in {per_ms} ms");
            }
        }
    }
}
