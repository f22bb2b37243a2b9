//! The ladder of expiry: at which remaining time an alarm begins and escalates.

use super::Severity;
use crate::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// A rung of the ladder, in order of urgency.
///
/// Each is reached with so many days left, or with that part of the certificate's life left if this
/// is less: otherwise a certificate of six days would be an alarm all its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// 30 days, or a third of the life: by then renewals are due.
    Days30,
    /// 14 days, or a quarter.
    Days14,
    /// 7 days, or a sixth.
    Days7,
    /// 3 days, or a tenth.
    Days3,
    /// A day, or a twentieth.
    Day1,
    /// The end.
    Expired,
}

impl Rung {
    /// All, the least urgent first.
    pub const ALL: [Self; 6] = [
        Self::Days30,
        Self::Days14,
        Self::Days7,
        Self::Days3,
        Self::Day1,
        Self::Expired,
    ];

    /// The days left, and the divisor of the life.
    const fn limits(self) -> (i64, i64) {
        match self {
            Self::Days30 => (30, 3),
            Self::Days14 => (14, 4),
            Self::Days7 => (7, 6),
            Self::Days3 => (3, 10),
            Self::Day1 => (1, 20),
            Self::Expired => (0, 1),
        }
    }

    /// The time left at which the rung is reached, of a certificate that lives so long; in
    /// milliseconds.
    #[must_use]
    pub fn remaining_ms(self, life_ms: i64) -> i64 {
        let (days, divisor) = self.limits();
        (days * DAY_MS).min(life_ms.max(0) / divisor)
    }

    /// How urgent it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Days30 => Severity::Info,
            Self::Days14 | Self::Days7 => Severity::Warning,
            Self::Days3 | Self::Day1 | Self::Expired => Severity::Critical,
        }
    }
}

/// The most urgent rung that is reached; `None` if none is. `life_ms` is the validity of the leaf,
/// also if another certificate of the chain ends first.
#[must_use]
pub fn rung(not_after: Timestamp, life_ms: i64, now: Timestamp) -> Option<Rung> {
    let remaining = not_after.since_ms(now);
    let mut rungs = Rung::ALL.into_iter().rev();
    rungs.find(|rung| remaining <= rung.remaining_ms(life_ms))
}

/// When the first rung is reached.
#[must_use]
pub fn rung_start(not_after: Timestamp, life_ms: i64) -> Timestamp {
    not_after.plus_ms(-Rung::Days30.remaining_ms(life_ms))
}
