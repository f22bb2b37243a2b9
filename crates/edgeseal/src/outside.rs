//! Looks at domains from outside: resolves each name as visitors do, and makes a handshake with
//! what it finds. What visitors find is recorded per domain, and told by the API.
//!
//! The domains are in 256 parts, of which one is looked at after the other, so that the work is
//! spread over the interval. A domain whose certificate has changed is looked at as soon as the edges
//! have had time to receive it. Of several processes on one store, each skips what another one has
//! looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use edgeseal_api::ownership::OwnershipVerifier;
use edgeseal_core::{
    DomainPattern, Timestamp,
    domain::{Domain, DomainState, Environment},
    outside::{Observation, Verdict},
};
use edgeseal_store::{Catalog, ChangesError, Fault, Pages, Revision, key, record};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use crate::{clock, config::Config};

mod findings;
mod observer;

pub(crate) use findings::{finding, findings};
use observer::Observer;
pub(crate) use observer::OutsideError;

/// Domains that are looked at at the same time.
const CONCURRENT: usize = 16;
/// Domains read, and observations written, at once.
const BATCH: usize = 200;
const PARTS: u32 = 256;
/// A shorter interval would keep the store busy.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// Most changed domains that wait; others are looked at in their turn.
const WAITING_MAX: usize = 10_000;
/// How long edges have to receive a changed certificate before it is looked for.
const AFTER_CHANGE: Duration = Duration::from_secs(30);
/// How long an observation is kept without another one.
const KEEP_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// See the [module](self).
pub(crate) struct OutsideCheck {
    observer: Observer,
    interval: Duration,
}

/// What is due, besides the next part.
#[derive(Default)]
struct Waiting {
    seen: Revision,
    changed: BTreeMap<Instant, BTreeSet<DomainPattern>>,
    count: usize,
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
        if !config.outside_check.0 {
            return Ok(None);
        }
        let resolver = resolver.ok_or(OutsideError::NoDnsServer)?;
        Ok(Some(Self {
            observer: Observer::new(config, resolver, observer::public_roots())?,
            interval: config.outside_check_interval_ms.0.max(INTERVAL_MIN),
        }))
    }

    /// Looks at all domains again and again, until `stop` completes.
    pub(crate) async fn run(self, catalog: Catalog, stop: impl Future<Output = ()> + Send) {
        let pause = self.interval / PARTS;
        let mut waiting = Waiting::default();
        let mut next = Instant::now() + pause;
        let mut part = 0_u8;
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = waiting.follow(&catalog, self.settle_time(), next) => {}
            }
            let is_turn = Instant::now() >= next;
            let work = async {
                self.look_at_changed(&catalog, &mut waiting).await?;
                if is_turn {
                    self.look_at_part(&catalog, part).await?;
                }
                Ok::<(), Fault>(())
            };
            let done = tokio::select! {
                () = &mut stop => return,
                done = work => done,
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

    async fn look_at_part(&self, catalog: &Catalog, part: u8) -> Result<(), Fault> {
        let prefix = key::domains_part(part);
        let mut pages = Pages::new(&**catalog.store(), &prefix, BATCH);
        while let Some(entries) = pages.next().await? {
            // Records that cannot be decoded are quarantined, and reported by the edges.
            let domains = entries.iter();
            let domains = domains.filter_map(|entry| record::decode(&entry.value).ok());
            self.look_at(catalog, domains.collect()).await?;
        }
        Ok(())
    }

    async fn look_at_changed(&self, catalog: &Catalog, waiting: &mut Waiting) -> Result<(), Fault> {
        loop {
            let names = waiting.due();
            if names.is_empty() {
                return Ok(());
            }
            let mut domains = Vec::new();
            for name in names {
                domains.extend(catalog.domain(&name).await?);
            }
            self.look_at(catalog, domains).await?;
        }
    }

    async fn look_at(&self, catalog: &Catalog, domains: Vec<Domain>) -> Result<(), Fault> {
        let looks = domains
            .iter()
            .map(|domain| self.look_at_one(catalog, domain));
        let looks: Vec<_> = looks.collect();
        let mut looks = stream::iter(looks).buffer_unordered(CONCURRENT);
        let mut found = Vec::new();
        while let Some(one) = looks.next().await {
            found.extend(one?);
        }
        if found.is_empty() {
            return Ok(());
        }
        let keep = KEEP_MIN.max(self.interval * 3);
        let expires = clock::now().plus_ms(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        catalog.write_observations(&found, expires).await
    }

    /// `None` if it is not due, or nothing can be said about it.
    async fn look_at_one(
        &self,
        catalog: &Catalog,
        domain: &Domain,
    ) -> Result<Option<(DomainPattern, Observation)>, Fault> {
        let now = clock::now();
        let Some(changed) = last_change(domain) else {
            return Ok(None);
        };
        let before = catalog.observation(domain).await?;
        let is_due = self.is_due(changed, before.as_ref(), now);
        if !is_due || self.has_own_domain(catalog, &domain.name).await? {
            return Ok(None);
        }
        let leaves = catalog.served_leaves(domain).await?;
        let Some((verdict, text)) = self.observer.observe(&domain.name, &leaves).await else {
            count("unknown");
            return Ok(None);
        };
        count(verdict.as_str());
        let observation = Observation {
            domain_id: domain.id,
            at: now,
            verdict,
            text,
        };
        log(&domain.name, before.as_ref(), &observation);
        Ok(Some((domain.name.clone(), observation)))
    }

    fn is_due(&self, changed: Timestamp, before: Option<&Observation>, now: Timestamp) -> bool {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        if now.since_ms(changed) < ms(self.settle_time()) {
            return false;
        }
        // A little less than the interval: the turn of a part comes a little early at times.
        let fresh = ms(self.interval) / 10 * 9;
        before.is_none_or(|before| before.at < changed || now.since_ms(before.at) >= fresh)
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

impl Waiting {
    /// Collects changed domains until `turn`, or until one of them is due.
    async fn follow(&mut self, catalog: &Catalog, settle_time: Duration, turn: Instant) {
        loop {
            let until = self
                .changed
                .keys()
                .next()
                .map_or(turn, |&due| due.min(turn));
            let prefixes = [key::DOMAINS];
            let changes = catalog.store().changes(self.seen, &prefixes, BATCH);
            let changes = tokio::select! {
                () = sleep_until(until) => return,
                changes = changes => changes,
            };
            match changes {
                Ok(changes) => {
                    self.seen = changes.through;
                    let values = changes.items.iter().filter_map(|it| it.value.as_deref());
                    let domains = values.filter_map(|value| record::decode::<Domain>(value).ok());
                    let due = Instant::now() + settle_time;
                    let now = clock::now();
                    // Only a new certificate is of interest, and one that was not seen before.
                    let settle = i64::try_from(settle_time.as_millis()).unwrap_or(i64::MAX);
                    let is_new = |domain: &Domain| {
                        last_change(domain).is_some_and(|at| now.since_ms(at) <= settle)
                    };
                    for domain in domains.filter(is_new) {
                        if self.count < WAITING_MAX
                            && self.changed.entry(due).or_default().insert(domain.name)
                        {
                            self.count += 1;
                        }
                    }
                }
                Err(ChangesError::Compacted { oldest }) => self.seen = oldest,
                // The next turn reports it.
                Err(ChangesError::Fault(_)) => {
                    sleep_until(until).await;
                    return;
                }
            }
        }
    }

    /// Takes a batch of what is due.
    fn due(&mut self) -> BTreeSet<DomainPattern> {
        let Some(first) = self.changed.first_entry() else {
            return BTreeSet::new();
        };
        if *first.key() > Instant::now() {
            return BTreeSet::new();
        }
        let names = first.remove();
        self.count -= names.len();
        names
    }
}

/// When what the production edges serve was changed last; `None` if they serve nothing.
fn last_change(domain: &Domain) -> Option<Timestamp> {
    let binding = domain.binding(Environment::Production)?;
    if domain.state != DomainState::Online || !binding.enabled {
        return None;
    }
    let companion = binding.companion.as_ref().map(|it| it.updated);
    Some(companion.map_or(binding.updated, |at| at.max(binding.updated)))
}

fn count(verdict: &'static str) {
    metrics::counter!("edgeseal_outside_checks_total", "verdict" => verdict).increment(1);
}

/// Logs a verdict that differs from the last one.
fn log(domain: &DomainPattern, before: Option<&Observation>, found: &Observation) {
    let was = before.map_or(Verdict::Ok, |before| before.verdict);
    match found.verdict {
        verdict if verdict == was => {}
        Verdict::Ok => tracing::info!(%domain, "visitors find what they should: {}", found.text),
        verdict => tracing::warn!(
            %domain,
            verdict = verdict.as_str(),
            "visitors find something wrong: {}",
            found.text
        ),
    }
}
