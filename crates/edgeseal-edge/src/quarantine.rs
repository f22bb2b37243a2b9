//! Records that cannot be used: which, why, each logged once.

use std::collections::BTreeMap;

use edgeseal_core::DomainPattern;
use edgeseal_store::record::Quarantined;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::telemetry;

/// The domains whose newest record cannot be used, with the reasons. They are served from their
/// last good state, if they had one.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    domains: Mutex<BTreeMap<DomainPattern, String>>,
    changed: Notify,
}

impl Quarantine {
    /// Adds a domain. Logs it unless it is quarantined for the same reason already.
    pub(crate) fn put(&self, domain: &DomainPattern, reason: &str) {
        let mut domains = self.domains.lock();
        let before = domains.insert(domain.clone(), reason.to_owned());
        telemetry::quarantined(domains.len());
        drop(domains);
        if before.as_deref() != Some(reason) {
            tracing::error!(
                domain.name = %domain,
                reason,
                "a record cannot be used: the domain is quarantined and keeps its last good state"
            );
            self.changed.notify_one();
        }
    }

    /// Removes a domain, if it is quarantined.
    pub(crate) fn release(&self, domain: &DomainPattern) {
        let mut domains = self.domains.lock();
        let was_in = domains.remove(domain).is_some();
        if was_in {
            telemetry::quarantined(domains.len());
        }
        drop(domains);
        if was_in {
            tracing::info!(domain.name = %domain, "the domain left quarantine");
            self.changed.notify_one();
        }
    }

    /// The number of quarantined domains.
    pub(crate) fn len(&self) -> usize {
        self.domains.lock().len()
    }

    /// At most `limit` of them, ordered by name, starting after `after`.
    pub(crate) fn some(&self, after: Option<&DomainPattern>, limit: usize) -> Vec<Quarantined> {
        use std::ops::Bound;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.domains
            .lock()
            .range::<DomainPattern, _>((start, Bound::Unbounded))
            .take(limit)
            .map(|(domain, reason)| Quarantined {
                domain: domain.clone(),
                reason: reason.clone(),
            })
            .collect()
    }

    /// Removes all domains for which `keep` is false, and returns their names.
    pub(crate) fn retain(&self, keep: impl Fn(&DomainPattern) -> bool) -> Vec<DomainPattern> {
        let gone: Vec<DomainPattern> = self
            .domains
            .lock()
            .keys()
            .filter(|domain| !keep(domain))
            .cloned()
            .collect();
        for domain in &gone {
            self.release(domain);
        }
        gone
    }

    /// Waits for a change since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
