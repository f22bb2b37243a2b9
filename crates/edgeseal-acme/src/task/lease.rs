//! Of several processes on one store, one orders: the one that has the lease.

use std::time::Duration;

use edgeseal_core::Timestamp;
use edgeseal_store::{
    Fault, SharedStore,
    lease::{Lease, LeaseName, Term},
};
use tokio::{sync::watch, time::timeout};

use super::OrderTask;

/// How long the lease lasts without being renewed: so long no orders are made after a crash of the
/// process that made them, unless it starts again.
const TTL: Duration = Duration::from_secs(120);
/// How soon the state of the issuers is read again after a failure of the store.
const RETRY_MS: i64 = 1_000;
/// How long the store may take for that.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// The lease, and the term in which this process orders.
pub(super) struct OrderLease {
    lease: Lease,
    /// Jobs go on in one term only: none is adopted before those of the last one have ended.
    adopted: watch::Sender<Option<Term>>,
    /// When to adopt a term after a failure.
    retry: Option<Timestamp>,
}

impl OrderLease {
    pub(super) fn start(store: SharedStore, owner: String) -> Self {
        Self {
            lease: Lease::start(store, LeaseName::Orders, owner, TTL),
            adopted: watch::Sender::new(None),
            retry: None,
        }
    }

    /// The term in which jobs work.
    pub(super) fn adopted(&self) -> watch::Receiver<Option<Term>> {
        self.adopted.subscribe()
    }

    pub(super) fn is_held(&self) -> watch::Receiver<bool> {
        self.lease.is_held()
    }

    /// Waits until the lease was taken or lost. Cancel safe.
    pub(super) async fn changed(&mut self) {
        self.lease.changed().await;
    }

    pub(super) async fn release(self) {
        self.adopted.send_replace(None);
        self.lease.release().await;
    }
}

impl OrderTask {
    /// Whether this process orders.
    pub(super) fn leads(&self) -> bool {
        let adopted = *self.lease.adopted.borrow();
        adopted.is_some() && adopted == self.lease.lease.term()
    }

    /// When a term is to be adopted after a failure.
    pub(super) fn lease_due(&self) -> Option<Timestamp> {
        let has_lease = self.lease.lease.term().is_some();
        self.lease.retry.filter(|_| has_lease)
    }

    /// Ends the jobs of a term that is over: another process goes on with their orders. Then begins the
    /// next one, if this process has the lease.
    pub(super) async fn follow_lease(&mut self, now: Timestamp) {
        let (adopted, current) = (*self.lease.adopted.borrow(), self.lease.lease.term());
        if adopted == current {
            return;
        }
        if adopted.is_some() {
            tracing::warn!("the lease to order certificates was lost");
            self.lease.adopted.send_replace(None);
            self.jobs.abort_all();
            self.set_gauges(now);
        }
        let is_due = self.lease.retry.is_none_or(|at| at <= now);
        let Some(term) = current.filter(|_| self.jobs.is_empty() && is_due) else {
            return;
        };
        let read = timeout(STORE_TIMEOUT, self.read_issuers()).await;
        match read.unwrap_or_else(|_| Err(Fault::new("read the issuers: in time"))) {
            Ok(()) => {
                tracing::info!("certificates are ordered by this process");
                self.lease.retry = None;
                self.lease.adopted.send_replace(Some(term));
                self.set_gauges(now);
            }
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::warn!(error, "the state of the issuers cannot be read");
                self.lease.retry = Some(now.plus_ms(RETRY_MS));
            }
        }
    }

    /// Reads what other processes have stored about the issuers.
    async fn read_issuers(&mut self) -> Result<(), Fault> {
        let catalog = &self.driver.catalog;
        for (position, issuer) in self.driver.issuers.iter().enumerate() {
            let health = catalog.issuer_health(issuer.name()).await?.health;
            let usage = catalog.issuer_usage(issuer.name()).await?;
            self.scheduler.restore_issuer(position, health, usage);
        }
        Ok(())
    }
}
