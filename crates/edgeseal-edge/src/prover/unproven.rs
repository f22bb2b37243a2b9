//! Domains for which a handshake did not show the expected state: logged once, retried, and logged
//! again when they recover.

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::{DomainPattern, Timestamp};
use edgeseal_store::{Revision, record};
use tokio::time::Instant;

use super::queue::{PendingProof, SAMPLE};
use crate::telemetry;

/// Interval between two attempts.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(10);
/// Maximum number of entries: some 300 kB. When all domains fail, more names add no information.
const KEPT_MAX: usize = 1024;

/// What failed, by domain.
#[derive(Debug, Default)]
pub(super) struct UnprovenDomains {
    domains: BTreeMap<DomainPattern, Failed>,
}

#[derive(Debug)]
struct Failed {
    reason: String,
    revision: Revision,
    since: Timestamp,
    retry: Instant,
}

impl UnprovenDomains {
    /// Records that a domain is not proven. Logs it unless it failed in the same way before.
    pub(super) fn put(
        &mut self,
        domain: &DomainPattern,
        reason: String,
        revision: Revision,
        now: Timestamp,
    ) {
        let retry = Instant::now() + RETRY_EVERY;
        if let Some(failed) = self.domains.get_mut(domain)
            && failed.revision == revision
            && failed.reason == reason
        {
            failed.retry = retry;
            return;
        }
        tracing::error!(
            domain.name = %domain,
            store.revision = revision.0,
            reason,
            "the state of the domain could not be proven; it is reported as unproven and retried"
        );
        if self.domains.len() < KEPT_MAX || self.domains.contains_key(domain) {
            let before = self.domains.get(domain);
            let failed = Failed {
                reason,
                revision,
                since: before.map_or(now, |before| before.since),
                retry,
            };
            self.domains.insert(domain.clone(), failed);
        }
        telemetry::unproven(self.domains.len());
    }

    /// Removes a domain whose expected state was seen.
    pub(super) fn recover(&mut self, domain: &DomainPattern) {
        if self.forget(domain) {
            tracing::info!(domain.name = %domain, "the state of the domain is proven again");
        }
    }

    /// Removes a domain that handshakes can no longer prove. Returns whether it was there.
    pub(super) fn forget(&mut self, domain: &DomainPattern) -> bool {
        let was_there = self.domains.remove(domain).is_some();
        if was_there {
            telemetry::unproven(self.domains.len());
        }
        was_there
    }

    /// When the next retry is due.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.domains.values().map(|failed| failed.retry).min()
    }

    /// Those whose retry is due, some at a time.
    pub(super) fn due(&self, now: Instant, attempts: u8) -> Vec<PendingProof> {
        let due = self.domains.iter().filter(|(_, it)| it.retry <= now);
        due.take(SAMPLE)
            .map(|(name, failed)| PendingProof::retried(name.clone(), failed.revision, attempts))
            .collect()
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.domains.len()
    }

    /// The first `limit` of them, as a report lists them.
    pub(super) fn some(&self, limit: usize) -> Vec<record::Unproven> {
        let some = self.domains.iter().take(limit);
        some.map(|(domain, failed)| record::Unproven {
            domain: domain.clone(),
            reason: failed.reason.clone(),
            revision: failed.revision.0,
            since: failed.since,
        })
        .collect()
    }
}
