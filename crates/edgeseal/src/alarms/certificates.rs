//! The certificates that are served and end first, without a copy of all.
//!
//! A pass over the summaries of all domains runs inside the store and keeps only the most urgent
//! ones. Passes are paced: one may take half a percent of the time, so a million domains are read
//! every few minutes, and a thousand in every evaluation. Between two passes, what is due is read
//! again in turn, so that a renewal ends its alarm soon.

use std::{
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    alarm::{Alarm, AlarmId, Code, Rung, ServedCertificate, Severity, rung, rung_start},
    domain::{DomainState, Environment},
};
use edgeseal_store::{
    Catalog, Fault, Key,
    record::{BindingSummary, DomainSummary, decode_summary},
};

use super::{fair_share::FairShare, others_with_alarm, pace::Pace};

/// Most certificates that are due and kept, besides those that have an alarm: 2 MB. The others are
/// counted, and have no alarm of their own.
const DUE_MAX: usize = 10_000;
/// Most certificates that are kept because they become due next, perhaps before the next pass.
const UPCOMING_MAX: usize = 10_000;
/// Most certificates that are read again in an evaluation between two passes.
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
    /// How many were due in the last pass and are not kept.
    left_out: u64,
    /// Where reading again goes on.
    read_again_from: usize,
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
struct Found {
    due: FairShare<Timestamp, Candidate>,
    /// The one whose ladder begins last on top.
    upcoming: BinaryHeap<Candidate>,
    within: [u64; WITHIN_DAYS.len()],
}

impl Default for Found {
    fn default() -> Self {
        Self {
            due: FairShare::new(DUE_MAX),
            upcoming: BinaryHeap::new(),
            within: Default::default(),
        }
    }
}

impl ServedCertificates {
    /// Reads what has changed: everything if the last pass is long enough ago, else what is due.
    /// Passes are at least `interval` apart. What has an alarm is kept in any case.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        alarms: &BTreeMap<AlarmId, Alarm>,
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
        let left_out = found.due.left_out();
        let kept = found.due.into_values().chain(found.upcoming);
        let mut kept: Vec<_> = kept.filter_map(Candidate::into_certificate).collect();
        let mut adopted = 0;
        if left_out > 0 {
            let others = with_alarm(catalog, alarms, &kept).await?;
            let due = others.into_iter().filter(|it| start_of(it) <= now);
            let before = kept.len();
            kept.extend(due);
            adopted = kept.len() - before;
        }
        kept.sort_by_key(start_of);
        self.kept = kept;
        self.left_out = left_out.saturating_sub(adopted as u64);
        self.within = found.within;
        let took = began.elapsed();
        self.pace.passed(took, interval);
        tracing::debug!(
            took_ms = took.as_millis(),
            left_out,
            "read which certificates expire"
        );
        Ok(())
    }

    async fn read_due_again(&mut self, catalog: &Catalog, now: Timestamp) -> Result<(), Fault> {
        let due = self.due(now).count();
        let from = if self.read_again_from < due {
            self.read_again_from
        } else {
            0
        };
        let to = due.min(from + READ_AGAIN_MAX);
        let keys = self.kept[from..to].iter();
        let keys: Vec<Key> = keys
            .map(|it| Key::account_domain(&it.account, &it.domain))
            .collect();
        let entries = catalog.store().get_many(&keys).await?;
        let mut known = self.kept.drain(from..to).collect::<Vec<_>>();
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
        // What has been renewed moves to its place further back.
        let still_due = known.iter().filter(|it| start_of(it) <= now).count();
        self.read_again_from = from + still_due;
        self.kept.extend(known);
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
            expiring: usize::try_from(self.left_out).unwrap_or(usize::MAX),
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

    /// How many are due and not among them.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
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
            if environment == Environment::Production {
                let remaining = binding.expires.since_ms(now);
                for (count, (days, _)) in self.within.iter_mut().zip(WITHIN_DAYS) {
                    *count += u64::from(remaining <= days.saturating_mul(DAY_MS));
                }
            }
            let candidate = || Candidate {
                start,
                account: account.to_owned(),
                domain: domain.to_owned(),
                environment,
                binding,
            };
            if start <= now {
                self.due.add(account, start, candidate());
                continue;
            }
            if self.upcoming.len() >= UPCOMING_MAX {
                if self.upcoming.peek().is_some_and(|last| last.start <= start) {
                    continue;
                }
                self.upcoming.pop();
            }
            self.upcoming.push(candidate());
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

/// The certificates that have an alarm and are not among `kept`, as they are now: an alarm ends with
/// its condition, not because others are more urgent.
async fn with_alarm(
    catalog: &Catalog,
    alarms: &BTreeMap<AlarmId, Alarm>,
    kept: &[ServedCertificate],
) -> Result<Vec<ServedCertificate>, Fault> {
    let kept = kept.iter().map(|it| (&it.domain, it.environment));
    let known = others_with_alarm(alarms, Code::CertificateExpiring, kept);
    let mut found = Vec::new();
    for known in known.chunks(READ_AGAIN_MAX) {
        let keys = known.iter();
        let keys: Vec<Key> = keys
            .map(|(domain, account, _)| Key::account_domain(account, domain))
            .collect();
        let entries = catalog.store().get_many(&keys).await?;
        for ((domain, account, environment), entry) in known.iter().zip(entries) {
            let summary = entry.as_ref().map(|entry| decode_summary(&entry.value));
            let Some(Ok(summary)) = summary else { continue };
            let binding = served_in(&summary, *environment);
            found.extend(binding.map(|binding| ServedCertificate {
                domain: domain.clone(),
                account: account.clone(),
                environment: *environment,
                not_after: binding.expires,
                leaf_not_after: binding.leaf_expires,
                life_ms: binding.life_ms,
            }));
        }
    }
    Ok(found)
}

fn served_in(summary: &DomainSummary<'_>, environment: Environment) -> Option<BindingSummary> {
    let binding = match environment {
        Environment::Production => summary.served,
        Environment::Staging => summary.staged,
    };
    binding.filter(|_| summary.state == DomainState::Online)
}

/// Takes what a domain serves now; returns whether it serves anything.
fn update(certificate: &mut ServedCertificate, summary: &DomainSummary<'_>) -> bool {
    let Some(binding) = served_in(summary, certificate.environment) else {
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
