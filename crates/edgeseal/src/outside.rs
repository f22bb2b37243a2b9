//! Checks domains from outside: resolves each name as visitors do, and makes a handshake with
//! what it finds. What visitors find is recorded per domain, and told by the API.
//!
//! The domains are in 256 parts, of which one is checked after the other, so that the work is
//! spread over the interval. What cannot wait for its turn is on the [agenda]. Of several
//! processes on one store, each skips what another one has checked.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    time::Duration,
};

use edgeseal_api::ownership::OwnershipVerifier;
use edgeseal_core::{
    DomainPattern, Timestamp,
    domain::{Domain, DomainState, Environment},
    outside::{Observation, Selection},
};
use edgeseal_store::{Catalog, Entry, Fault, Key, Pages, key, record};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::time::Instant;

use crate::{clock, config::Config};

mod agenda;
mod findings;
mod observer;

use agenda::Agenda;
pub(crate) use findings::{findings, findings_of};
use observer::Observer;
pub(crate) use observer::OutsideError;

/// Domains that are checked at the same time. One whose servers do not answer takes 10 s, so a
/// million domains of which 2 % do so take (0.2 s + 0.02 × 10 s) × 1,000,000 / 64, or 1.7 hours.
const CONCURRENT: usize = 64;
/// Domains read, and observations written, at once.
const BATCH: usize = 200;
const PARTS: u32 = 256;
/// Most domains of the agenda that are checked at the same time, unless there is nothing else to
/// check: what stays wrong must not hold up the others.
const CONCURRENT_DUE: usize = CONCURRENT / 2;
/// A shorter interval would keep the store busy.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// How long edges have to receive a changed certificate before it is checked.
const AFTER_CHANGE: Duration = Duration::from_secs(30);
/// When something wrong is checked again: a packet may have been lost.
const CONFIRM_AFTER: Duration = Duration::from_secs(60);
/// How much sooner than the others a domain is checked again where something has just become wrong.
const SOONER_IF_WRONG: u32 = 6;
/// How long an observation is told without another one, at least.
const CURRENT_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// See the [module](self).
pub(crate) struct OutsideCheck {
    observer: Observer,
    selection: Selection,
    interval: Duration,
}

/// What the check of a domain found.
struct Check {
    domain: DomainPattern,
    before: Option<Observation>,
    found: Observation,
}

impl OutsideCheck {
    /// `None` if it is off.
    ///
    /// # Errors
    /// [`OutsideError`].
    pub(crate) fn new(
        config: &Config,
        resolver: Option<OwnershipVerifier>,
    ) -> Result<Option<Self>, OutsideError> {
        let Some(selection) = config.outside_selection() else {
            return Ok(None);
        };
        let resolver = resolver.ok_or(OutsideError::NoDnsServer)?;
        Ok(Some(Self {
            observer: Observer::new(config, resolver, observer::public_roots())?,
            selection,
            interval: config.outside_check_interval_ms.0.max(INTERVAL_MIN),
        }))
    }

    /// Checks all domains again and again, until `stop` completes.
    pub(crate) async fn run(self, catalog: Catalog, stop: impl Future<Output = ()> + Send) {
        let pause = self.interval / PARTS;
        let mut agenda = Agenda::default();
        let mut next = Instant::now() + pause;
        let mut part = 0_u8;
        let mut is_complete = true;
        note_round();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = agenda.follow(&catalog, self.settle_time(), next) => {}
            }
            let is_turn = Instant::now() >= next;
            let done = tokio::select! {
                () = &mut stop => return,
                done = self.check(&catalog, &mut agenda, is_turn.then_some(part)) => done,
            };
            if let Err(fault) = &done {
                tracing::warn!(
                    error = fault as &dyn std::error::Error,
                    "what visitors find cannot be recorded"
                );
            }
            if is_turn {
                is_complete &= done.is_ok();
                part = part.wrapping_add(1);
                if part == 0 && std::mem::replace(&mut is_complete, true) {
                    note_round();
                }
                next = Instant::now() + pause;
            }
        }
    }

    fn settle_time(&self) -> Duration {
        AFTER_CHANGE.min(self.interval)
    }

    /// Checks what is due on the agenda, and a part of all domains. What was found before the store
    /// failed is recorded if possible.
    async fn check(
        &self,
        catalog: &Catalog,
        agenda: &mut Agenda,
        part: Option<u8>,
    ) -> Result<(), Fault> {
        let mut found = BTreeMap::new();
        let checked = self.check_all(catalog, agenda, part, &mut found).await;
        let written = catalog.write_observations(&found).await;
        checked.and(written)
    }

    /// A domain that takes long holds up no other one, and the agenda does not hold up the part.
    async fn check_all(
        &self,
        catalog: &Catalog,
        agenda: &mut Agenda,
        part: Option<u8>,
        found: &mut BTreeMap<DomainPattern, Observation>,
    ) -> Result<(), Fault> {
        let prefix = part.map(key::domains_part).unwrap_or_default();
        let mut pages = part.map(|_| Pages::new(&**catalog.store(), &prefix, BATCH));
        let mut due = read_due(catalog, agenda).await?;
        let mut in_turn = VecDeque::new();
        let mut due_running = 0;
        let mut checks = FuturesUnordered::new();
        loop {
            if let Some(reading) = &mut pages {
                if due.is_empty() {
                    due = read_due(catalog, agenda).await?;
                }
                if in_turn.is_empty() {
                    match reading.next().await? {
                        Some(entries) => in_turn.extend(decodable(&entries)),
                        None => pages = None,
                    }
                }
            }
            let has_turn = pages.is_some() || !in_turn.is_empty();
            let due_max = if has_turn { CONCURRENT_DUE } else { CONCURRENT };
            while checks.len() < CONCURRENT {
                let next_due = (due_running < due_max).then(|| due.pop_front()).flatten();
                let is_due = next_due.is_some();
                let Some(domain) = next_due.or_else(|| in_turn.pop_front()) else {
                    break;
                };
                due_running += usize::from(is_due);
                let check = self.check_decodable(catalog, domain);
                checks.push(check.map(move |check| (is_due, check)));
            }
            match checks.next().await {
                Some((is_due, check)) => {
                    due_running -= usize::from(is_due);
                    found.extend(check?.and_then(|check| self.judge(check, agenda)));
                }
                None if pages.is_none() && due.is_empty() && in_turn.is_empty() => return Ok(()),
                None => {}
            }
            if found.len() >= BATCH {
                catalog.write_observations(found).await?;
                found.clear();
            }
        }
    }

    /// As [`check_one`](Self::check_one). A domain of which something cannot be decoded is left
    /// out: the edges report it.
    async fn check_decodable(
        &self,
        catalog: &Catalog,
        domain: Domain,
    ) -> Result<Option<Check>, Fault> {
        let name = domain.name.clone();
        let checked = self.check_one(catalog, domain).await;
        match checked {
            Err(fault) if fault.is_undecodable() => {
                tracing::warn!(
                    error = &fault as &dyn std::error::Error,
                    domain = %name,
                    "a domain cannot be checked from outside"
                );
                Ok(None)
            }
            checked => checked,
        }
    }

    /// `None` if it is not due, or nothing can be said about it.
    async fn check_one(&self, catalog: &Catalog, domain: Domain) -> Result<Option<Check>, Fault> {
        let now = clock::now();
        let Some(changed) = last_change(&domain).filter(|_| self.selection.includes(&domain.name))
        else {
            return Ok(None);
        };
        let before = catalog.observation(&domain).await?;
        let is_due = self.is_due(changed, before.as_ref(), now);
        if !is_due || self.has_own_domain(catalog, &domain.name).await? {
            return Ok(None);
        }
        let leaves = catalog.served_leaves(&domain).await?;
        let Some((verdict, text)) = self.observer.observe(&domain.name, &leaves).await else {
            count("unknown");
            return Ok(None);
        };
        count(verdict.as_str());
        let current_until = now.plus_ms(ms(CURRENT_MIN.max(self.interval * 3)));
        let found =
            Observation::new(domain.id, now, current_until, verdict, &text).after(before.as_ref());
        Ok(Some(Check {
            domain: domain.name,
            before,
            found,
        }))
    }

    /// What is recorded of a check. What is wrong for the first time is checked again before: a
    /// single lost packet should not alarm anybody.
    fn judge(&self, check: Check, agenda: &mut Agenda) -> Option<(DomainPattern, Observation)> {
        let Check {
            domain,
            before,
            found,
        } = check;
        if !found.verdict.is_wrong() {
            agenda.trust(&domain);
        } else {
            let is_known = before.as_ref().is_some_and(|it| it.verdict.is_wrong());
            if !is_known && agenda.suspect(&domain, CONFIRM_AFTER.min(self.interval)) {
                return None;
            }
            // As long as it was wrong already, so that each pause is twice the one before.
            let wrong_ms = found
                .wrong_since
                .map_or(0, |since| found.at.since_ms(since));
            let pause = Duration::from_millis(u64::try_from(wrong_ms).unwrap_or(0));
            let pause = pause.clamp(self.interval / SOONER_IF_WRONG, self.interval);
            agenda.add_wrong(domain.clone(), Instant::now() + pause);
        }
        log(&domain, before.as_ref(), &found);
        Some((domain, found))
    }

    fn is_due(&self, changed: Timestamp, before: Option<&Observation>, now: Timestamp) -> bool {
        if now.since_ms(changed) < ms(self.settle_time()) {
            return false;
        }
        let is_fresh = |before: &Observation| {
            let sooner = if before.verdict.is_wrong() {
                SOONER_IF_WRONG
            } else {
                1
            };
            // A little less: the turn of a part comes a little early at times.
            let fresh = ms(self.interval / sooner) / 10 * 9;
            before.at >= changed && now.since_ms(before.at) < fresh
        };
        !before.is_some_and(is_fresh)
    }

    /// Whether the host that stands for a wildcard is a domain of its own.
    async fn has_own_domain(&self, catalog: &Catalog, name: &DomainPattern) -> Result<bool, Fault> {
        if matches!(name, DomainPattern::Exact(_)) {
            return Ok(false);
        }
        match DomainPattern::parse(&observer::host(name)) {
            Ok(host) => Ok(catalog.store().get(&Key::domain(&host)).await?.is_some()),
            Err(_) => Ok(true),
        }
    }
}

/// The domains that are due on the agenda.
async fn read_due(catalog: &Catalog, agenda: &mut Agenda) -> Result<VecDeque<Domain>, Fault> {
    let names = agenda.due(Instant::now());
    if names.is_empty() {
        return Ok(VecDeque::new());
    }
    let keys: Vec<Key> = names.iter().map(Key::domain).collect();
    let entries = catalog.store().get_many(&keys).await?;
    Ok(decodable(entries.iter().flatten()).collect())
}

/// Those of the domains that can be decoded. The others are in quarantine, and reported by the
/// edges.
fn decodable<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> impl Iterator<Item = Domain> {
    let entries = entries.into_iter();
    entries.filter_map(|entry| record::decode(&entry.value).ok())
}

/// Whether the production edges serve the domain.
fn is_served(domain: &Domain) -> bool {
    domain.state == DomainState::Online && domain.is_https_on()
}

/// When what the production edges serve was changed last; `None` if they serve nothing.
fn last_change(domain: &Domain) -> Option<Timestamp> {
    let binding = domain.binding(Environment::Production);
    let binding = binding.filter(|_| is_served(domain))?;
    let companion = binding.companion.as_ref().map(|it| it.updated);
    Some(companion.map_or(binding.updated, |at| at.max(binding.updated)))
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Notes that all domains were checked, or that the first round begins.
fn note_round() {
    let seconds = clock::now().unix_seconds() as f64;
    metrics::gauge!("edgeseal_outside_round_timestamp_seconds").set(seconds);
}

fn count(verdict: &'static str) {
    metrics::counter!("edgeseal_outside_checks_total", "verdict" => verdict).increment(1);
}

/// Logs a verdict that differs from the last one.
fn log(domain: &DomainPattern, before: Option<&Observation>, found: &Observation) {
    let verdict = found.verdict.as_str();
    let was_wrong = before.is_some_and(|before| before.verdict.is_wrong());
    match before.map(|before| before.verdict) {
        Some(before) if before == found.verdict => {}
        _ if found.verdict.is_wrong() => tracing::warn!(
            %domain,
            verdict,
            "visitors find something wrong: {}",
            found.text
        ),
        _ if was_wrong => {
            tracing::info!(%domain, verdict, "visitors find what they should: {}", found.text);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
