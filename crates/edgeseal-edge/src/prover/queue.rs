//! Applied changes that are to be proven: written by the follower and by callers that wait for a
//! proof, read by the prover.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use edgeseal_core::{DomainPattern, Timestamp};
use edgeseal_store::Revision;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Domains probed after one batch of changes, which is also the maximum per second.
pub(super) const SAMPLE: usize = 32;
/// Requested domains that are probed in addition at a time.
const REQUESTED_AT_A_TIME: usize = 64;
/// Requested domains that may wait. The oldest is dropped, and its caller does not get its proof.
const REQUESTED_MAX: usize = 1024;

/// Changes that were applied and not yet proven.
#[derive(Debug, Default)]
pub(crate) struct ProofQueue {
    state: Mutex<QueueState>,
    notify: Notify,
    unproven: AtomicUsize,
}

/// A domain whose change was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppliedChange {
    /// The domain.
    pub(crate) name: DomainPattern,
    /// The commit.
    pub(crate) revision: Revision,
    /// When the call that made it was received; `None` if it was not received as a change.
    pub(crate) at: Option<Timestamp>,
}

/// A proof that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingProof {
    pub(super) changed: AppliedChange,
    /// Failed attempts so far.
    pub(super) attempts: u8,
    /// Whether a caller requested it, for whom an earlier proof is good enough.
    pub(super) requested: bool,
}

#[derive(Debug, Default)]
struct QueueState {
    revision: Revision,
    challenge_revision: Revision,
    /// Latest last, each domain once.
    changed: VecDeque<PendingProof>,
    /// Oldest first, each domain once, with the commit that must be applied first.
    requested: VecDeque<(DomainPattern, Revision)>,
    /// Whether there is anything to report.
    report_due: bool,
}

impl ProofQueue {
    /// All changes up to `revision` are served; `changed` are the last ones.
    pub(crate) fn push_applied(&self, revision: Revision, changed: Vec<AppliedChange>) {
        let mut state = self.state.lock();
        state.revision = revision;
        state.report_due |= !changed.is_empty();
        state.push_latest(changed);
        let ready = state
            .requested
            .iter()
            .any(|(_, needed)| *needed <= revision);
        state.report_due |= ready;
        drop(state);
        self.notify.notify_one();
    }

    /// These domains changed, before a revision is reached.
    pub(crate) fn push_changes(&self, changed: Vec<AppliedChange>) {
        self.state.lock().push_latest(changed);
    }

    /// All challenges up to `revision` are answered, which is reported at once if one of them
    /// changed: whoever published it waits for that.
    pub(crate) fn confirm_challenges(&self, revision: Revision, changed: bool) {
        let mut state = self.state.lock();
        state.challenge_revision = revision;
        state.report_due |= changed;
        drop(state);
        if changed {
            self.notify.notify_one();
        }
    }

    /// The last commit up to which all challenges are answered.
    pub(super) fn challenge_revision(&self) -> Revision {
        self.state.lock().challenge_revision
    }

    /// Requests a report even if no domain changed, as after a listing.
    pub(crate) fn request_report(&self) {
        self.state.lock().report_due = true;
        self.notify.notify_one();
    }

    /// Probes these domains once `revision` is applied.
    pub(crate) fn request(&self, domains: &[DomainPattern], revision: Revision) {
        let mut state = self.state.lock();
        for name in domains {
            state.requested.retain(|(have, _)| have != name);
            state.requested.push_back((name.clone(), revision));
        }
        let over = state.requested.len().saturating_sub(REQUESTED_MAX);
        state.requested.drain(..over);
        state.report_due |= state.revision >= revision;
        drop(state);
        self.notify.notify_one();
    }

    /// Retries a proof, unless the domain has changed since.
    pub(super) fn retry(&self, due: PendingProof) {
        let mut state = self.state.lock();
        let name = &due.changed.name;
        if state.changed.iter().all(|have| have.changed.name != *name) {
            state.push(due);
        }
        state.report_due = true;
    }

    /// Whether there is anything to report.
    pub(super) fn is_report_due(&self) -> bool {
        self.state.lock().report_due
    }

    /// Waits for a call of any of the others since the last call of this.
    pub(super) async fn notified(&self) {
        self.notify.notified().await;
    }

    /// What is to be proven now, each domain once, and the revision that is then proven.
    pub(super) fn take(&self) -> (Revision, Vec<PendingProof>) {
        let mut state = self.state.lock();
        let revision = state.revision;
        let mut due = Vec::from(std::mem::take(&mut state.changed));
        let (ready, mut left): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut state.requested)
            .into_iter()
            .partition(|(_, needed)| *needed <= revision);
        let mut ready = ready.into_iter();
        for (name, needed) in ready.by_ref().take(REQUESTED_AT_A_TIME) {
            if due.iter().all(|have| have.changed.name != name) {
                due.push(PendingProof::requested(name, needed));
            }
        }
        // The rest keeps its position.
        let rest: VecDeque<_> = ready.collect();
        state.report_due = !rest.is_empty();
        for one in rest.into_iter().rev() {
            left.push_front(one);
        }
        state.requested = left;
        (revision, due)
    }

    /// The number of domains that are not proven.
    pub(crate) fn unproven(&self) -> usize {
        self.unproven.load(Ordering::Relaxed)
    }

    pub(super) fn set_unproven(&self, domains: usize) {
        self.unproven.store(domains, Ordering::Relaxed);
    }
}

impl QueueState {
    fn push_latest(&mut self, changed: Vec<AppliedChange>) {
        let skipped = changed.len().saturating_sub(SAMPLE);
        for changed in changed.into_iter().skip(skipped) {
            self.push(PendingProof::new(changed));
        }
    }

    fn push(&mut self, due: PendingProof) {
        let name = &due.changed.name;
        self.changed.retain(|have| have.changed.name != *name);
        self.changed.push_back(due);
        while self.changed.len() > SAMPLE {
            self.changed.pop_front();
        }
    }
}

impl PendingProof {
    const fn new(changed: AppliedChange) -> Self {
        Self {
            changed,
            attempts: 0,
            requested: false,
        }
    }

    /// One that is due for another reason than a change.
    const fn requested(name: DomainPattern, revision: Revision) -> Self {
        Self {
            changed: AppliedChange {
                name,
                revision,
                at: None,
            },
            attempts: 0,
            requested: true,
        }
    }

    /// One that failed before and may have recovered.
    pub(super) const fn retried(name: DomainPattern, revision: Revision, attempts: u8) -> Self {
        Self {
            changed: AppliedChange {
                name,
                revision,
                at: None,
            },
            attempts,
            requested: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> DomainPattern {
        DomainPattern::parse(&format!("d{n}.example.com")).unwrap()
    }

    fn changed(n: usize) -> AppliedChange {
        AppliedChange {
            name: name(n),
            revision: Revision(n as u64),
            at: None,
        }
    }

    fn names(due: &[PendingProof]) -> Vec<DomainPattern> {
        due.iter().map(|due| due.changed.name.clone()).collect()
    }

    #[test]
    fn in_bulk_the_latest_and_the_requested_domains_are_proven() {
        let applied = ProofQueue::default();
        applied.request(&[name(3)], Revision(3));
        assert!(!applied.is_report_due(), "not applied yet");
        applied.push_applied(Revision(1000), (1..=1000).map(changed).collect());
        let (revision, due) = applied.take();
        assert_eq!(revision, Revision(1000));
        let latest = (1000 - SAMPLE + 1..=1000).chain([3]).map(name);
        assert_eq!(names(&due), latest.collect::<Vec<_>>());
        assert!(!applied.is_report_due());
        assert_eq!(applied.take().1, []);
    }

    #[test]
    fn early_requests_wait_and_large_requests_are_batched() {
        let applied = ProofQueue::default();
        applied.request(&[name(7)], Revision(7));
        applied.push_applied(Revision(6), vec![changed(6)]);
        assert_eq!(names(&applied.take().1), [name(6)]);
        // Nothing that this edge serves changed, but the revision is reached.
        applied.push_applied(Revision(7), Vec::new());
        assert!(applied.is_report_due());
        assert_eq!(names(&applied.take().1), [name(7)]);

        let many: Vec<DomainPattern> = (0..2 * REQUESTED_MAX).map(name).collect();
        applied.request(&many, Revision(1));
        let mut read = Vec::new();
        while applied.is_report_due() {
            let due = applied.take().1;
            assert!(due.len() <= REQUESTED_AT_A_TIME);
            read.extend(names(&due));
        }
        assert_eq!(read, many[REQUESTED_MAX..]);
    }

    #[test]
    fn a_domain_is_due_once_with_its_latest_change() {
        let applied = ProofQueue::default();
        let second = AppliedChange {
            revision: Revision(2),
            ..changed(1)
        };
        applied.request(&[name(1)], Revision(1));
        applied.push_applied(Revision(1), vec![changed(1)]);
        applied.push_applied(Revision(2), vec![second.clone()]);
        let due = applied.take().1;
        assert_eq!(due, [PendingProof::new(second)]);
        // What failed is not tried again in place of a later change.
        applied.push_applied(Revision(3), vec![changed(1)]);
        applied.retry(due[0].clone());
        assert_eq!(applied.take().1, [PendingProof::new(changed(1))]);
    }
}
