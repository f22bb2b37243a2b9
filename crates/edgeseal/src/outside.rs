//! Checks domains from outside: resolves each name as visitors do, and makes a handshake with
//! what it finds. What visitors find is recorded per domain, and told by the API.
//!
//! The domains are in 256 parts, of which one is checked after the other, so that the work is
//! spread over the interval. What cannot wait for its turn is on the [agenda](agenda). Of several
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
use edgeseal_store::{Catalog, Fault, Pages, key, record};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
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
/// A shorter interval would keep the store busy.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// How long edges have to receive a changed certificate before it is checked.
const AFTER_CHANGE: Duration = Duration::from_secs(30);
/// When something wrong is checked again: a packet may have been lost.
const CONFIRM_AFTER: Duration = Duration::from_secs(60);
/// How much sooner than the others a domain is checked again where something was wrong.
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
            if let Err(fault) = done {
                tracing::warn!(
                    error = &fault as &dyn std::error::Error,
                    "what visitors find cannot be recorded"
                );
            }
            if is_turn {
                part = part.wrapping_add(1);
                next = Instant::now() + pause;
            }
        }
    }

    fn settle_time(&self) -> Duration {
        AFTER_CHANGE.min(self.interval)
    }

    /// Checks what is due on the agenda, and a part of all domains. A domain that takes long
    /// holds up no other one.
    async fn check(
        &self,
        catalog: &Catalog,
        agenda: &mut Agenda,
        part: Option<u8>,
    ) -> Result<(), Fault> {
        let prefix = part.map(key::domains_part).unwrap_or_default();
        let mut pages = part.map(|_| Pages::new(&**catalog.store(), &prefix, BATCH));
        let mut queue = VecDeque::new();
        let mut checks = FuturesUnordered::new();
        let mut found = BTreeMap::new();
        loop {
            if queue.is_empty() {
                for name in agenda.due(Instant::now()) {
                    queue.extend(catalog.domain(&name).await?);
                }
            }
            if queue.is_empty()
                && let Some(reading) = &mut pages
            {
                match reading.next().await? {
                    // Records that cannot be decoded are quarantined, and reported by the edges.
                    Some(entries) => queue.extend(
                        entries
                            .iter()
                            .filter_map(|entry| record::decode::<Domain>(&entry.value).ok()),
                    ),
                    None => pages = None,
                }
            }
            while checks.len() < CONCURRENT
                && let Some(domain) = queue.pop_front()
            {
                checks.push(self.check_one(catalog, domain));
            }
            match checks.next().await {
                Some(check) => found.extend(check?.and_then(|check| self.judge(check, agenda))),
                None if pages.is_none() && queue.is_empty() => break,
                None => {}
            }
            if found.len() >= BATCH {
                catalog.write_observations(&found).await?;
                found.clear();
            }
        }
        catalog.write_observations(&found).await
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
        let found = Observation::new(domain.id, now, current_until, verdict, &text);
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
            agenda.add(
                domain.clone(),
                Instant::now() + self.interval / SOONER_IF_WRONG,
            );
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
            Ok(host) => Ok(catalog.domain(&host).await?.is_some()),
            Err(_) => Ok(true),
        }
    }
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
