//! An issuer as the scheduler sees it: its limits, what was used up of them, whether it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DAY_MS, HOUR_MS, IssuerLimits, Seed, Usage, delay_ms};
use crate::{Backoff, Timestamp};

/// The pause after an issuer that did not answer.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(60), Duration::from_secs(3600));

/// The longest `Retry-After` of an issuer that is down: an outage may end before it believes so.
const UNREACHABLE_MAX_MS: i64 = HOUR_MS;
/// The longest `Retry-After` of an issuer that limits us: the account's limits that are documented
/// have periods of hours.
const RATE_LIMITED_MAX_MS: i64 = DAY_MS;
/// How long after a refusal an urgent order is tried in spite of a pause, and after that one the
/// next.
const PROBE_MS: i64 = HOUR_MS;

/// One account at one issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What it allows.
    pub limits: IssuerLimits,
    /// What was used up.
    pub usage: Usage,
    /// Whether it answers.
    pub health: IssuerHealth,
}

/// Whether an issuer takes orders. The default does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerHealth {
    /// Failures in a row.
    failures: u32,
    /// No order before this point, and why.
    pause: Option<(Timestamp, PauseReason)>,
    /// When it last did not take an order.
    #[serde(default)]
    refused: Timestamp,
    /// When an urgent order was let through after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probed: Option<Timestamp>,
}

/// Why an issuer is not asked for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// It did not answer, or with a status of 5xx.
    Unreachable,
    /// It refused an order because of a limit of the whole account (`rateLimited`, RFC 8555 §6.6).
    RateLimited,
}

impl Issuer {
    /// An issuer of which nothing was used up.
    #[must_use]
    pub fn new(limits: IssuerLimits) -> Self {
        Self {
            limits,
            usage: Usage::default(),
            health: IssuerHealth::default(),
        }
    }
}

impl IssuerHealth {
    /// Until when the issuer is not asked at `now`, and why; `None` if it is. No pause is as long as
    /// one that was noted while the clock was ahead: that one is over.
    #[must_use]
    pub fn pause(&self, now: Timestamp) -> Option<(Timestamp, PauseReason)> {
        let longest = now.plus_ms(RATE_LIMITED_MAX_MS);
        self.pause
            .filter(|(until, _)| *until > now && *until <= longest)
    }

    /// As [`pause`](Self::pause), for an order that is urgent: one an hour is let through, since the
    /// pause may be mistaken.
    #[must_use]
    pub fn pause_of_urgent(&self, now: Timestamp) -> Option<(Timestamp, PauseReason)> {
        let asked = self.probed.unwrap_or_default().max(self.refused).min(now);
        let (until, reason) = self.pause(now)?;
        let until = until.min(asked.plus_ms(PROBE_MS));
        (until > now).then_some((until, reason))
    }

    /// An order goes to the issuer.
    pub fn asked(&mut self, now: Timestamp) {
        if self.pause(now).is_some() {
            self.probed = Some(now);
        }
    }

    /// It did not take an order. The pause doubles from one minute to an hour; `retry_after` is
    /// waited for in any case, up to an hour if it is down and a day if it limits us. Failures of
    /// orders that were already on their way when the pause began do not lengthen it.
    pub fn failed(
        &mut self,
        reason: PauseReason,
        retry_after: Option<Timestamp>,
        seed: Seed,
        now: Timestamp,
    ) {
        let longest = match reason {
            PauseReason::Unreachable => UNREACHABLE_MAX_MS,
            PauseReason::RateLimited => RATE_LIMITED_MAX_MS,
        };
        let issuers = retry_after.map(|at| at.min(now.plus_ms(longest)));
        self.refused = now;
        self.probed = None;
        if let Some((until, before)) = self.pause(now) {
            let until = issuers.map_or(until, |issuers| until.max(issuers));
            // A limit stays one, although the issuer is down as well.
            let is_limited = before == PauseReason::RateLimited;
            self.pause = Some((until, if is_limited { before } else { reason }));
            return;
        }
        let doubled = delay_ms(PAUSES, self.failures);
        self.failures = self.failures.saturating_add(1);
        let seed = seed.nth(u64::from(self.failures));
        let own = now.plus_ms(doubled - doubled / 4 + seed.below(doubled / 4));
        let until = issuers.map_or(own, |issuers| own.max(issuers));
        self.pause = Some((until, reason));
    }

    /// It took an order. A pause because of a limit stays unless an urgent order was let through:
    /// other ones were on their way before.
    pub fn answered(&mut self) {
        self.failures = 0;
        let was_probed = self.probed.take().is_some();
        self.pause = self
            .pause
            .filter(|(_, reason)| *reason == PauseReason::RateLimited && !was_probed);
    }
}
