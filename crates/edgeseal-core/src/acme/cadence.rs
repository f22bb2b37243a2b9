//! How often a domain's certificate is replaced, and whether the next replacement is late: what an
//! operator wants to know of certificates that somebody else renews.

use std::fmt;

use super::{DAY_MS, HOUR_MS};
use crate::Timestamp;

/// One replacement of a domain's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// When the certificate was uploaded.
    pub at: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// The regular interval of a domain's replacements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// The usual interval, in milliseconds; adapted to the latest certificate if that lives shorter
    /// or longer than those before.
    pub interval_ms: i64,
    /// When the latest replacement was.
    pub last: Timestamp,
    /// The end of the latest certificate.
    pub not_after: Timestamp,
}

/// Where a domain is in its cadence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The next replacement is not due yet.
    OnTime {
        /// When it is.
        due: Timestamp,
    },
    /// It should have come, but may still: less than the usual irregularity has passed.
    Due {
        /// Since when.
        since: Timestamp,
    },
    /// It has not come.
    Late {
        /// Since when it was due.
        since: Timestamp,
    },
}

/// Replacements within this time of each other are one: a second attempt, or a second certificate.
const SAME_MS: i64 = 12 * HOUR_MS;
/// Latest intervals that are looked at: a changed habit counts after four of them.
const LATEST: usize = 7;
/// Fewest intervals that make a cadence: two agree by chance less often than one.
const FEWEST: usize = 2;
/// An interval fits if it differs from the usual one by at most a fourth of that.
const TOLERANCE: i64 = 4;
/// A replacement that would leave less than a tenth of the life cannot be what is usual.
const LATEST_PERCENT: i64 = 90;
/// A replacement is late after a tenth of the interval, within these bounds.
const GRACE_SHARE: i64 = 10;
const GRACE_MIN_MS: i64 = 6 * HOUR_MS;
const GRACE_MAX_MS: i64 = 7 * DAY_MS;
/// When a replacement counts as late, at least half of the time is left that was left when it was
/// due.
const NOTICE_SHARE: i64 = 2;

impl Cadence {
    /// The cadence of replacements, in any order; `None` if there are too few, or no regularity.
    ///
    /// The usual interval is the median of the last seven. Of more than two intervals half have to
    /// fit it, of two both: either the intervals themselves, or their shares of the life of the
    /// certificates that were replaced, since tools renew at a share of the life.
    #[must_use]
    pub fn of(replacements: &[Replacement]) -> Option<Self> {
        let distinct = distinct(replacements);
        let last = *distinct.last()?;
        let first = distinct.len().saturating_sub(LATEST + 1);
        let pairs = || distinct[first..].windows(2);
        let intervals: Vec<i64> = pairs()
            .map(|pair| pair[1].at.since_ms(pair[0].at))
            .collect();
        let percents: Vec<i64> = pairs()
            .zip(&intervals)
            .map(|(pair, interval)| percent(*interval, pair[0].life_ms()))
            .collect();
        if intervals.len() < FEWEST || !(is_regular(&intervals) || is_regular(&percents)) {
            return None;
        }
        let lives: Vec<i64> = pairs().map(|pair| pair[0].life_ms()).collect();
        let usual = Usual {
            interval_ms: median(&intervals)?,
            percent: median(&percents)?,
            life_ms: median(&lives)?,
        };
        Some(Self {
            interval_ms: usual.interval_for(last.life_ms()),
            last: last.at,
            not_after: last.not_after,
        })
    }

    /// When the next replacement is due.
    #[must_use]
    pub const fn due(&self) -> Timestamp {
        self.last.plus_ms(self.interval_ms)
    }

    /// From when on the next replacement counts as late: a tenth of the interval after it was due,
    /// six hours to seven days, but no later than when half of the time before the expiry has
    /// passed.
    #[must_use]
    pub fn late_from(&self) -> Timestamp {
        let grace = (self.interval_ms / GRACE_SHARE).clamp(GRACE_MIN_MS, GRACE_MAX_MS);
        let remaining = self.not_after.since_ms(self.due()).max(0);
        self.due().plus_ms(grace.min(remaining / NOTICE_SHARE))
    }

    /// Where the domain is in its cadence at `now`.
    #[must_use]
    pub fn timing(&self, now: Timestamp) -> Timing {
        let due = self.due();
        if now < due {
            Timing::OnTime { due }
        } else if now < self.late_from() {
            Timing::Due { since: due }
        } else {
            Timing::Late { since: due }
        }
    }

    /// The cadence and the delay in words: `replaced every 60 days; 9 days late`.
    #[must_use]
    pub fn describe(&self, now: Timestamp) -> impl fmt::Display {
        let every = Days(self.interval_ms);
        match self.timing(now) {
            Timing::OnTime { due } => {
                format!(
                    "replaced every {every}; next in {}",
                    Days(due.since_ms(now))
                )
            }
            Timing::Due { .. } => format!("replaced every {every}; due now"),
            Timing::Late { since } => {
                format!("replaced every {every}; {} late", Days(now.since_ms(since)))
            }
        }
    }
}

/// A duration in days, or in hours below two days.
struct Days(i64);

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = (self.0 + HOUR_MS / 2) / HOUR_MS;
        let (n, unit) = if hours < 48 {
            (hours, "hour")
        } else {
            ((self.0 + DAY_MS / 2) / DAY_MS, "day")
        };
        let plural = if n == 1 { "" } else { "s" };
        write!(f, "{n} {unit}{plural}")
    }
}

/// What is usual about a domain's replacements.
struct Usual {
    interval_ms: i64,
    /// The interval in hundredths of the life of the certificate that was replaced.
    percent: i64,
    life_ms: i64,
}

impl Usual {
    /// The interval to expect after a certificate that lives `life_ms`.
    ///
    /// Who renews by the calendar keeps the interval, who renews by age the share of the life. If
    /// the life has become longer, the later of both does not raise a false alarm; if it has
    /// become shorter, the interval counts as long as it ends well before the certificate.
    fn interval_for(&self, life_ms: i64) -> i64 {
        let by_age = life_ms / 100 * self.percent.min(LATEST_PERCENT);
        if self.interval_ms > life_ms / 100 * LATEST_PERCENT {
            by_age
        } else if life_ms - self.life_ms > self.life_ms / TOLERANCE {
            self.interval_ms.max(by_age)
        } else {
            self.interval_ms
        }
    }
}

impl Replacement {
    fn life_ms(&self) -> i64 {
        self.not_after.since_ms(self.at).max(0)
    }
}

/// Whether at least half of the values fit their median; both, if there are two.
fn is_regular(values: &[i64]) -> bool {
    let Some(usual) = median(values) else {
        return false;
    };
    let fits = |value: &&i64| (**value - usual).abs() <= usual / TOLERANCE;
    let fitting = values.iter().filter(fits).count();
    fitting >= FEWEST && fitting * 2 >= values.len()
}

fn percent(part: i64, whole: i64) -> i64 {
    part.saturating_mul(100) / whole.max(1)
}

/// Replacements by time; of several close together the last.
fn distinct(replacements: &[Replacement]) -> Vec<Replacement> {
    let mut sorted = replacements.to_vec();
    sorted.sort_by_key(|replacement| replacement.at);
    let mut distinct: Vec<Replacement> = Vec::new();
    for replacement in sorted {
        match distinct.last_mut() {
            Some(last) if replacement.at.since_ms(last.at) < SAME_MS => *last = replacement,
            _ => distinct.push(replacement),
        }
    }
    distinct
}

/// The median; of an even number the lower one.
fn median(values: &[i64]) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}
