//! The certificates that are served and end first, without a copy of all.
//!
//! A pass over the summaries of all domains runs inside the store and keeps only the most urgent
//! ones. Passes are paced: one may take half a percent of the time, so a million domains are read
//! every few minutes, and a thousand in every evaluation. Between two passes, what is due is read
//! again, so that a renewal ends its alarm soon.

use std::{
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    alarm::{Rung, ServedCertificate, Severity, rung, rung_start},
    domain::{DomainState, Environment},
};
use edgeseal_store::{
    Catalog, Fault, Key,
    record::{BindingSummary, DomainSummary, decode_summary},
};

use super::pace::Pace;

/// Most certificates that are kept, those first whose ladder begins first: 2 MB. More than this
/// many that are due at once are counted, and have no alarm of their own.
const KEPT_MAX: usize = 10_000;
/// Most certificates that are read again between two passes.
const READ_AGAIN_MAX: usize = 1000;
/// The limits of the distribution, in days left.
pub(super) const WITHIN_DAYS: [(i64, &str); 9] = [
    (0, "0"),
    (1, "1"),
    (3, "3"),
    (7, "7"),
    (14, "14"),
    (30, "30"),
    (60, "60"),
    (90, "90"),
    (i64::MAX, "+Inf"),
];
const DAY_MS: i64 = 86_400_000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct ServedCertificates {
    /// In order of the beginning of their ladders.
    kept: Vec<ServedCertificate>,
    /// Certificates that were due in the last pass and are not kept.
    uncounted: usize,
    /// How many production certificates end within [`WITHIN_DAYS`], in the last pass.
    within: [u64; WITHIN_DAYS.len()],
    pace: Pace,
}

/// What is known about expiry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExpiryCounts {
    /// Certificates that have ended.
    pub(super) expired: usize,
    /// Others that are a warning, or more.
    pub(super) expiring: usize,
}

/// A certificate in a pass.
struct Candidate {
    start: Timestamp,
    account: String,
    domain: String,
    environment: Environment,
    binding: BindingSummary,
}

/// What a pass finds.
#[derive(Default)]
struct Found {
    /// The one whose ladder begins last on top.
    nearest: BinaryHeap<Candidate>,
    due: usize,
    within: [u64; WITHIN_DAYS.len()],
}

impl ServedCertificates {
    /// Reads what has changed: everything if the last pass is long enough ago, else what is due.
    /// Passes are at least `interval` apart.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        interval: Duration,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if !self.pace.is_due() {
            return self.read_due_again(catalog, now).await;
        }
        let began = Instant::now();
        let found = catalog.fold_all_domains(move |found: &mut Found, names, summary| {
            found.add(names, summary, now);
        });
        let found = found.await?;
        let took = began.elapsed();
        self.pace.passed(took, interval);
        self.within = found.within;
        let kept = found.nearest.into_sorted_vec();
        let kept = kept.into_iter().filter_map(Candidate::into_certificate);
        self.kept = kept.collect();
        self.uncounted = found.due - self.due(now).count();
        tracing::debug!(
            took_ms = took.as_millis(),
            due = found.due,
            "read which certificates expire"
        );
        Ok(())
    }

    async fn read_due_again(&mut self, catalog: &Catalog, now: Timestamp) -> Result<(), Fault> {
        let due = self.due(now).count().min(READ_AGAIN_MAX);
        let keys = self.kept[..due].iter();
        let keys: Vec<Key> = keys
            .map(|it| Key::account_domain(&it.account, &it.domain))
            .collect();
        let entries = catalog.store().get_many(&keys).await?;
        let mut known = self.kept.drain(..due).collect::<Vec<_>>();
        let mut entries = entries.into_iter();
        known.retain_mut(|certificate| {
            let entry = entries.next().flatten();
            let summary = entry.as_ref().map(|entry| decode_summary(&entry.value));
            match summary {
                // One that cannot be decoded is left as it was.
                Some(Err(_)) => true,
                Some(Ok(summary)) => update(certificate, &summary),
                None => false,
            }
        });
        self.kept.splice(..0, known);
        self.kept.sort_by_key(start_of);
        Ok(())
    }

    /// Those that have reached a rung.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = &ServedCertificate> {
        self.kept.iter().take_while(move |it| start_of(it) <= now)
    }

    /// Counts what is due.
    pub(super) fn counts(&self, now: Timestamp) -> ExpiryCounts {
        let mut counts = ExpiryCounts {
            expired: 0,
            expiring: self.uncounted,
        };
        for certificate in self.due(now) {
            match rung(certificate.not_after, certificate.life_ms, now) {
                Some(Rung::Expired) => counts.expired += 1,
                Some(rung) if rung.severity() >= Severity::Warning => counts.expiring += 1,
                _ => {}
            }
        }
        counts
    }

    /// At most `limit` production certificates, those first that end first.
    pub(super) fn nearest(&self, limit: usize) -> Vec<(String, Timestamp)> {
        let served = self.kept.iter();
        let served = served.filter(|it| it.environment == Environment::Production);
        let mut nearest: Vec<_> = served.map(|it| (it.not_after, &it.domain)).collect();
        nearest.sort_unstable();
        nearest.truncate(limit);
        let nearest = nearest.into_iter();
        nearest
            .map(|(end, domain)| (domain.to_string(), end))
            .collect()
    }

    /// The distribution of the last pass.
    pub(super) const fn within(&self) -> [u64; WITHIN_DAYS.len()] {
        self.within
    }
}

fn start_of(certificate: &ServedCertificate) -> Timestamp {
    rung_start(certificate.not_after, certificate.life_ms)
}

impl Found {
    fn add(
        &mut self,
        (account, domain): (&str, &str),
        summary: &DomainSummary<'_>,
        now: Timestamp,
    ) {
        if summary.state != DomainState::Online {
            return;
        }
        let bindings = [
            (Environment::Production, summary.served),
            (Environment::Staging, summary.staged),
        ];
        for (environment, binding) in bindings {
            let Some(binding) = binding else { continue };
            let start = rung_start(binding.expires, binding.life_ms);
            self.due += usize::from(start <= now);
            if environment == Environment::Production {
                let remaining = binding.expires.since_ms(now);
                for (count, (days, _)) in self.within.iter_mut().zip(WITHIN_DAYS) {
                    *count += u64::from(remaining <= days.saturating_mul(DAY_MS));
                }
            }
            if self.nearest.len() >= KEPT_MAX {
                if self.nearest.peek().is_some_and(|last| last.start <= start) {
                    continue;
                }
                self.nearest.pop();
            }
            self.nearest.push(Candidate {
                start,
                account: account.to_owned(),
                domain: domain.to_owned(),
                environment,
                binding,
            });
        }
    }
}

impl Candidate {
    fn into_certificate(self) -> Option<ServedCertificate> {
        Some(ServedCertificate {
            domain: DomainPattern::parse(&self.domain).ok()?,
            account: AccountId::parse(&self.account).ok()?,
            environment: self.environment,
            not_after: self.binding.expires,
            leaf_not_after: self.binding.leaf_expires,
            life_ms: self.binding.life_ms,
        })
    }
}

/// Takes what a domain serves now; returns whether it serves anything.
fn update(certificate: &mut ServedCertificate, summary: &DomainSummary<'_>) -> bool {
    let binding = match certificate.environment {
        Environment::Production => summary.served,
        Environment::Staging => summary.staged,
    };
    let Some(binding) = binding.filter(|_| summary.state == DomainState::Online) else {
        return false;
    };
    certificate.not_after = binding.expires;
    certificate.leaf_not_after = binding.leaf_expires;
    certificate.life_ms = binding.life_ms;
    true
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.start.cmp(&other.start)
    }
}

#[cfg(test)]
mod tests;
