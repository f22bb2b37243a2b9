//! Removes expired audit records.

use std::time::Duration;

use edgeseal_store::Catalog;
use tokio::sync::watch;

use crate::clock;

/// The first run waits until records from before the start are linked.
const INITIAL_DELAY: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Removes records older than `days` (0: none), once an hour while this process is the keeper,
/// until `stop` completes.
pub(crate) async fn expire_audit_records(
    catalog: Catalog,
    days: u32,
    keeper: watch::Receiver<bool>,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = std::pin::pin!(stop);
    let mut wait = INITIAL_DELAY;
    if days == 0 {
        return;
    }
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(wait) => {}
        }
        if !*keeper.borrow() {
            wait = INITIAL_DELAY;
            continue;
        }
        wait = INTERVAL;
        let work = catalog.expire_audit_records(clock::now(), days);
        let removed = tokio::select! {
            () = &mut stop => return,
            removed = work => removed,
        };
        match removed {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, days, "removed expired audit records"),
            Err(fault) => tracing::error!(
                error = &fault as &dyn std::error::Error,
                "expired audit records could not be removed"
            ),
        }
    }
}
