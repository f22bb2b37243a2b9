//! Queues of transactions that conflict on one key.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::Key;

/// Queues for transactions that conflicted, one for each class of keys. First come, first served,
/// so that each of many changes of one key succeeds in turn instead of conflicting forever.
pub(super) struct Queues {
    classes: [Mutex<()>; 64],
    hasher: RandomState,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            classes: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }
}

impl Queues {
    /// Waits in the queue for `key`; the turn lasts as long as the guard.
    pub(super) async fn join(&self, key: &Key) -> MutexGuard<'_, ()> {
        let class = self.hasher.hash_one(key) % self.classes.len() as u64;
        self.classes[usize::try_from(class).unwrap_or_default()]
            .lock()
            .await
    }
}
