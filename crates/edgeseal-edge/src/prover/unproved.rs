//! Domains of which a handshake did not show what it should: told once, tried again, told when they
//! are healed.

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::{DomainPattern, Timestamp};
use edgeseal_store::{Revision, record};
use tokio::time::Instant;

use super::queue::{PendingProof, SAMPLE};
use crate::telemetry;

/// Between two tries.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(10);
/// Kept at most: some 300 kB. When all fail, more names say nothing more.
const KEPT_MAX: usize = 1024;

/// What failed, by domain.
#[derive(Debug, Default)]
pub(super) struct UnprovedDomains {
    domains: BTreeMap<DomainPattern, Failed>,
}

#[derive(Debug)]
struct Failed {
    reason: String,
    revision: Revision,
    since: Timestamp,
    retry: Instant,
}

impl UnprovedDomains {
    /// Notes that a domain is not proved. Logs it unless it failed in the same way before.
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
            "what is served for the domain could not be proved; it is reported so and tried again"
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
        telemetry::unproved(self.domains.len());
    }

    /// Forgets a domain that was seen as it should be.
    pub(super) fn recover(&mut self, domain: &DomainPattern) {
        if self.forget(domain) {
            tracing::info!(domain.name = %domain, "what is served for the domain is proved again");
        }
    }

    /// Forgets a domain of which nothing can be said any more. Says whether it was there.
    pub(super) fn forget(&mut self, domain: &DomainPattern) -> bool {
        let was_there = self.domains.remove(domain).is_some();
        if was_there {
            telemetry::unproved(self.domains.len());
        }
        was_there
    }

    /// When the next one is to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.domains.values().map(|failed| failed.retry).min()
    }

    /// Those that are to be tried again, some at a time.
    pub(super) fn due(&self, now: Instant, attempts: u8) -> Vec<PendingProof> {
        let due = self.domains.iter().filter(|(_, it)| it.retry <= now);
        due.take(SAMPLE)
            .map(|(name, failed)| PendingProof::retried(name.clone(), failed.revision, attempts))
            .collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.domains.len()
    }

    /// The first `limit` of them, as a report names them.
    pub(super) fn some(&self, limit: usize) -> Vec<record::Unproved> {
        let some = self.domains.iter().take(limit);
        some.map(|(domain, failed)| record::Unproved {
            domain: domain.clone(),
            reason: failed.reason.clone(),
            revision: failed.revision.0,
            since: failed.since,
        })
        .collect()
    }
}
