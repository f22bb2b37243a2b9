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
    AccountId, DomainPattern, Timestamp,
    acme::cadence::{Cadence, Replacement, Timing},
    alarm::{Alarm, AlarmId, Code, MissedRenewal},
    certificate::CertificateId,
    domain::{Domain, DomainState, Environment},
};
use edgeseal_store::{
    Catalog, Fault, Key,
    key::DOMAIN_SUMMARIES,
    record::{BindingSummary, CertificateRecord, DomainSummary, decode, decode_summary},
};

use super::{others_with_alarm, pace::Pace};

/// Domains read at once.
const PAGE: usize = 200;
/// Most missed renewals with an alarm of their own. Beyond that, each account may have its share.
const MISSED_MAX: usize = 1000;
/// Most missed renewals that are looked at again in an evaluation.
const LOOK_AGAIN_MAX: usize = 200;
/// A certificate that has lived for less than this share of its life is not late. Nobody replaces
/// them more often.
const YOUNG_SHARE: i64 = 10;
const DAY_MS: i64 = 86_400_000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct MissedRenewals {
    missed: BTreeMap<DomainPattern, MissedRenewal>,
    /// The last one that was looked at again.
    looked_at: Option<DomainPattern>,
    /// How many were found in this pass that have no place, and in the last complete one.
    leaving_out: u64,
    left_out: Option<u64>,
    /// Where the current pass is.
    after: Option<Key>,
    spent: Duration,
    pace: Pace,
}

impl MissedRenewals {
    /// Looks at the domains whose renewal was missed again, in turn, and continues the pass over
    /// all. What has an alarm was found before, perhaps by an earlier process.
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
        self.adopt(alarms);
        self.look_again(catalog, now).await?;
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
                if let Judged::Late(found) = judge(catalog, &name, now).await? {
                    if self.missed.contains_key(&name) || self.has_room(&found.account) {
                        self.missed.insert(name, found);
                    } else {
                        self.leaving_out += 1;
                    }
                }
            }
            self.after = page.entries.last().map(|entry| entry.key.clone());
            if !page.has_more {
                self.after = None;
                self.left_out = Some(std::mem::take(&mut self.leaving_out));
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

    /// How many are not among them; `None` before the first complete pass.
    pub(super) const fn left_out(&self) -> Option<u64> {
        self.left_out
    }

    fn adopt(&mut self, alarms: &BTreeMap<AlarmId, Alarm>) {
        let known = self
            .missed
            .keys()
            .map(|name| (name, Environment::Production));
        let others = others_with_alarm(alarms, Code::RenewalMissed, known);
        for (domain, account, _) in others {
            let id = AlarmId::new(Code::RenewalMissed, domain.to_string());
            let text = alarms.get(&id).map(|alarm| alarm.text.clone());
            let missed = MissedRenewal {
                domain: domain.clone(),
                account,
                text: text.unwrap_or_default(),
            };
            self.missed.insert(domain, missed);
        }
    }

    async fn look_again(&mut self, catalog: &Catalog, now: Timestamp) -> Result<(), Fault> {
        let looked_at = self.looked_at.take();
        let is_next = |name: &DomainPattern| looked_at.as_ref().is_none_or(|last| name > last);
        let names = self.missed.keys().filter(|name| is_next(name));
        let names: Vec<_> = names.take(LOOK_AGAIN_MAX).cloned().collect();
        // Of fewer than that, all were looked at: begin anew.
        self.looked_at = names
            .last()
            .filter(|_| names.len() == LOOK_AGAIN_MAX)
            .cloned();
        for name in names {
            match judge(catalog, &name, now).await? {
                Judged::Late(missed) => drop(self.missed.insert(name, missed)),
                Judged::NotLate => drop(self.missed.remove(&name)),
                Judged::Unreadable => {}
            }
        }
        Ok(())
    }

    fn has_room(&self, account: &AccountId) -> bool {
        if self.missed.len() < MISSED_MAX {
            return true;
        }
        let mut counts: BTreeMap<&AccountId, usize> = BTreeMap::from([(account, 0)]);
        for missed in self.missed.values() {
            *counts.entry(&missed.account).or_default() += 1;
        }
        counts[account] < MISSED_MAX / counts.len()
    }
}

/// What the history of a domain says.
enum Judged {
    Late(MissedRenewal),
    NotLate,
    /// Its record cannot be decoded.
    Unreadable,
}

fn may_be_late(summary: &DomainSummary<'_>, now: Timestamp) -> bool {
    let is_old = |served: &BindingSummary| {
        let issued = served.leaf_expires.plus_ms(-served.life_ms);
        now.since_ms(issued) > served.life_ms / YOUNG_SHARE
    };
    summary.state == DomainState::Online && summary.served.as_ref().is_some_and(is_old)
}

/// The missed renewal of a domain, if its certificate is uploaded at regular intervals.
async fn judge(catalog: &Catalog, name: &DomainPattern, now: Timestamp) -> Result<Judged, Fault> {
    let Some(entry) = catalog.store().get(&Key::domain(name)).await? else {
        return Ok(Judged::NotLate);
    };
    let Ok(domain) = decode::<Domain>(&entry.value) else {
        return Ok(Judged::Unreadable);
    };
    if domain.is_managed(Environment::Production) || !is_served(&domain) {
        return Ok(Judged::NotLate);
    }
    let replacements = replacements(catalog, &domain).await?;
    let Some(cadence) = Cadence::of(&replacements) else {
        return Ok(Judged::NotLate);
    };
    let Timing::Late { since } = cadence.timing(now) else {
        return Ok(Judged::NotLate);
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
    Ok(Judged::Late(MissedRenewal {
        domain: domain.name,
        account: domain.account,
        text,
    }))
}

fn is_served(domain: &Domain) -> bool {
    let binding = domain.production.as_ref();
    domain.state == DomainState::Online && binding.is_some_and(|binding| binding.enabled)
}

/// The latest replacements of the production certificate, not those of a domain that had the name
/// before.
async fn replacements(catalog: &Catalog, domain: &Domain) -> Result<Vec<Replacement>, Fault> {
    // A change that cannot be decoded, which is left out, was no replacement that could be judged.
    let changes = catalog.history(&domain.name).await?.into_iter();
    let changes = changes
        .map(|(_, change)| change)
        .filter(|change| change.at >= domain.created);
    let changes = changes.filter_map(|change| {
        let is_production = change.environment == Some(Environment::Production);
        let is_new = change.after.is_some() && change.after != change.before;
        Some((change.at, change.certificate?)).filter(|_| is_production && is_new)
    });
    let changes: Vec<(Timestamp, CertificateId)> = changes.collect();
    let mut ids: Vec<CertificateId> = changes.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let keys: Vec<Key> = ids.iter().map(|id| Key::certificate(*id)).collect();
    let known = catalog.store().get_many(&keys).await?.into_iter().flatten();
    let known = known.filter_map(|entry| decode::<CertificateRecord>(&entry.value).ok());
    let known: BTreeMap<CertificateId, Timestamp> =
        known.map(|it| (it.id, it.info.not_after)).collect();
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
pub(crate) mod tests;
