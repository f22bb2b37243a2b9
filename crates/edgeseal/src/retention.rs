//! Removes audit records for their age.

use std::time::Duration;

use edgeseal_store::Catalog;

use crate::clock;

/// The first look comes when what was written before the start is linked.
const INITIAL_DELAY: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Removes records that are older than so many days, 0 for none, until `stop` is ready.
pub(crate) async fn expire_audit_records(
    catalog: Catalog,
    days: u32,
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
        wait = INTERVAL;
        let work = catalog.expire_audit_records(clock::now(), days);
        let removed = tokio::select! {
            () = &mut stop => return,
            removed = work => removed,
        };
        match removed {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, days, "removed audit records for their age"),
            Err(fault) => tracing::error!(
                error = &fault as &dyn std::error::Error,
                "old audit records could not be removed"
            ),
        }
    }
}
