//! When access keys were last used, to the hour.
//!
//! A call only looks into memory. The first use of a key in an hour is written into the store
//! beside the calls, by whichever node saw it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use edgeseal_core::Timestamp;
use edgeseal_store::{Catalog, Fault};
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::operation::error_chain;

/// Keys remembered at this node; past that, all are forgotten and written again at their next use.
const KEYS_MAX: usize = 1 << 16;
/// First uses that wait to be written. What does not fit is written at a later use.
const QUEUE_MAX: usize = 1024;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// The uses that this node has seen.
pub(crate) struct KeyUses {
    seen: Seen,
    writes: mpsc::Sender<(String, Timestamp)>,
}

type Seen = Arc<Mutex<HashMap<String, Timestamp>>>;

impl KeyUses {
    /// Uses that are written into `catalog` by the future, which ends once they are gone and the
    /// last one is written.
    pub(crate) fn new(catalog: Catalog) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (writes, waiting) = mpsc::channel(QUEUE_MAX);
        let seen = Seen::default();
        let writer = write(catalog, Arc::clone(&seen), waiting);
        (Self { seen, writes }, writer)
    }

    /// A call was signed with a key. Never waits.
    pub(crate) fn record(&self, key: &str, now: Timestamp) {
        let hour = hour_of(now);
        let mut seen = lock(&self.seen);
        if seen.get(key).is_some_and(|known| *known >= hour) {
            return;
        }
        if self.writes.try_send((key.to_owned(), hour)).is_ok() {
            if seen.len() >= KEYS_MAX {
                seen.clear();
            }
            seen.insert(key.to_owned(), hour);
        }
    }

    /// The hour in which a key was last used, at any node.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub(crate) async fn last_used(
        &self,
        catalog: &Catalog,
        key: &str,
    ) -> Result<Option<Timestamp>, Fault> {
        let stored = catalog.access_key_last_used(key).await?;
        let seen = lock(&self.seen).get(key).copied();
        Ok(stored.max(seen))
    }
}

async fn write(catalog: Catalog, seen: Seen, mut waiting: mpsc::Receiver<(String, Timestamp)>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, 256).await > 0 {
        // At once, so that the store commits them together.
        let writes = batch
            .iter()
            .map(|(key, hour)| catalog.record_access_key_use(key, *hour));
        for ((key, _), result) in batch.iter().zip(join_all(writes).await) {
            if let Err(fault) = result {
                // The next use tries again.
                lock(&seen).remove(key);
                tracing::warn!(
                    why = error_chain(&fault),
                    "the use of an access key could not be written"
                );
            }
        }
        batch.clear();
    }
}

const fn hour_of(now: Timestamp) -> Timestamp {
    let ms = now.unix_ms();
    Timestamp::from_unix_ms(ms - ms.rem_euclid(HOUR_MS))
}

fn lock(seen: &Mutex<HashMap<String, Timestamp>>) -> MutexGuard<'_, HashMap<String, Timestamp>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
