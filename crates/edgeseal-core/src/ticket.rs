//! When a session-ticket key is created, used and destroyed (RFC 5077 §5.5, RFC 8446 §8.1).
//!
//! Time is divided into periods of twelve hours, the same for all edges, and each period has one
//! key. Edges that share keys agree on the key in use by the clock alone:
//!
//! | in period | the key of | is | and |
//! |---|---|---|---|
//! | *p* | *p* + 1 | [`Next`](TicketKeyUse::Next) | is distributed; decrypts tickets of edges whose clocks are ahead |
//! | *p* | *p* | [`Current`](TicketKeyUse::Current) | encrypts and decrypts tickets |
//! | *p* | *p* − 1 | [`Previous`](TicketKeyUse::Previous) | decrypts tickets |
//! | *p* | any other | nothing | is destroyed |
//!
//! So every edge has a key for up to twelve hours before any edge encrypts with it, a ticket is
//! valid for at least twelve hours, and no key can decrypt recorded traffic after a day.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How long a key encrypts tickets, and the least time a ticket is valid, in milliseconds.
pub const PERIOD_MS: i64 = 12 * 60 * 60 * 1000;

/// A twelve-hour period with one ticket key, numbered from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketPeriod(i64);

/// What a ticket key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketKeyUse {
    /// It will encrypt in the next period.
    Next,
    /// It encrypts and decrypts.
    Current,
    /// It encrypted in the previous period, and still decrypts.
    Previous,
}

impl TicketPeriod {
    /// The period at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(now.unix_ms().div_euclid(PERIOD_MS))
    }

    /// The following period.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// When its key begins to encrypt.
    #[must_use]
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.saturating_mul(PERIOD_MS))
    }

    /// When its key decrypts no more: the lifetime of a ticket after it last encrypted one.
    #[must_use]
    pub const fn expires_at(self) -> Timestamp {
        self.begins().plus_ms(2 * PERIOD_MS)
    }

    /// What its key is used for; `None` if it must not exist.
    #[must_use]
    pub const fn key_use(self, now: Timestamp) -> Option<TicketKeyUse> {
        match self.0.checked_sub(Self::at(now).0) {
            Some(1) => Some(TicketKeyUse::Next),
            Some(0) => Some(TicketKeyUse::Current),
            Some(-1) => Some(TicketKeyUse::Previous),
            _ => None,
        }
    }

    /// The periods whose keys must exist, the current one first.
    #[must_use]
    pub const fn required(now: Timestamp) -> [Self; 2] {
        let current = Self::at(now);
        [current, current.next()]
    }
}

#[cfg(test)]
mod tests {
    use super::{TicketKeyUse::*, *};

    const HOUR: i64 = 60 * 60 * 1000;

    #[test]
    fn what_a_key_is_for() {
        // Period 100 begins at hour 1200.
        let period = TicketPeriod(100);
        let table = [
            (1187 * HOUR, None),
            (1188 * HOUR - 1, None),
            (1188 * HOUR, Some(Next)),
            (1200 * HOUR - 1, Some(Next)),
            (1200 * HOUR, Some(Current)),
            (1212 * HOUR - 1, Some(Current)),
            (1212 * HOUR, Some(Previous)),
            (1224 * HOUR - 1, Some(Previous)),
            (1224 * HOUR, None),
            (0, None),
            (i64::MIN, None),
            (i64::MAX, None),
        ];
        for (ms, expected) in table {
            let now = Timestamp::from_unix_ms(ms);
            assert_eq!(period.key_use(now), expected, "at {ms} ms");
        }
        assert_eq!(period.begins().unix_ms(), 1200 * HOUR);
        assert_eq!(period.expires_at().unix_ms(), 1224 * HOUR);
    }

    #[test]
    fn at_each_moment_one_key_seals_and_one_is_ready() {
        for ms in [
            -13 * HOUR,
            -1,
            0,
            1,
            1_800_000_000_000,
            12 * HOUR - 1,
            12 * HOUR,
        ] {
            let now = Timestamp::from_unix_ms(ms);
            let uses = TicketPeriod::required(now).map(|period| period.key_use(now));
            assert_eq!(uses, [Some(Current), Some(Next)], "at {ms} ms");
            assert!(TicketPeriod::at(now).begins() <= now);
        }
    }

    #[test]
    fn no_number_overflows() {
        for number in [i64::MIN, i64::MAX] {
            let period = TicketPeriod(number);
            let _ = (period.next(), period.begins(), period.expires_at());
            assert_eq!(period.key_use(Timestamp::from_unix_ms(0)), None);
        }
    }
}
