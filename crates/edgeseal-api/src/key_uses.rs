//! When access keys were last used, to the hour.
//!
//! A call only reads memory. The first use of a key in an hour is written to the store in the
//! background, by the node that saw it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use edgeseal_core::Timestamp;
use edgeseal_store::{Catalog, Fault};
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::error::error_chain;

/// Most keys remembered at this node; beyond that, all are forgotten and written again on next use.
const KEYS_MAX: usize = 1 << 16;
/// Capacity of the write queue. A use that does not fit is written on a later call.
const QUEUE_MAX: usize = 1024;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// The uses that this node has seen.
pub(crate) struct KeyUses {
    seen: Seen,
    writes: mpsc::Sender<(String, Timestamp)>,
}

type Seen = Arc<Mutex<HashMap<String, Timestamp>>>;

impl KeyUses {
    /// The future writes uses to `catalog`; it ends once the `KeyUses` is dropped and the last use
    /// is written.
    pub(crate) fn new(catalog: Catalog) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (writes, waiting) = mpsc::channel(QUEUE_MAX);
        let seen = Seen::default();
        let writer = write(catalog, Arc::clone(&seen), waiting);
        (Self { seen, writes }, writer)
    }

    /// Records that a key signed a call. Never blocks.
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
        // Concurrently, so that the store commits them together.
        let writes = batch
            .iter()
            .map(|(key, hour)| catalog.record_access_key_use(key, *hour));
        for ((key, _), result) in batch.iter().zip(join_all(writes).await) {
            if let Err(fault) = result {
                // The next use retries.
                lock(&seen).remove(key);
                tracing::warn!(
                    error = error_chain(&fault),
                    "cannot record the use of an access key"
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
