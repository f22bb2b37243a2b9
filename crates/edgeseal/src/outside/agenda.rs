//! Domains that are checked before their turn: those whose certificate has changed, as soon as
//! the edges have had time to receive it, and those where something is wrong.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use edgeseal_core::{DomainPattern, domain::Domain};
use edgeseal_store::{Catalog, ChangesError, Fault, Revision, key, record};
use tokio::time::{Instant, sleep_until};

use super::{BATCH, last_change, ms};
use crate::clock;

/// Most domains on the agenda, half of them where something is wrong, and most suspects; others are checked in their turn.
const ENTRIES_MAX: usize = 10_000;

/// How long changes are read at least while entries are overdue.
const FOLLOW_MIN: Duration = Duration::from_millis(100);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Agenda {
    /// Up to which changes are known; `None` before the store was read.
    seen: Option<Revision>,
    entries: BTreeSet<(Instant, DomainPattern)>,
    /// When each of them is due.
    due: BTreeMap<DomainPattern, Instant>,
    /// Domains where something was wrong once.
    suspects: HashSet<DomainPattern>,
}

impl Agenda {
    /// Collects changed domains until `turn`, or until an entry is due, but for [`FOLLOW_MIN`] even
    /// if one is overdue.
    pub(super) async fn follow(&mut self, catalog: &Catalog, settle_time: Duration, turn: Instant) {
        let earliest = Instant::now() + FOLLOW_MIN;
        loop {
            let first = self.entries.first();
            let until = first.map_or(turn, |(due, _)| turn.min(earliest.max(*due)));
            tokio::select! {
                () = sleep_until(until) => return,
                // The next turn reports a failure.
                read = self.read_changes(catalog, settle_time) => if read.is_err() {
                    sleep_until(until).await;
                    return;
                }
            }
        }
    }

    async fn read_changes(
        &mut self,
        catalog: &Catalog,
        settle_time: Duration,
    ) -> Result<(), Fault> {
        let store = catalog.store();
        let seen = match self.seen {
            Some(seen) => seen,
            // What was changed before is checked in its turn.
            None => store.list(key::DOMAINS, None, 1).await?.revision,
        };
        self.seen = Some(seen);
        let changes = match store.changes(seen, &[key::DOMAINS], BATCH).await {
            Ok(changes) => changes,
            Err(ChangesError::Compacted { .. }) => {
                self.seen = None;
                return Ok(());
            }
            Err(ChangesError::Fault(fault)) => return Err(fault),
        };
        self.seen = Some(changes.through);
        let values = changes.items.iter().filter_map(|it| it.value.as_deref());
        let domains = values.filter_map(|value| record::decode::<Domain>(value).ok());
        let now = clock::now();
        // Only a new certificate is of interest.
        let is_new = |domain: &Domain| {
            last_change(domain).is_some_and(|at| now.since_ms(at) <= ms(settle_time))
        };
        let due = Instant::now() + settle_time;
        for domain in domains.filter(is_new) {
            self.add(domain.name, due);
        }
        Ok(())
    }

    /// Adds a domain, or moves it; the earlier time counts. Does nothing if the agenda is full.
    pub(super) fn add(&mut self, domain: DomainPattern, at: Instant) {
        let known = self.due.get(&domain).copied();
        if known.is_some_and(|known| known <= at) || self.entries.len() >= ENTRIES_MAX {
            return;
        }
        if let Some(known) = known {
            self.entries.remove(&(known, domain.clone()));
        }
        self.due.insert(domain.clone(), at);
        self.entries.insert((at, domain));
    }

    /// Adds a domain where something is wrong. These leave room to what changes.
    pub(super) fn add_wrong(&mut self, domain: DomainPattern, at: Instant) {
        if self.entries.len() < ENTRIES_MAX / 2 {
            self.add(domain, at);
        }
    }

    /// Takes a batch of what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<DomainPattern> {
        let mut names = Vec::new();
        while names.len() < BATCH
            && let Some((at, _)) = self.entries.first()
            && *at <= now
            && let Some((_, name)) = self.entries.pop_first()
        {
            self.due.remove(&name);
            names.push(name);
        }
        names
    }

    /// Notes that something was wrong. Returns whether that was the first time, and it will be
    /// checked again `after` this time.
    pub(super) fn suspect(&mut self, domain: &DomainPattern, after: Duration) -> bool {
        if self.suspects.remove(domain) || self.suspects.len() >= ENTRIES_MAX {
            return false;
        }
        self.suspects.insert(domain.clone());
        self.add_wrong(domain.clone(), Instant::now() + after);
        true
    }

    /// Notes that all is well.
    pub(super) fn trust(&mut self, domain: &DomainPattern) {
        self.suspects.remove(domain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainPattern {
        DomainPattern::parse(text).unwrap()
    }

    #[test]
    fn the_earlier_time_counts() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut agenda = Agenda::default();
        agenda.add(name("a.example"), now + second);
        agenda.add(name("b.example"), now + second * 2);
        agenda.add(name("b.example"), now);
        agenda.add(name("a.example"), now + second * 3);
        assert_eq!(agenda.due(now), [name("b.example")]);
        assert!(agenda.due(now).is_empty());
        assert_eq!(agenda.due(now + second), [name("a.example")]);
        assert!(agenda.due(now + second * 3).is_empty());
    }

    #[test]
    fn what_is_wrong_twice_is_no_suspicion() {
        let mut agenda = Agenda::default();
        let bad = name("bad.example");
        assert!(agenda.suspect(&bad, Duration::ZERO));
        assert_eq!(agenda.due(Instant::now()), [name("bad.example")]);
        assert!(!agenda.suspect(&bad, Duration::ZERO));
        // One good check in between: it begins anew.
        assert!(agenda.suspect(&bad, Duration::ZERO));
        agenda.trust(&bad);
        assert!(agenda.suspect(&bad, Duration::ZERO));
    }

    #[test]
    fn the_agenda_is_bounded() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        for n in 0..=ENTRIES_MAX {
            agenda.add(name(&format!("n{n}.example")), now);
        }
        assert_eq!(agenda.entries.len(), ENTRIES_MAX);
        assert_eq!(agenda.due.len(), ENTRIES_MAX);
        let mut agenda = Agenda::default();
        for n in 0..ENTRIES_MAX {
            agenda.add_wrong(name(&format!("n{n}.example")), now);
        }
        assert_eq!(agenda.entries.len(), ENTRIES_MAX / 2);
    }
}
