//! Planning of certificates that are ordered by ACME (RFC 8555): when each one is due, which goes
//! first, how fast an issuer may be asked, and what follows from a failure.
//!
//! Nothing here talks to an issuer or a store. The order driver builds a [`Scheduler`] from what
//! the store holds, asks it for the [next](Scheduler::next) order, and reports what came of it. A
//! forecast ([`reissue`]) and the simulated year run the same scheduler in virtual time.
//!
//! - [`renewal`]: when a certificate is due, and when to ask for renewal information (RFC 9773)
//! - [`backoff`]: when a domain that failed is tried again
//! - [`limits`], [`usage`], [`issuer`]: what an issuer allows, what was used up, whether it answers
//! - [`queue`], [`scheduler`]: the order of work
//! - [`reissue`]: how long the replacement of many certificates takes
//! - [`cadence`]: how often a domain's certificate is replaced, and whether a replacement is late

pub mod backoff;
pub mod cadence;
pub mod issuer;
pub mod limits;
pub mod queue;
pub mod reissue;
pub mod renewal;
pub mod scheduler;
pub mod seed;
pub mod usage;

pub use backoff::RetryState;
pub use issuer::{Issuer, IssuerHealth, PauseReason};
pub use limits::IssuerLimits;
pub use queue::{OrderKind, Task, TaskKey, Urgency};
pub use renewal::{RenewalInfo, RenewalInfoPoll, RenewalWindow, Validity};
pub use scheduler::{Scheduler, Start};
pub use seed::Seed;
pub use usage::{Counter, Usage};

use crate::Backoff;

/// The delay before the next retry, in milliseconds, as the rules count.
fn delay_ms(delays: Backoff, retries: u32) -> i64 {
    i64::try_from(delays.delay(retries).as_millis()).unwrap_or(i64::MAX)
}

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

#[cfg(test)]
mod tests;
