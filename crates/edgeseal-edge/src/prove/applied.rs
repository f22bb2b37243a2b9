//! What was applied and is to be proved: written by the follower and by those who ask, read by the
//! prover.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use edgeseal_core::{Pattern, Timestamp};
use edgeseal_store::Revision;
use tokio::sync::Notify;

/// Domains read after one batch of changes, which is also at most this many a second.
pub(super) const SAMPLE: usize = 32;
/// Domains that somebody asked for, read at a time besides.
const ASKED_AT_A_TIME: usize = 64;
/// Domains that somebody asked for and that wait. Who is pushed out waits in vain, and is told so.
const ASKED_MAX: usize = 1024;

/// What was applied and not yet proved.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    state: Mutex<Pending>,
    told: Notify,
    unproved: AtomicUsize,
}

/// A domain whose change was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The domain.
    pub(crate) name: Pattern,
    /// The commit.
    pub(crate) revision: Revision,
    /// When the call came that made it; `None` if it was not heard of as a change.
    pub(crate) at: Option<Timestamp>,
}

/// A proof that is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) changed: Changed,
    /// How often it was tried before.
    pub(super) attempts: u8,
    /// Whether somebody asked for it, who is served by an earlier proof as well.
    pub(super) asked: bool,
}

#[derive(Debug, Default)]
struct Pending {
    revision: Revision,
    /// Latest last, each domain once.
    changed: VecDeque<Due>,
    /// Oldest first, each domain once, with the commit that must be applied first.
    asked: VecDeque<(Pattern, Revision)>,
    /// Whether there is anything to report.
    news: bool,
}

/// Has an edge prove some domains before others. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Proofs(Arc<Applied>);

impl Proofs {
    pub(crate) const fn new(applied: Arc<Applied>) -> Self {
        Self(applied)
    }

    /// Has the edge read these domains from a handshake as soon as it has followed the commit
    /// `revision`, however many others changed, and report what it saw. A proof that its next report
    /// has anyway is not read again.
    pub fn ask(&self, domains: &[Pattern], revision: Revision) {
        self.0.ask(domains, revision);
    }
}

impl Applied {
    /// Says that all changes up to `revision` are served, and which domains changed last.
    pub(crate) fn tell(&self, revision: Revision, changed: Vec<Changed>) {
        let mut state = self.lock();
        state.revision = revision;
        state.news |= !changed.is_empty();
        state.push_latest(changed);
        let ready = state.asked.iter().any(|(_, needed)| *needed <= revision);
        state.news |= ready;
        drop(state);
        self.told.notify_one();
    }

    /// Says which domains changed, before a revision is reached.
    pub(crate) fn tell_changed(&self, changed: Vec<Changed>) {
        self.lock().push_latest(changed);
    }

    /// Has a report written even if no domain changed, as after a listing.
    pub(crate) fn report_anyway(&self) {
        self.lock().news = true;
        self.told.notify_one();
    }

    fn ask(&self, domains: &[Pattern], revision: Revision) {
        let mut state = self.lock();
        for name in domains {
            state.asked.retain(|(have, _)| have != name);
            state.asked.push_back((name.clone(), revision));
        }
        let over = state.asked.len().saturating_sub(ASKED_MAX);
        state.asked.drain(..over);
        state.news |= state.revision >= revision;
        drop(state);
        self.told.notify_one();
    }

    /// Tries again, unless the domain has changed since.
    pub(super) fn again(&self, due: Due) {
        let mut state = self.lock();
        let name = &due.changed.name;
        if state.changed.iter().all(|have| have.changed.name != *name) {
            state.push(due);
        }
        state.news = true;
    }

    /// Whether there is anything to report.
    pub(super) fn has_news(&self) -> bool {
        self.lock().news
    }

    /// Waits for a call of any of the others after the last one of this.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }

    /// What is to be proved now, each domain once, and the revision that is then proved.
    pub(super) fn take(&self) -> (Revision, Vec<Due>) {
        let mut state = self.lock();
        let revision = state.revision;
        let mut due = Vec::from(std::mem::take(&mut state.changed));
        let (ready, mut left): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut state.asked)
            .into_iter()
            .partition(|(_, needed)| *needed <= revision);
        let mut ready = ready.into_iter();
        for (name, needed) in ready.by_ref().take(ASKED_AT_A_TIME) {
            if due.iter().all(|have| have.changed.name != name) {
                due.push(Due::asked(name, needed));
            }
        }
        // The rest keeps its turn.
        let rest: VecDeque<_> = ready.collect();
        state.news = !rest.is_empty();
        for one in rest.into_iter().rev() {
            left.push_front(one);
        }
        state.asked = left;
        (revision, due)
    }

    /// How many domains are not proved.
    pub(crate) fn unproved(&self) -> usize {
        self.unproved.load(Ordering::Relaxed)
    }

    pub(super) fn set_unproved(&self, domains: usize) {
        self.unproved.store(domains, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn push_latest(&mut self, changed: Vec<Changed>) {
        let skipped = changed.len().saturating_sub(SAMPLE);
        for changed in changed.into_iter().skip(skipped) {
            self.push(Due::new(changed));
        }
    }

    fn push(&mut self, due: Due) {
        let name = &due.changed.name;
        self.changed.retain(|have| have.changed.name != *name);
        self.changed.push_back(due);
        while self.changed.len() > SAMPLE {
            self.changed.pop_front();
        }
    }
}

impl Due {
    const fn new(changed: Changed) -> Self {
        Self {
            changed,
            attempts: 0,
            asked: false,
        }
    }

    /// One that is due for another reason than a change.
    const fn asked(name: Pattern, revision: Revision) -> Self {
        Self {
            changed: Changed {
                name,
                revision,
                at: None,
            },
            attempts: 0,
            asked: true,
        }
    }

    /// One that failed before and may be healed.
    pub(super) const fn retried(name: Pattern, revision: Revision, attempts: u8) -> Self {
        Self {
            changed: Changed {
                name,
                revision,
                at: None,
            },
            attempts,
            asked: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Pattern {
        Pattern::parse(&format!("d{n}.example.com")).unwrap()
    }

    fn changed(n: usize) -> Changed {
        Changed {
            name: name(n),
            revision: Revision(n as u64),
            at: None,
        }
    }

    fn names(due: &[Due]) -> Vec<Pattern> {
        due.iter().map(|due| due.changed.name.clone()).collect()
    }

    #[test]
    fn in_bulk_the_latest_are_read_and_those_that_were_asked_for() {
        let applied = Applied::default();
        applied.ask(&[name(3)], Revision(3));
        assert!(!applied.has_news(), "not applied yet");
        applied.tell(Revision(1000), (1..=1000).map(changed).collect());
        let (revision, due) = applied.take();
        assert_eq!(revision, Revision(1000));
        let latest = (1000 - SAMPLE + 1..=1000).chain([3]).map(name);
        assert_eq!(names(&due), latest.collect::<Vec<_>>());
        assert!(!applied.has_news());
        assert_eq!(applied.take().1, []);
    }

    #[test]
    fn who_asks_too_early_is_kept_and_who_asks_for_much_is_served_in_turn() {
        let applied = Applied::default();
        applied.ask(&[name(7)], Revision(7));
        applied.tell(Revision(6), vec![changed(6)]);
        assert_eq!(names(&applied.take().1), [name(6)]);
        // Nothing that this edge serves changed, but the revision is reached.
        applied.tell(Revision(7), Vec::new());
        assert!(applied.has_news());
        assert_eq!(names(&applied.take().1), [name(7)]);

        let many: Vec<Pattern> = (0..2 * ASKED_MAX).map(name).collect();
        applied.ask(&many, Revision(1));
        let mut read = Vec::new();
        while applied.has_news() {
            let due = applied.take().1;
            assert!(due.len() <= ASKED_AT_A_TIME);
            read.extend(names(&due));
        }
        assert_eq!(read, many[ASKED_MAX..]);
    }

    #[test]
    fn a_domain_is_due_once_with_its_latest_change() {
        let applied = Applied::default();
        let second = Changed {
            revision: Revision(2),
            ..changed(1)
        };
        applied.ask(&[name(1)], Revision(1));
        applied.tell(Revision(1), vec![changed(1)]);
        applied.tell(Revision(2), vec![second.clone()]);
        let due = applied.take().1;
        assert_eq!(due, [Due::new(second)]);
        // What failed is not tried again in place of a later change.
        applied.tell(Revision(3), vec![changed(1)]);
        applied.again(due[0].clone());
        assert_eq!(applied.take().1, [Due::new(changed(1))]);
    }
}
