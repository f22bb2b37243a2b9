//! Waiting for a condition.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long to wait for a condition before the test fails.
pub const TIMEOUT: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Asks until there is an answer, and returns it; fails the test after [`TIMEOUT`].
#[cfg(any(feature = "net", feature = "postgres"))]
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Blocks until there is an answer, and returns it; fails the test after [`TIMEOUT`].
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        thread::sleep(POLL_INTERVAL);
    }
}
