//! The only place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use edgeseal_core::Timestamp;

/// The current time of the system's clock.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
