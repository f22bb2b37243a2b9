//! Replacements of uploaded certificates that are due by the domain's own history and have not
//! come.
//!
//! The history of each domain is read, a part of all domains in each evaluation: of a million
//! domains, each is looked at a few times a day.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use edgeseal_core::{
    DomainPattern, Timestamp,
    acme::cadence::{Cadence, Replacement, Timing},
    alarm::MissedRenewal,
    certificate::CertificateId,
    domain::{Domain, DomainState, Environment},
};
use edgeseal_store::{
    Catalog, Fault, Key,
    key::{DOMAIN_SUMMARIES, domain_history},
    record::{BindingSummary, DomainSummary, HistoryRecord, decode, decode_summary},
};

use super::pace::Pace;

/// Domains read at once.
const PAGE: usize = 200;
/// Latest changes of a domain that are read: more than enough for the intervals of a cadence.
const CHANGES_MAX: usize = 50;
/// Most missed renewals with an alarm of their own.
const MISSED_MAX: usize = 1000;
/// A certificate that has lived for less than this share of its life is not late. Nobody replaces
/// them more often.
const YOUNG_SHARE: i64 = 10;
const DAY_MS: i64 = 86_400_000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct MissedRenewals {
    missed: BTreeMap<DomainPattern, MissedRenewal>,
    /// Where the current pass is.
    after: Option<Key>,
    spent: Duration,
    pace: Pace,
}

impl MissedRenewals {
    /// Looks at the domains whose renewal was missed again, and continues the pass over all.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        interval: Duration,
        now: Timestamp,
    ) -> Result<(), Fault> {
        for name in self.missed.keys().cloned().collect::<Vec<_>>() {
            if missed_renewal(catalog, &name, now).await?.is_none() {
                self.missed.remove(&name);
            }
        }
        if !self.pace.is_due() {
            return Ok(());
        }
        let (began, budget) = (Instant::now(), Pace::budget(interval));
        loop {
            let page = catalog
                .store()
                .list(DOMAIN_SUMMARIES, self.after.as_ref(), PAGE);
            let page = page.await?;
            for entry in &page.entries {
                let Ok(summary) = decode_summary::<DomainSummary<'_>>(&entry.value) else {
                    continue;
                };
                let name = entry.key.as_str().rsplit('/').next().unwrap_or_default();
                let (Ok(name), true) = (DomainPattern::parse(name), may_be_late(&summary, now))
                else {
                    continue;
                };
                let found = missed_renewal(catalog, &name, now).await?;
                if let Some(found) = found.filter(|_| self.missed.len() < MISSED_MAX) {
                    self.missed.insert(name, found);
                }
            }
            self.after = page.entries.last().map(|entry| entry.key.clone());
            if !page.has_more {
                self.after = None;
                self.pace.passed(self.spent + began.elapsed(), interval);
                self.spent = Duration::ZERO;
                return Ok(());
            }
            if began.elapsed() >= budget {
                self.spent += began.elapsed();
                return Ok(());
            }
        }
    }

    /// The missed renewals.
    pub(super) fn missed(&self) -> Vec<MissedRenewal> {
        self.missed.values().cloned().collect()
    }
}

fn may_be_late(summary: &DomainSummary<'_>, now: Timestamp) -> bool {
    let is_old = |served: &BindingSummary| {
        let issued = served.leaf_expires.plus_ms(-served.life_ms);
        now.since_ms(issued) > served.life_ms / YOUNG_SHARE
    };
    summary.state == DomainState::Online && summary.served.as_ref().is_some_and(is_old)
}

/// The missed renewal of a domain, if its certificate is uploaded at regular intervals.
async fn missed_renewal(
    catalog: &Catalog,
    name: &DomainPattern,
    now: Timestamp,
) -> Result<Option<MissedRenewal>, Fault> {
    let Some(domain) = catalog.domain(name).await? else {
        return Ok(None);
    };
    if domain.is_managed(Environment::Production) || !is_served(&domain) {
        return Ok(None);
    }
    let replacements = replacements(catalog, name).await?;
    let Some(cadence) = Cadence::of(&replacements) else {
        return Ok(None);
    };
    let Timing::Late { since } = cadence.timing(now) else {
        return Ok(None);
    };
    let days = (cadence.interval_ms + DAY_MS / 2) / DAY_MS;
    let every = if days < 2 {
        "day".to_owned()
    } else {
        format!("{days} days")
    };
    let text = format!(
        "{name}: its certificate was replaced every {every}, and the replacement due at {since} has not come"
    );
    Ok(Some(MissedRenewal {
        domain: domain.name,
        account: domain.account,
        text,
    }))
}

fn is_served(domain: &Domain) -> bool {
    let binding = domain.production.as_ref();
    domain.state == DomainState::Online && binding.is_some_and(|binding| binding.enabled)
}

/// The latest replacements of the production certificate.
async fn replacements(catalog: &Catalog, name: &DomainPattern) -> Result<Vec<Replacement>, Fault> {
    let history = domain_history(name);
    let page = catalog
        .store()
        .list_reverse(&history, None, CHANGES_MAX)
        .await?;
    let changes = page.entries.iter();
    // A change that cannot be decoded was no replacement that could be judged.
    let changes = changes.filter_map(|entry| decode::<HistoryRecord>(&entry.value).ok());
    let changes = changes.filter_map(|change| {
        let is_production = change.environment == Some(Environment::Production);
        let is_new = change.after.is_some() && change.after != change.before;
        Some((change.at, change.certificate?)).filter(|_| is_production && is_new)
    });
    let changes: Vec<(Timestamp, CertificateId)> = changes.collect();
    let mut ids: Vec<CertificateId> = changes.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = catalog.certificates_by_id(&ids).await?;
    let known: BTreeMap<CertificateId, _> = known
        .into_iter()
        .map(|it| (it.id, it.info.not_after))
        .collect();
    // Superseded uploads are removed: then the life of the oldest that is known is assumed.
    let life = changes.iter().rev();
    let mut lives = life.filter_map(|(at, id)| Some(known.get(id)?.since_ms(*at)));
    let Some(life) = lives.next() else {
        return Ok(Vec::new());
    };
    let replaced = changes.into_iter().map(|(at, id)| Replacement {
        at,
        not_after: known.get(&id).copied().unwrap_or_else(|| at.plus_ms(life)),
    });
    Ok(replaced.collect())
}

#[cfg(test)]
pub(super) mod tests;
