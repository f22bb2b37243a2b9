//! An authority as clients see it: it enforces its limits by its own arithmetic, is down at times,
//! and suggests when to renew.

use std::collections::HashMap;

use super::{DAY_MS, HOUR_MS};
use crate::{
    Timestamp,
    acme::{IssuerLimits, OrderKind, RenewalWindow, Validity},
    rate::RateLimit,
};

/// Tokens that are left of a limit, and when they were counted.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// An authority with limits as those of Let's Encrypt, with or without its exemptions.
pub(super) struct Authority {
    limits: IssuerLimits,
    buckets: HashMap<String, Bucket>,
    /// Orders that it had to refuse because of a limit.
    pub(super) refused: u32,
    /// When it does not answer.
    pub(super) is_down: fn(Timestamp) -> bool,
    pub(super) life_ms: i64,
}

impl Authority {
    pub(super) fn new(limits: IssuerLimits, life_ms: i64, is_down: fn(Timestamp) -> bool) -> Self {
        Self {
            limits,
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
        let limits = self.limits;
        let same_name = format!("={name}");
        let is_allowed = match kind {
            OrderKind::Replacement if limits.exempts_replacements => true,
            OrderKind::Renewal if limits.exempts_renewals => {
                self.take(&same_name, limits.per_name_set, now)
            }
            _ => {
                self.take("", limits.orders, now)
                    && self.take(root, limits.per_registered_domain, now)
                    && self.take(&same_name, limits.per_name_set, now)
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

    fn take(&mut self, name: &str, limit: Option<RateLimit>, now: Timestamp) -> bool {
        let Some(limit) = limit else { return true };
        let (size, period_ms) = (f64::from(limit.calls), f64::from(limit.per_ms));
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
