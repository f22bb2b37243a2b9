//! Resealing: re-encrypts every sealed value under the active key-encryption key, without downtime.
//!
//! A *pass* visits every record of every kind in [`SEALED_KINDS`], unseals it, and reseals it if it
//! is under another key: one transaction per record, which expects it unchanged, so that no
//! concurrent change is lost. Passes are repeated until one finds nothing to do, which proves
//! completion. Passes are paced, so that callers are not delayed.
//!
//! [`begin`] records the key under which everything is to be sealed, [`SealingEpoch::finish`] that it
//! is. If the process stops in between, the next one finds [`is_finished`] false and starts over,
//! which only costs reading what is done already.

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    CommitError, Entry, Expect, Fault, Key, Keyring, Pages, Source, Store, Txn, Write, record,
    seal::KeyId, write_all,
};

mod epoch;
mod kinds;

pub use epoch::{EpochError, SealingEpoch};
pub use kinds::{SEALED_KINDS, SealedKind};

/// How many records are sealed under each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedCounts {
    /// By key, then by kind name.
    pub records: BTreeMap<KeyId, BTreeMap<&'static str, u64>>,
    /// Records that cannot be decoded, so their key is unknown.
    pub unreadable: u64,
}

/// The result of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealPass {
    /// Sealed values that were unsealed.
    pub opened: u64,
    /// Of these, resealed.
    pub resealed: u64,
    /// Of these, changed concurrently: the next pass visits them again.
    pub conflicts: u64,
    /// Records whose sealed value cannot be unsealed or decoded.
    pub failed: u64,
    /// The first of these failures, with the reason.
    pub first_failure: Option<(Key, String)>,
}

/// The key under which everything is sealed, or is to be.
#[derive(Serialize, Deserialize)]
struct ResealRecord {
    under: String,
    /// Whether a process has begun to reseal.
    #[serde(default)]
    begun: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished: Option<Timestamp>,
    /// The key that is to follow, once every process on the store has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Records read at once.
const PAGE: usize = 256;
/// Records written at once.
const BATCH_MAX: u32 = 64;
/// Most batches per second, if the pace allows: a caller waits for one at most.
const BATCHES_PER_SECOND: u32 = 20;

/// Counts the sealed values by key.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn count_sealed(store: &dyn Source) -> Result<SealedCounts, Fault> {
    let mut census = SealedCounts::default();
    for kind in SEALED_KINDS {
        let mut pages = Pages::new(store, kind.prefix, PAGE);
        while let Some(entries) = pages.next().await? {
            for entry in &entries {
                census.count(kind, &entry.value);
            }
        }
    }
    Ok(census)
}

/// Whether everything is known to be sealed under the active key.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn is_finished(store: &dyn Source, keyring: &Keyring) -> Result<bool, Fault> {
    Ok(finished_under(store).await? == Some(keyring.active()))
}

/// The key under which everything is known to be sealed; `None` if there is no such key, or a
/// change to another one is in progress.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn finished_under(store: &dyn Source) -> Result<Option<KeyId>, Fault> {
    Ok(finished_at(store).await?.map(|(key, _)| key))
}

/// As [`finished_under`], with the time from which on that was known.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn finished_at(store: &dyn Source) -> Result<Option<(KeyId, Timestamp)>, Fault> {
    let Some(entry) = store.get(&Key::reseal_marker()).await? else {
        return Ok(None);
    };
    let record: ResealRecord = record::decode(&entry.value)?;
    let finished = record.finished;
    Ok(finished.and_then(|at| Some((KeyId::parse(&record.under)?, at))))
}

/// Records that everything is to be sealed under `under`.
///
/// Called before anything is sealed under that key, so that no process considers a store finished
/// that contains values under another key. Everything handed to the store before is visible once
/// this returns. It replaces whatever the store says: only for a process that owns the store;
/// several that share it use [`SealingEpoch`].
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn begin(store: &dyn Store, under: KeyId) -> Result<(), Fault> {
    let record = ResealRecord {
        under: under.to_string(),
        begun: false,
        finished: None,
        next: None,
    };
    let marker = Write::put(Key::reseal_marker(), record::encode(&record)?);
    write_all(store, vec![marker]).await?;
    Ok(())
}

/// Reseals what is under another key than the active one, at most `per_second` records a second.
/// Calls `on_progress` after each step.
///
/// # Errors
/// A [`Fault`] if the store failed; records resealed by then stay so.
pub async fn pass(
    store: &dyn Store,
    keyring: &Keyring,
    per_second: u32,
    mut on_progress: impl FnMut(&ResealPass) + Send,
) -> Result<ResealPass, Fault> {
    let per_second = per_second.max(1);
    let batch = (per_second / BATCHES_PER_SECOND).clamp(1, BATCH_MAX);
    let mut pass = ResealPass::default();
    for kind in SEALED_KINDS {
        let mut pages = Pages::new(store, kind.prefix, PAGE);
        loop {
            let began = Instant::now();
            let Some(entries) = pages.next().await? else {
                break;
            };
            let mut writes = Vec::new();
            for entry in &entries {
                writes.extend(pass.inspect(kind, keyring, entry));
            }
            on_progress(&pass);
            // Sleeps as long as the batch took: readers get at least half of the time.
            sleep(began.elapsed()).await;
            while !writes.is_empty() {
                let began = Instant::now();
                let rest = writes.split_off(writes.len().min(batch as usize));
                let written = u32::try_from(writes.len()).unwrap_or(BATCH_MAX);
                pass.write(store, writes).await?;
                writes = rest;
                on_progress(&pass);
                let pause = Duration::from_secs(1) * written / per_second;
                sleep(pause.max(began.elapsed())).await;
            }
        }
    }
    Ok(pass)
}

impl SealedCounts {
    /// How many records are sealed under a key.
    #[must_use]
    pub fn under(&self, id: KeyId) -> u64 {
        self.records
            .get(&id)
            .map_or(0, |kinds| kinds.values().sum())
    }

    fn count(&mut self, kind: &SealedKind, value: &[u8]) {
        match kind.sealed(value) {
            Ok(None) => {}
            Ok(Some(sealed)) => match KeyId::of_sealed(&sealed) {
                Some(id) => {
                    *self
                        .records
                        .entry(id)
                        .or_default()
                        .entry(kind.name)
                        .or_default() += 1
                }
                None => self.unreadable += 1,
            },
            Err(_) => self.unreadable += 1,
        }
    }
}

impl ResealPass {
    /// Whether it found nothing to do and nothing wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.resealed == 0 && self.conflicts == 0
    }

    /// Unseals a record; returns the transaction to reseal it, if it is under another key.
    fn inspect(&mut self, kind: &SealedKind, keyring: &Keyring, entry: &Entry) -> Option<Txn> {
        match reseal_one(kind, keyring, entry) {
            Ok(Inspection::NoSealedValue) => None,
            Ok(Inspection::UpToDate) => {
                self.opened += 1;
                None
            }
            Ok(Inspection::Resealed(txn)) => {
                self.opened += 1;
                Some(txn)
            }
            Err(why) => {
                self.failed += 1;
                if self.first_failure.is_none() {
                    self.first_failure = Some((entry.key.clone(), why));
                }
                None
            }
        }
    }

    /// Commits several transactions concurrently.
    async fn write(&mut self, store: &dyn Store, txns: Vec<Txn>) -> Result<(), Fault> {
        let commits: Vec<_> = txns.into_iter().map(|txn| store.commit(txn)).collect();
        for result in futures_util::future::join_all(commits).await {
            match result {
                Ok(_) => self.resealed += 1,
                Err(CommitError::Conflict { .. }) => self.conflicts += 1,
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Ok(())
    }
}

/// What a record contains.
enum Inspection {
    /// No sealed value.
    NoSealedValue,
    /// One that is under the key that seals.
    UpToDate,
    /// One that was under another key, resealed.
    Resealed(Txn),
}

fn reseal_one(kind: &SealedKind, keyring: &Keyring, entry: &Entry) -> Result<Inspection, String> {
    let Some(sealed) = kind.sealed(&entry.value).map_err(|fault| reason(&fault))? else {
        return Ok(Inspection::NoSealedValue);
    };
    let opened = keyring.open(&sealed, &entry.key);
    let plain = opened.map_err(|why| why.to_string())?;
    if KeyId::of_sealed(&sealed) == Some(keyring.active()) {
        return Ok(Inspection::UpToDate);
    }
    let sealed = keyring.seal(&plain, &entry.key);
    let value = kind.replace_sealed(&entry.value, sealed);
    let expires = kind.expires(&entry.value);
    Ok(Inspection::Resealed(Txn {
        expect: vec![Expect::Unchanged(entry.key.clone(), entry.revision)],
        write: vec![Write::Put {
            key: entry.key.clone(),
            value: value.map_err(|fault| reason(&fault))?,
            expires: expires.map_err(|fault| reason(&fault))?,
        }],
        ..Txn::default()
    }))
}

/// The reason of a failure, without the store failure's prefix.
fn reason(fault: &Fault) -> String {
    match &fault.cause {
        Some(cause) => format!("{}: {cause}", fault.operation),
        None => fault.operation.to_owned(),
    }
}

#[cfg(test)]
mod tests;
