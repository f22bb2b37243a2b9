//! Tests of the rules, and of all of them together in virtual time.

mod authority;
mod backoff;
mod cadence;
mod issuers;
mod reissue;
mod renewal;
mod scheduler;
mod simulation;
mod year;

use super::{DAY_MS, HOUR_MS, MINUTE_MS, *};
use crate::{AccountId, DomainPattern, Timestamp};

fn start() -> Timestamp {
    Timestamp::parse_iso("2029-03-15T00:00:00Z").unwrap()
}

fn domain(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

fn account(n: u64) -> AccountId {
    AccountId::from_random(n)
}

fn days(n: i64) -> i64 {
    n * DAY_MS
}

fn valid_for(life_ms: i64) -> Validity {
    Validity {
        not_before: start(),
        not_after: start().plus_ms(life_ms),
    }
}
