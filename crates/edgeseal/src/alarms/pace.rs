//! How often everything may be read.

use std::time::{Duration, Instant};

/// Reading may take one part in so many of the time.
const SHARE: u32 = 200;
/// Longest time between two passes.
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// When the next pass over everything is due.
#[derive(Default)]
pub(super) struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// Whether the next pass is due.
    pub(super) fn is_due(&self) -> bool {
        self.next.is_none_or(|next| Instant::now() >= next)
    }

    /// Notes a pass that took this time. The next one is at least `interval` later.
    pub(super) fn passed(&mut self, took: Duration, interval: Duration) {
        let pause = (took * SHARE).clamp(interval.min(PAUSE_MAX), PAUSE_MAX);
        // Due in the next evaluation, although that comes a little early.
        self.next = Some(Instant::now() + pause - pause / 10);
    }

    /// How long a part of a pass may take in each `interval`.
    pub(super) fn budget(interval: Duration) -> Duration {
        interval / SHARE
    }
}
