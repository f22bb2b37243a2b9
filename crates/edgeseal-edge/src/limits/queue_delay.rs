//! Handshakes that are queued for too long.
//!
//! A handshake whose ClientHello has arrived is queued behind everything else that the process has
//! to do. If all of them were queued for longer than [`TARGET`] during [`INTERVAL`] or more, there
//! is a standing queue that does not drain by itself: those that waited longer are closed before
//! they cost a signature, until one did not have to wait (the idea of CoDel, RFC 8289: a standing
//! queue delays everyone and serves no one).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Acceptable queue delay: less than a client would lose by reconnecting.
const TARGET: Duration = Duration::from_millis(500);
/// Longer delays than this are not a burst.
const INTERVAL: Duration = Duration::from_secs(1);

/// Since when all handshakes were delayed too long.
#[derive(Debug, Default)]
pub(super) struct QueueDelay {
    /// In milliseconds plus one; 0: not at all.
    since: AtomicU64,
}

impl QueueDelay {
    /// Whether a handshake that was queued for `delay` met a standing queue.
    pub(super) fn is_standing(&self, delay: Duration, now: Duration) -> bool {
        if delay < TARGET {
            self.since.store(0, Ordering::Relaxed);
            return false;
        }
        let now = millis(now) + 1;
        let begin = self
            .since
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        begin.is_err_and(|since| now.saturating_sub(since) >= millis(INTERVAL))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_standing_queue_is_shed() {
        let delay = QueueDelay::default();
        let ms = Duration::from_millis;
        let table = [
            (0, 10, false),
            (600, 20, false),   // a burst
            (600, 1019, false), // not long enough
            (600, 1020, true),
            (9000, 50_000, true),
            (499, 50_001, false), // a short wait ends it
            (600, 50_002, false),
            (600, 51_002, true),
        ];
        for (waited, now, stands) in table {
            assert_eq!(delay.is_standing(ms(waited), ms(now)), stands, "at {now}");
        }
    }
}
