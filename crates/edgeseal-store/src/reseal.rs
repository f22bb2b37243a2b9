//! Everything that is sealed, brought under the key that seals now, while all goes on.
//!
//! A *pass* goes through every record of every kind in [`SEALED_KINDS`], opens it, and seals anew
//! what is under another key: one transaction for each record, which expects it unchanged, so that
//! no change of anybody is lost. Passes follow one another until one of them finds nothing to do:
//! that one is the proof. A pass is paced, so that callers are not held up.
//!
//! [`begin`] writes down under which key everything is to be, [`finish`] that it is. Between the two
//! lies whatever the process lived through: the next one finds [`is_finished`] false and starts over,
//! which costs a look at what is done already.

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    CommitError, Entry, Expect, Fault, Key, Keyring, Store, Txn, Write, record, seal::KeyId,
};

mod kinds;

pub use kinds::{SEALED_KINDS, SealedKind};

/// How many records are sealed under which key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedCounts {
    /// By key, then by the name of the kind.
    pub records: BTreeMap<KeyId, BTreeMap<&'static str, u64>>,
    /// Records that do not read: nobody can say what they are sealed under.
    pub unreadable: u64,
}

/// What a pass has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealPass {
    /// Sealed values looked at and opened.
    pub opened: u64,
    /// Of these, sealed anew.
    pub resealed: u64,
    /// Of these, changed by somebody else meanwhile: the next pass looks again.
    pub conflicts: u64,
    /// Records whose sealed value does not open or read.
    pub failed: u64,
    /// The first of them, with the reason.
    pub first_failure: Option<(Key, String)>,
}

/// Under which key everything is, or is to be.
#[derive(Serialize, Deserialize)]
struct ResealRecord {
    under: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished: Option<Timestamp>,
}

/// Records read at once.
const PAGE: usize = 256;
/// Records written at once.
const BATCH_MAX: u32 = 64;
/// Batches a second, as far as the pace allows: a caller waits behind one at most.
const BATCHES_PER_SECOND: u32 = 20;

/// Counts what is sealed.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn count_sealed(store: &dyn Store) -> Result<SealedCounts, Fault> {
    let mut census = SealedCounts::default();
    for kind in SEALED_KINDS {
        let mut after = None;
        loop {
            let page = store.list(kind.prefix, after.as_ref(), PAGE).await?;
            for entry in &page.entries {
                census.count(kind, &entry.value);
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.has_more {
                break;
            }
        }
    }
    Ok(census)
}

/// Whether everything is known to be sealed under the key that seals now.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn is_finished(store: &dyn Store, keyring: &Keyring) -> Result<bool, Fault> {
    Ok(finished_under(store).await? == Some(keyring.active()))
}

/// The key that everything is known to be sealed under; `None` if there is no such key, or a change
/// to another one is under way.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn finished_under(store: &dyn Store) -> Result<Option<KeyId>, Fault> {
    let Some(entry) = store.get(&marker()).await? else {
        return Ok(None);
    };
    let record: ResealRecord = record::decode(&entry.value)?;
    Ok(record.finished.and_then(|_| KeyId::parse(&record.under)))
}

/// Writes down that everything is to be sealed under `under`.
///
/// Done before anything is sealed under it, so that no process takes a store for finished in which
/// something is under another key. What was handed to the store before is visible once this returns.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn begin(store: &dyn Store, under: KeyId) -> Result<(), Fault> {
    write_marker(store, under, None).await
}

/// Writes down that everything is sealed under `under`.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn finish(store: &dyn Store, under: KeyId, now: Timestamp) -> Result<(), Fault> {
    write_marker(store, under, Some(now)).await
}

/// Seals anew what is under another key than the one that seals, `per_second` records a second at
/// most. `tell` hears of each step.
///
/// # Errors
/// A [`Fault`] if the store failed; what was done until then stays done.
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
        let mut after = None;
        loop {
            let began = Instant::now();
            let page = store.list(kind.prefix, after.as_ref(), PAGE).await?;
            let mut writes = Vec::new();
            for entry in &page.entries {
                writes.extend(pass.inspect(kind, keyring, entry));
            }
            on_progress(&pass);
            // As long as it took: at most half of the time of whoever reads.
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
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.has_more {
                break;
            }
        }
    }
    Ok(pass)
}

impl SealedCounts {
    /// How many records are under a key.
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
    /// Whether it found everything as it should be.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.resealed == 0 && self.conflicts == 0
    }

    /// Opens a record; the change of it, if it is under another key.
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

    /// Commits some changes at once.
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

/// What was found in a record.
enum Inspection {
    /// No sealed value.
    NoSealedValue,
    /// One that is under the key that seals.
    UpToDate,
    /// One that was under another key, sealed anew.
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
    }))
}

/// What is wrong with a record, without the frame of a store failure around it.
fn reason(fault: &Fault) -> String {
    match &fault.cause {
        Some(cause) => format!("{}: {cause}", fault.operation),
        None => fault.operation.to_owned(),
    }
}

async fn write_marker(
    store: &dyn Store,
    under: KeyId,
    finished: Option<Timestamp>,
) -> Result<(), Fault> {
    let record = ResealRecord {
        under: under.to_string(),
        finished,
    };
    let write = Write::Put {
        key: marker(),
        value: record::encode(&record)?,
        expires: None,
    };
    let txn = Txn {
        expect: Vec::new(),
        write: vec![write],
    };
    match store.commit(txn).await {
        Ok(_) => Ok(()),
        Err(CommitError::Conflict { .. }) => Err(Fault::new("mark: nothing was expected")),
        Err(CommitError::Fault(fault)) => Err(fault),
    }
}

fn marker() -> Key {
    Key::meta("resealed")
}

#[cfg(test)]
mod tests;
