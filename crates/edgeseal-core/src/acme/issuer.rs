//! An issuer as the scheduler sees it: its limits, what was used up of them, whether it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{IssuerLimits, Seed, Usage, backoff::RETRY_AFTER_MAX_MS, delay_ms};
use crate::{Backoff, Timestamp};

/// The pause after an issuer that did not answer.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(60), Duration::from_secs(3600));

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
    /// Until when the issuer is not asked at `now`, and why; `None` if it is.
    #[must_use]
    pub fn pause(&self, now: Timestamp) -> Option<(Timestamp, PauseReason)> {
        self.pause.filter(|(until, _)| *until > now)
    }

    /// It did not take an order. The pause doubles from one minute to an hour; `retry_after` is
    /// waited for in any case, up to a week. Failures of orders that were already on their way when
    /// the pause began do not lengthen it.
    pub fn failed(
        &mut self,
        reason: PauseReason,
        retry_after: Option<Timestamp>,
        seed: Seed,
        now: Timestamp,
    ) {
        let issuers = retry_after.map(|at| at.min(now.plus_ms(RETRY_AFTER_MAX_MS)));
        if let Some((until, _)) = self.pause(now) {
            let until = issuers.map_or(until, |issuers| until.max(issuers));
            self.pause = Some((until, reason));
            return;
        }
        let doubled = delay_ms(PAUSES, self.failures);
        self.failures = self.failures.saturating_add(1);
        let seed = seed.nth(u64::from(self.failures));
        let own = now.plus_ms(doubled - doubled / 4 + seed.below(doubled / 4));
        let until = issuers.map_or(own, |issuers| own.max(issuers));
        self.pause = Some((until, reason));
    }

    /// It took an order. A pause because of a limit stays: the order was on its way before.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.pause = self
            .pause
            .filter(|(_, reason)| *reason == PauseReason::RateLimited);
    }
}
