//! Of several processes on one store, one orders: the one that has the lease.

use std::time::Duration;

use edgeseal_core::Timestamp;
use edgeseal_store::{Fault, catalog::HeldLease};

use super::OrderTask;

/// How long the lease lasts without being renewed: so long no orders are made after the end of the
/// process that made them, unless it starts again.
const LEASE_MS: i64 = 120_000;
/// How long before the end of the lease a process stops that could not renew it: clocks differ, and
/// a commit takes time.
const MARGIN_MS: i64 = 20_000;
/// How often the lease is renewed; how often it is asked for while another process has it, and
/// after a failure of the store.
const RENEW_MS: i64 = 20_000;
const ASK_MS: i64 = 5_000;
const RETRY_MS: i64 = 1_000;
/// How long the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// The lease as it is known.
#[derive(Debug, Default)]
pub(super) struct Lease {
    until: Option<Timestamp>,
    /// When to ask for it again.
    next: Timestamp,
}

impl OrderTask {
    /// Whether this process orders.
    pub(super) fn leads(&self, now: Timestamp) -> bool {
        let until = self.lease.until;
        until.is_some_and(|until| until.since_ms(now) > MARGIN_MS)
    }

    /// When the lease is to be renewed or asked for.
    pub(super) const fn lease_due(&self) -> Timestamp {
        self.lease.next
    }

    /// Renews the lease, or asks for it, if it is time; then sets the gauges. Without the lease,
    /// jobs end: another process goes on with their orders.
    pub(super) async fn keep_lease(&mut self, now: Timestamp) {
        // A clock that was set back does not put it off.
        if self.lease.next > now && self.lease.next.since_ms(now) <= RENEW_MS {
            return;
        }
        let led = self.leads(now);
        let asked = tokio::time::timeout(STORE_TIMEOUT, self.ask_for_lease(led, now));
        let asked = asked
            .await
            .unwrap_or_else(|_| Err(Fault::new("hold a lease: in time")));
        let wait_ms = match asked {
            Ok(Some(held)) => {
                self.lease.until = Some(held.until);
                if !led {
                    tracing::info!("certificates are ordered by this process");
                }
                RENEW_MS
            }
            Ok(None) => {
                self.lease.until = None;
                if led {
                    tracing::warn!("certificates are ordered by another process");
                }
                ASK_MS
            }
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::warn!(error, "the lease to order certificates is not renewed");
                RETRY_MS
            }
        };
        self.lease.next = now.plus_ms(wait_ms);
        if !self.leads(now) {
            self.jobs.abort_all();
        }
        self.set_gauges(now);
    }

    /// The lease; what another process has stored about the issuers is read with a new one.
    async fn ask_for_lease(
        &mut self,
        led: bool,
        now: Timestamp,
    ) -> Result<Option<HeldLease>, Fault> {
        let catalog = self.driver.catalog.clone();
        let until = now.plus_ms(LEASE_MS);
        let held = catalog.hold_lease(&self.driver.holder, until, now).await?;
        if held.is_some_and(|held| held.is_new || !led) {
            for (position, issuer) in self.driver.issuers.iter().enumerate() {
                let health = catalog.issuer_health(issuer.name()).await?.health;
                let usage = catalog.issuer_usage(issuer.name()).await?;
                self.scheduler.restore_issuer(position, health, usage);
            }
        }
        Ok(held)
    }
}
