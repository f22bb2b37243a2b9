//! One limit that several nodes enforce together, each on its own and without waiting for another.
//!
//! About once a second each node tells the others what it was asked for and what it allowed
//! ([`SharedUsage::report`]), and learns the same of them ([`SharedUsage::learn`]). From that
//! follow two bounds, and a call must be within both:
//! - *In total.* Calls that other nodes allowed are charged as if they had been made here, a second
//!   late. So what all of them allow together is the limit in the long run, and what they allowed
//!   too much, before they knew of each other, is paid back in the seconds after.
//! - *Its share*, once all of them together are asked for more than the limit: in proportion to
//!   what each is asked for. So they do not use up the limit in turns of a second.
//!
//! A node that is alone, or the only one that is asked, applies the whole limit exactly as
//! [`spend`] does.

use serde::{Deserialize, Serialize};

use super::{GcraState, RateDecision, RateLimit, cost_us, spend};
use crate::Timestamp;

/// What a node knows of the use of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedUsage {
    /// What was used up at all nodes, as far as this one knows.
    total: GcraState,
    /// What was used up here of this node's share.
    own: GcraState,
    /// Calls since the last exchange, allowed or not.
    attempts: u32,
    /// What this node is asked for: calls between two exchanges. It falls to a quarter with each
    /// exchange, so that a pause of a client does not cost its share.
    demand: u32,
    /// The same of all other nodes together.
    others: u32,
    /// Calls allowed here since the entry was made. It does not fall while it is reported: the others
    /// would take it for a new count and charge all of it again.
    allowed: u64,
    /// Calls that were taken back after they were counted; as many later ones are not counted.
    refunded: u64,
}

/// What a node tells the others about one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// Calls that it was asked for in a second, which fall slowly.
    #[serde(rename = "d")]
    pub demand: u32,
    /// Calls allowed since it reports this limit without interruption.
    #[serde(rename = "a")]
    pub allowed: u64,
}

/// What the other nodes reported between two exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OthersUsage {
    /// Sum of their demands.
    pub demand: u32,
    /// Calls that they have allowed since the last exchange.
    pub allowed: u64,
}

/// How much of what was allowed too much is paid back at most, in microseconds of the limit. Less
/// than the step that [`spend`] takes for a clock that was set back.
const DEBT_MAX_US: i64 = 5_000_000;

impl SharedUsage {
    /// Decides one call at `now`. A refused call costs nothing, but counts as demand.
    pub fn spend(&mut self, limit: RateLimit, now: Timestamp) -> RateDecision {
        self.attempts = self.attempts.saturating_add(1);
        let total = spend(limit, self.total, now);
        let RateDecision::Allowed(total) = total else {
            return total;
        };
        if let Some(share) = self.share(limit) {
            match spend(share, self.own, now) {
                RateDecision::Allowed(own) => self.own = own,
                refused @ RateDecision::RetryAfter { .. } => return refused,
            }
        }
        self.total = total;
        match self.refunded.checked_sub(1) {
            Some(left) => self.refunded = left,
            None => self.allowed += 1,
        }
        RateDecision::Allowed(total)
    }

    /// Takes back one call that was allowed.
    pub fn refund(&mut self, limit: RateLimit) {
        self.total = super::refund(limit, self.total);
        if let Some(share) = self.share(limit) {
            self.own = super::refund(share, self.own);
        }
        self.refunded += 1;
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// Ends an interval; returns what to tell the others, or `None` if there was no demand recently.
    pub fn report(&mut self, limit: RateLimit) -> Option<UsageReport> {
        // Nobody can use more than the limit: a flood at one node does not starve the others.
        let asked = self.attempts.min(limit.calls);
        self.attempts = 0;
        self.demand = asked.max(self.demand / 4);
        if self.demand == 0 {
            self.leave_out();
            return None;
        }
        Some(UsageReport {
            demand: self.demand,
            allowed: self.allowed,
        })
    }

    /// This limit is not in the report: its count begins anew with the next one that has it, where
    /// the others charge all of it.
    pub const fn leave_out(&mut self) {
        self.allowed = 0;
        self.refunded = 0;
    }

    /// Takes into account what the others reported.
    pub fn learn(&mut self, limit: RateLimit, others: OthersUsage, now: Timestamp) {
        self.others = others.demand;
        if others.allowed > 0 {
            self.total = charge(limit, self.total, others.allowed, now);
        }
    }

    /// Whether the state no longer matters: as if the limit was never used.
    #[must_use]
    pub const fn is_expired(&self, now: Timestamp) -> bool {
        self.total.is_expired(now)
    }

    /// Whether nobody asked for anything recently, here or elsewhere.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.demand == 0 && self.others == 0 && self.attempts == 0
    }

    /// This node's share, while all nodes together are asked for more than the limit.
    fn share(&self, limit: RateLimit) -> Option<RateLimit> {
        let asked = u64::from(self.demand) + u64::from(self.others);
        if self.others == 0 || self.demand == 0 || asked <= u64::from(limit.calls) {
            return None;
        }
        Some(part(limit, u64::from(self.demand), asked))
    }
}

impl UsageReport {
    /// Calls allowed since the last report that was read, which is `None` if this limit was not in
    /// it. Never counts a call twice, whichever reports were missed in between.
    #[must_use]
    pub const fn allowed_since(&self, before: Option<&Self>) -> u64 {
        match before {
            // Fewer: it began again.
            Some(before) if before.allowed <= self.allowed => self.allowed - before.allowed,
            _ => self.allowed,
        }
    }
}

/// A part of a limit: as many whole calls as it has, over a period that makes the rate exact.
fn part(limit: RateLimit, numerator: u64, denominator: u64) -> RateLimit {
    let calls = (u64::from(limit.calls) * numerator / denominator).max(1);
    let per_ms =
        u64::from(limit.per_ms) * calls * denominator / (u64::from(limit.calls) * numerator).max(1);
    RateLimit {
        calls: u32::try_from(calls).unwrap_or(limit.calls),
        per_ms: u32::try_from(per_ms).unwrap_or(u32::MAX).max(1),
    }
}

/// The state after further calls, however many there were.
fn charge(limit: RateLimit, spent: GcraState, calls: u64, now: Timestamp) -> GcraState {
    let now_us = now.unix_ms().saturating_mul(1000);
    let calls = i64::try_from(calls).unwrap_or(i64::MAX);
    let window_us = i64::from(limit.per_ms.max(1)) * 1000;
    let arrival = spent
        .0
        .max(now_us)
        .saturating_add(cost_us(limit).saturating_mul(calls));
    let most = now_us.saturating_add(window_us).saturating_add(DEBT_MAX_US);
    GcraState(arrival.min(most))
}

#[cfg(test)]
mod tests;
