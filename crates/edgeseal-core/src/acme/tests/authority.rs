//! An authority as clients see it: it enforces its limits by its own arithmetic, is down at times,
//! and suggests when to renew.

use std::collections::HashMap;

use super::{DAY_MS, HOUR_MS};
use crate::{
    Timestamp,
    acme::{OrderKind, RenewalWindow, Validity},
};

/// Tokens that are left of a limit, and when they were counted.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// An authority with the limits of Let's Encrypt.
pub(super) struct Authority {
    buckets: HashMap<String, Bucket>,
    /// Orders that it had to refuse because of a limit.
    pub(super) refused: u32,
    /// When it does not answer.
    pub(super) is_down: fn(Timestamp) -> bool,
    pub(super) life_ms: i64,
}

impl Authority {
    pub(super) fn new(life_ms: i64, is_down: fn(Timestamp) -> bool) -> Self {
        Self {
            buckets: HashMap::new(),
            refused: 0,
            is_down,
            life_ms,
        }
    }

    /// A new order; whether the limits allow it.
    pub(super) fn order(
        &mut self,
        name: &str,
        root: &str,
        kind: OrderKind,
        now: Timestamp,
    ) -> bool {
        let week = 7.0 * DAY_MS as f64;
        let is_allowed = match kind {
            OrderKind::Replacement => true,
            OrderKind::Renewal => self.take(&format!("={name}"), 5.0, week, now),
            OrderKind::First => {
                self.take("", 300.0, 3.0 * HOUR_MS as f64, now)
                    && self.take(root, 50.0, week, now)
                    && self.take(&format!("={name}"), 5.0, week, now)
            }
        };
        self.refused += u32::from(!is_allowed);
        is_allowed
    }

    /// A certificate that is issued at `now`.
    pub(super) fn issue(&self, now: Timestamp) -> Validity {
        Validity {
            not_before: now,
            not_after: now.plus_ms(self.life_ms),
        }
    }

    /// Two thirds of the life, or half of a short one, with a hundredth of it on either side: as
    /// Boulder suggests (`RenewalInfoSimple` in `core/objects.go`).
    pub(super) fn window(validity: Validity) -> RenewalWindow {
        let life = validity.life_ms();
        let left = if life < 10 * DAY_MS {
            life / 2
        } else {
            life / 3
        };
        let ideal = validity.not_after.plus_ms(-left);
        RenewalWindow::new(ideal.plus_ms(-life / 100), ideal.plus_ms(life / 100)).unwrap()
    }

    /// What it suggests for a certificate that it is about to revoke: half an hour in the past
    /// (`RenewalInfoImmediate`).
    pub(super) fn window_in_the_past(now: Timestamp) -> RenewalWindow {
        RenewalWindow::new(now.plus_ms(-HOUR_MS), now.plus_ms(-HOUR_MS / 2)).unwrap()
    }

    fn take(&mut self, name: &str, size: f64, period_ms: f64, now: Timestamp) -> bool {
        let full = Bucket {
            tokens: size,
            at: now,
        };
        let bucket = self.buckets.entry(name.to_owned()).or_insert(full);
        let refill = now.since_ms(bucket.at) as f64 * size / period_ms;
        bucket.tokens = (bucket.tokens + refill).min(size);
        bucket.at = now;
        // A thousandth of an order for rounding.
        let is_there = bucket.tokens > 0.999;
        bucket.tokens -= if is_there { 1.0 } else { 0.0 };
        is_there
    }
}
