//! Limits the log lines of unauthenticated callers.

use std::sync::Mutex;

use edgeseal_core::{
    Timestamp,
    rate::{GcraState, RateDecision, RateLimit, spend},
};

/// Log lines for calls without a valid key. Anyone can make such calls.
const LINES_PER_SECOND: RateLimit = RateLimit::per_second(20);

/// Allows [`LINES_PER_SECOND`] log lines for calls without a valid key; the rest is counted.
#[derive(Debug, Default)]
pub(crate) struct UnauthenticatedLogLimiter(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    spent: GcraState,
    suppressed: u64,
}

impl UnauthenticatedLogLimiter {
    /// Whether a call is logged: `None` if not. If so, the number of lines suppressed since the
    /// last one, if any.
    pub(crate) fn check(&self, authenticated: bool, now: Timestamp) -> Option<Option<u64>> {
        if authenticated {
            return Some(None);
        }
        let mut state = self.0.lock().unwrap_or_else(|broken| broken.into_inner());
        match spend(LINES_PER_SECOND, state.spent, now) {
            RateDecision::Allowed(spent) => {
                state.spent = spent;
                let suppressed = std::mem::take(&mut state.suppressed);
                Some((suppressed > 0).then_some(suppressed))
            }
            RateDecision::RetryAfter { .. } => {
                state.suppressed += 1;
                metrics::counter!("edgeseal_api_log_lines_suppressed_total").increment(1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unauthenticated_log_lines_are_limited() {
        let lines = UnauthenticatedLogLimiter::default();
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let logged = |at| {
            (0..100)
                .filter(|_| lines.check(false, at).is_some())
                .count()
        };
        assert_eq!(logged(now), 20);
        assert_eq!(
            lines.check(true, now),
            Some(None),
            "authenticated calls are always logged"
        );
        assert_eq!(lines.check(false, now.plus_ms(1000)), Some(Some(80)));
        assert_eq!(lines.check(false, now.plus_ms(1000)), Some(None));
        assert_eq!(logged(now.plus_ms(1000)), 18);
    }
}
