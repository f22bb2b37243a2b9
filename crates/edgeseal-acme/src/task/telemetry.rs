//! The metrics of orders. Labels are the names of the configured issuers, and fixed words.

use std::collections::BTreeMap;

use edgeseal_core::{Timestamp, managed_certificate::ManagedCertificate};
use metrics::{counter, gauge};

use super::{GAUGES_MS, OrderTask};
use crate::error::OrderError;

/// Why an order waits that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    /// For a limit of an issuer, for the pace of renewals, or for orders before it.
    Limit,
    /// Because it failed.
    Backoff,
    /// No issuer takes orders.
    IssuerPaused,
}

impl Waiting {
    const ALL: [Self; 3] = [Self::Limit, Self::Backoff, Self::IssuerPaused];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Backoff => "backoff",
            Self::IssuerPaused => "issuer_paused",
        }
    }
}

/// Counts an attempt to order, unless it goes on later.
pub(crate) fn order_ended(issuer: Option<&str>, ended: &Result<(), OrderError>) {
    let outcome = match ended {
        Ok(()) => "issued",
        Err(OrderError::Refused { .. }) => "refused",
        Err(OrderError::Paused { limited: true, .. }) => "limited",
        Err(OrderError::Paused { .. }) => "unreachable",
        Err(OrderError::NotReady(_)) => "not_ready",
        Err(OrderError::OverQuota(_) | OrderError::Locked(_)) => "not_bound",
        Err(OrderError::Unable(_)) => "unable",
        Err(OrderError::Stopped) => "stopped",
        Err(OrderError::Undecided { .. } | OrderError::Interrupted | OrderError::Store(_)) => {
            return;
        }
    };
    let issuer = issuer.unwrap_or("none").to_owned();
    counter!("edgeseal_acme_orders_total", "issuer" => issuer, "outcome" => outcome).increment(1);
}

impl OrderTask {
    /// Sets the gauges; those of a process that does not order are 0.
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are f64; exact below 2^53"
    )]
    pub(super) fn set_gauges(&mut self, now: Timestamp) {
        self.gauges_due = now.plus_ms(GAUGES_MS);
        let (mut in_progress, mut late) = (0_u64, 0_u64);
        let mut waiting: BTreeMap<Waiting, (u64, i64)> = BTreeMap::new();
        let all = self.domains.values().flat_map(BTreeMap::values);
        for managed in all.filter(|_| self.leads()) {
            late += u64::from(is_late(managed, now));
            if !managed.orders.is_empty() {
                in_progress += 1;
            } else if let Some(since) = self.due(managed).filter(|due| *due <= now) {
                let (count, oldest_ms) = waiting.entry(self.waits_for(managed, now)).or_default();
                *count += 1;
                *oldest_ms = now.since_ms(since).max(*oldest_ms);
            }
        }
        gauge!("edgeseal_acme_orders_in_progress").set(in_progress as f64);
        gauge!("edgeseal_acme_renewals_late").set(late as f64);
        for reason in Waiting::ALL {
            let (count, oldest_ms) = waiting.get(&reason).copied().unwrap_or_default();
            let label = reason.as_str();
            gauge!("edgeseal_acme_orders_waiting", "reason" => label).set(count as f64);
            gauge!("edgeseal_acme_oldest_waiting_seconds", "reason" => label)
                .set((oldest_ms / 1000) as f64);
        }
        for (issuer, known) in self.driver.issuers.iter().zip(self.scheduler.issuers()) {
            let name = issuer.name().to_owned();
            let is_paused = known.health.pause(now).is_some();
            gauge!("edgeseal_acme_issuer_paused", "issuer" => name.clone())
                .set(f64::from(u8::from(is_paused)));
            if let Some(left) = known.usage.orders_left(&known.limits, now) {
                gauge!("edgeseal_acme_orders_left", "issuer" => name).set(f64::from(left));
            }
        }
    }

    /// When the next order of a domain was or will be due.
    fn due(&self, managed: &ManagedCertificate) -> Option<Timestamp> {
        let Some(issued) = &managed.issued else {
            return Some(managed.requested.at);
        };
        let reissue = self.reissue.as_ref();
        let reissue = reissue.filter(|it| it.stopped_at.is_none() && it.concerns(issued));
        let reissued = reissue.map(|reissue| reissue.requested_at);
        reissued.into_iter().chain([issued.renew_at]).min()
    }

    fn waits_for(&self, managed: &ManagedCertificate, now: Timestamp) -> Waiting {
        let mut issuers = self.scheduler.issuers().iter();
        if managed.backoff.next_attempt > now {
            Waiting::Backoff
        } else if issuers.all(|issuer| issuer.health.pause(now).is_some()) {
            Waiting::IssuerPaused
        } else {
            Waiting::Limit
        }
    }
}

/// Whether half of the time has passed between the renewal's due date and the expiry.
fn is_late(managed: &ManagedCertificate, now: Timestamp) -> bool {
    managed.issued.as_ref().is_some_and(|issued| {
        let slack_ms = issued.not_after.since_ms(issued.renew_at);
        issued.renew_at.plus_ms(slack_ms / 2) <= now
    })
}
