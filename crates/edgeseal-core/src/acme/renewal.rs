//! When a certificate is due for renewal: as its issuer suggests (ACME Renewal Information,
//! RFC 9773), else by its own age.
//!
//! The identifier by which renewal information is requested (RFC 9773 §4.1) comes from
//! `instant_acme::CertificateIdentifier`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DAY_MS, HOUR_MS, MINUTE_MS, Seed, delay_ms};
use crate::{Backoff, Timestamp};

/// Certificates that live shorter than this are renewed at half of their life, others at two
/// thirds: <https://letsencrypt.org/docs/integration-guide/>, "When to Renew".
const SHORT_LIFE_MS: i64 = 10 * DAY_MS;

/// Renewals by age lie within this many hundredths of the life around the point that is due, so
/// that certificates of the same hour separate within a few renewals: 2.8 of 47 days.
const SPREAD_PERCENT: i64 = 6;

/// No suggestion moves a renewal behind this many hundredths of the life: 4.7 days before the end
/// of 47, 14 hours before the end of 6.
const LATEST_PERCENT: i64 = 90;

/// A certificate that replaced a young one stays for this part of its life, as a divisor; within
/// these limits, and at most for half of its life. An authority that always suggests the past would
/// otherwise be asked for one certificate after the other. The upper limit leaves half of the notice
/// of a revocation.
const YOUNG_SHARE: i64 = 10;
const YOUNG_MIN_MS: i64 = HOUR_MS;
const YOUNG_MAX_MS: i64 = REVOCATION_NOTICE_MS / 2;

/// How long authorities leave between the notice of a revocation and the revocation: CA/Browser
/// Forum, Baseline Requirements §4.9.1.1.
pub const REVOCATION_NOTICE_MS: i64 = 24 * HOUR_MS;

/// Shortest and longest interval between two requests for renewal information (RFC 9773 §4.3.2),
/// and the one after a response without `Retry-After` or a lasting error (§4.3.3).
const POLL_MIN_MS: i64 = MINUTE_MS;
const POLL_MAX_MS: i64 = DAY_MS;
const POLL_DEFAULT_MS: i64 = 6 * HOUR_MS;

/// Delays after temporary errors, and how many of these in a row there may be before the next one
/// counts as lasting (RFC 9773 §4.3.3): 1, 2, 4, 8 and 16 minutes.
const POLL_RETRY_DELAYS: Backoff =
    Backoff::doubling(Duration::from_secs(60), Duration::from_secs(3600));
const POLL_RETRIES: u32 = 5;

/// From when until when a certificate can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Start of the leaf's validity.
    pub not_before: Timestamp,
    /// End of validity of the whole served chain.
    pub not_after: Timestamp,
}

/// `suggestedWindow` of renewal information: its start lies before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalWindow {
    start: Timestamp,
    end: Timestamp,
}

/// What an issuer says about the renewal of one certificate. Stored with the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalInfo {
    /// The suggested window.
    pub window: RenewalWindow,
    /// Since when the issuer has asked for a renewal at once: it moved the window into the past,
    /// or issued the certificate with such a window.
    pub at_once_since: Option<Timestamp>,
}

/// When to request renewal information for one certificate again. Stored with the certificate; the
/// default is due now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalInfoPoll {
    /// Temporary errors since the last response.
    pub errors: u32,
    /// When the next request is due.
    pub next: Timestamp,
}

/// What came of a request for renewal information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// A valid response, with the milliseconds of its `Retry-After` if it had one.
    Answered {
        /// Milliseconds of `Retry-After`.
        retry_after_ms: Option<i64>,
    },
    /// A timeout or a status of 5xx: the next request follows with exponential back-off.
    TemporaryError,
    /// Everything else: an invalid response, another status, no such host.
    LastingError,
}

/// When a certificate is renewed, and because of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// When.
    pub at: Timestamp,
    /// Because of what.
    pub cause: RenewalCause,
}

/// What decided when a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalCause {
    /// A random point of the issuer's suggested window.
    Suggested,
    /// The issuer wants it at once.
    AtOnce,
    /// Its age: the issuer suggests nothing, or something too late.
    Age,
}

impl Validity {
    /// Milliseconds from start to end.
    #[must_use]
    pub const fn life_ms(self) -> i64 {
        let life = self.not_after.since_ms(self.not_before);
        if life > 0 { life } else { 0 }
    }

    /// When the certificate is due by its age: at two thirds of its life, or at half of it if that
    /// is shorter than ten days; spread by `seed` over a few hundredths of the life.
    #[must_use]
    pub const fn due_by_age(self, seed: Seed) -> Timestamp {
        let life = self.life_ms();
        let point = if life < SHORT_LIFE_MS {
            life / 2
        } else {
            life / 3 * 2
        };
        let spread = life / 100 * SPREAD_PERCENT;
        self.not_before
            .plus_ms(point - spread / 2 + seed.below(spread))
    }

    /// When it may be renewed at the earliest if it replaced a young certificate.
    #[must_use]
    pub fn earliest_renewal(self) -> Timestamp {
        self.not_before.plus_ms(self.young_ms())
    }

    /// Whether it is young at `now`: up to twice the time that it stays at least, so that a
    /// certificate that is replaced as soon as it may be counts as well.
    #[must_use]
    pub fn is_young(self, now: Timestamp) -> bool {
        now.since_ms(self.not_before) < 2 * self.young_ms()
    }

    fn young_ms(self) -> i64 {
        let life = self.life_ms();
        let young = (life / YOUNG_SHARE).clamp(YOUNG_MIN_MS, YOUNG_MAX_MS);
        young.min(life / 2)
    }

    /// The latest point to which a suggestion may move the renewal.
    const fn latest_renewal(self) -> Timestamp {
        self.not_before
            .plus_ms(self.life_ms() / 100 * LATEST_PERCENT)
    }
}

impl RenewalWindow {
    /// A window; `None` if it does not start before it ends, which is an invalid response
    /// (RFC 9773 §4.2): the same as none.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Its start.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// Its end.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// The point of the window that belongs to `seed`: uniform among certificates, and always the
    /// same for one (RFC 9773 §4.2, step 2).
    #[must_use]
    pub const fn point(self, seed: Seed) -> Timestamp {
        self.start
            .plus_ms(seed.below(self.end.since_ms(self.start)))
    }
}

impl RenewalInfo {
    /// What is known after a response with `window` at `now`, where `previous` was known before.
    ///
    /// A window that has passed already means "renew at once" if it differs from the one before; in
    /// the first response, if it ended before the certificate was due by its age. A window that
    /// passed while nobody renewed does not; the renewal is due, but no more urgent than others.
    #[must_use]
    pub fn after_response(
        previous: Option<Self>,
        window: RenewalWindow,
        validity: Validity,
        now: Timestamp,
    ) -> Self {
        let has_passed = window.end <= now;
        let is_at_once = has_passed
            && match previous {
                Some(previous) => window != previous.window,
                None => window.end < validity.due_by_age(Seed::from_random(0)),
            };
        let since = previous
            .filter(|previous| has_passed && previous.at_once_since.is_some())
            .and_then(|previous| previous.at_once_since);
        Self {
            window,
            at_once_since: since.or_else(|| is_at_once.then_some(now)),
        }
    }
}

impl RenewalInfoPoll {
    /// When to request again after a request at `now` ended with `outcome`.
    ///
    /// `Retry-After` counts from one minute to one day, six hours if there is none. A temporary
    /// error is followed by requests after 1, 2, 4, 8 and 16 minutes, then by one after six hours,
    /// as is a lasting error. `seed` adds up to a twentieth, so that certificates of one batch do
    /// not ask together.
    #[must_use]
    pub fn after(self, outcome: PollOutcome, seed: Seed, now: Timestamp) -> Self {
        let (errors, wait_ms) = match outcome {
            PollOutcome::Answered { retry_after_ms } => {
                let wait_ms = retry_after_ms.unwrap_or(POLL_DEFAULT_MS);
                (0, wait_ms.clamp(POLL_MIN_MS, POLL_MAX_MS))
            }
            PollOutcome::TemporaryError if self.errors < POLL_RETRIES => {
                (self.errors + 1, delay_ms(POLL_RETRY_DELAYS, self.errors))
            }
            PollOutcome::TemporaryError | PollOutcome::LastingError => (0, POLL_DEFAULT_MS),
        };
        let jitter = seed.nth(now.unix_ms().unsigned_abs()).below(wait_ms / 20);
        Self {
            errors,
            next: now.plus_ms(wait_ms + jitter),
        }
    }
}

/// When to renew a certificate about which its issuer says `info`.
///
/// Without information: [by age](Validity::due_by_age). With it: at the
/// [point](RenewalWindow::point) of the suggested window, now if that has passed; but never in the
/// last tenth of the life, so that no suggestion can let a certificate expire.
#[must_use]
pub fn renewal(validity: Validity, info: Option<RenewalInfo>, seed: Seed) -> Renewal {
    let Some(info) = info else {
        return Renewal {
            at: validity.due_by_age(seed),
            cause: RenewalCause::Age,
        };
    };
    if let Some(at) = info.at_once_since {
        return Renewal {
            at,
            cause: RenewalCause::AtOnce,
        };
    }
    let suggested = info.window.point(seed);
    let latest = validity.latest_renewal();
    if suggested <= latest {
        Renewal {
            at: suggested,
            cause: RenewalCause::Suggested,
        }
    } else {
        Renewal {
            at: latest,
            cause: RenewalCause::Age,
        }
    }
}
