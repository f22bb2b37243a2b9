//! Exponential backoff: how long to wait before a retry.

use std::time::Duration;

/// Delays of retries: `base` before the first, `factor` times as long before each next one, at most
/// `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay before the first retry.
    pub base: Duration,
    /// By what each delay is multiplied.
    pub factor: u32,
    /// The longest delay.
    pub cap: Duration,
}

impl Backoff {
    /// Delays that double.
    #[must_use]
    pub const fn doubling(base: Duration, cap: Duration) -> Self {
        let factor = 2;
        Self { base, factor, cap }
    }

    /// The delay before the next retry, after this many.
    #[must_use]
    pub fn delay(self, retries: u32) -> Duration {
        let factor = self.factor.saturating_pow(retries);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// A delay from zero to [`delay`](Self::delay), in proportion to `random`: clients that failed
    /// together do not retry together ("full jitter": Brooker, "Exponential Backoff And Jitter",
    /// AWS Architecture Blog, 2015).
    #[must_use]
    pub fn full_jitter(self, retries: u32, random: u32) -> Duration {
        let share = f64::from(random) / f64::from(u32::MAX);
        self.delay(retries).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(30));

    #[test]
    fn each_delay_is_longer_up_to_the_cap() {
        let delays = [0, 1, 2, 9, 10, 31, 32, u32::MAX].map(|retries| BACKOFF.delay(retries));
        let expected = [50, 100, 200, 25_600, 30_000, 30_000, 30_000, 30_000];
        assert_eq!(delays, expected.map(Duration::from_millis));
        let constant = Backoff {
            factor: 1,
            ..BACKOFF
        };
        assert_eq!(constant.delay(u32::MAX), BACKOFF.base);
    }

    #[test]
    fn full_jitter_spreads_from_zero_to_the_delay() {
        for retries in [0, 3, u32::MAX] {
            let delay = BACKOFF.delay(retries);
            assert_eq!(BACKOFF.full_jitter(retries, 0), Duration::ZERO);
            assert_eq!(BACKOFF.full_jitter(retries, u32::MAX), delay);
            let half = BACKOFF.full_jitter(retries, u32::MAX / 2);
            assert!(half > delay.mul_f64(0.49) && half < delay.mul_f64(0.51));
        }
    }
}
