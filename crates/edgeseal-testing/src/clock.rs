//! The clock of the system.

use edgeseal_core::Timestamp;
use time::OffsetDateTime;

/// The current time.
pub fn now() -> Timestamp {
    let ms = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    Timestamp::from_unix_ms(i64::try_from(ms).unwrap())
}
