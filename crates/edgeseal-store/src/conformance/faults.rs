//! A store that is hard to use: operations fail, commits are answered with a fault although they were
//! made, or late; the change log is compacted under its readers, and one of them is not woken.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_testing::random::SplitMix;

use super::{delete, put, writes};
use crate::{
    CommitError, Fault, Revision, SharedStore,
    observed_store::{Observe, ObservedStore, Operation},
};

/// Faults at random, the same for the same seed.
pub(crate) struct Faults {
    inner: SharedStore,
    random: Mutex<SplitMix>,
    /// How often the log is compacted yet: a listing must come to its end at last.
    compactions: AtomicUsize,
    /// Whether a call of `changes` was left without an answer.
    was_silent: AtomicBool,
}

impl Faults {
    /// A store over `inner` with faults.
    pub(crate) fn over(inner: &SharedStore, seed: u64) -> SharedStore {
        let faults = Self {
            inner: inner.clone(),
            random: Mutex::new(SplitMix(seed)),
            compactions: AtomicUsize::new(12),
            was_silent: AtomicBool::new(false),
        };
        ObservedStore::over(inner.clone(), faults)
    }

    fn one_in(&self, n: usize) -> bool {
        self.random.lock().unwrap().below(n) == 0
    }
}

#[async_trait]
impl Observe for Faults {
    /// A commit that fails here was not made.
    fn before(&self, _: Operation<'_>) -> Result<(), Fault> {
        if self.one_in(10) {
            return Err(Fault::new("have a fault"));
        }
        Ok(())
    }

    async fn hold(&self, operation: Operation<'_>) {
        if !matches!(operation, Operation::List(_) | Operation::Changes) {
            return;
        }
        let left = |n: usize| n.checked_sub(1);
        if self.one_in(4)
            && self
                .compactions
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, left)
                .is_ok()
        {
            // More deletes than the log keeps.
            for n in 0..super::TOMBSTONES_KEPT {
                let name = format!("tombstone/{n}");
                let _ = self.inner.commit(writes([put(&name, "1")])).await;
                let _ = self.inner.commit(writes([delete(&name)])).await;
            }
            let _ = self.inner.sweep(Timestamp::default()).await;
        }
        let is_watch = matches!(operation, Operation::Changes);
        if is_watch && self.one_in(8) && !self.was_silent.swap(true, Ordering::AcqRel) {
            std::future::pending::<()>().await;
        }
    }

    async fn answer(
        &self,
        outcome: Result<Revision, CommitError>,
    ) -> Result<Revision, CommitError> {
        let turns = self.random.lock().unwrap().below(20);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if outcome.is_ok() && self.one_in(6) {
            return Err(Fault::new("hear of a commit that was made").into());
        }
        outcome
    }
}
