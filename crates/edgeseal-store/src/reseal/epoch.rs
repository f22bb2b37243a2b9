//! Which key seals, where several processes share a store: the store says so, not the order of the
//! keys at one of them.
//!
//! A rotation has two steps. [`SealingEpoch::propose`] names the next key; each process then loads
//! it and reports that it has it. Once all have, one of them lets it seal
//! ([`SealingEpoch::advance`]), and each follows. So no process meets a value that it cannot open.

use edgeseal_core::Timestamp;

use super::{ResealRecord, record};
use crate::{CommitError, Entry, Expect, Fault, Key, Source, Store, Txn, Write, seal::KeyId};

/// The keys that the store names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingEpoch {
    /// The key that seals.
    pub under: KeyId,
    /// Whether resealing under it has begun: what is stored under another key from then on may be
    /// missed.
    pub has_begun: bool,
    /// Whether everything is sealed under it.
    pub is_finished: bool,
    /// The key that is to follow.
    pub next: Option<KeyId>,
    stored: Entry,
}

/// Why the keys that the store names stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// Another process changed them meanwhile.
    #[error("another process changed the key-encryption keys at the same time")]
    Changed,
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl SealingEpoch {
    /// What the store names; `None` before the first process has sealed anything.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn read(store: &dyn Source) -> Result<Option<Self>, Fault> {
        let Some(stored) = store.get(&Key::reseal_marker()).await? else {
            return Ok(None);
        };
        let record: ResealRecord = record::decode(&stored.value)?;
        let unknown = Fault::new("decode the id of a key-encryption key");
        Ok(Some(Self {
            under: KeyId::parse(&record.under).ok_or(unknown)?,
            has_begun: record.begun,
            is_finished: record.finished.is_some(),
            next: record.next.as_deref().and_then(KeyId::parse),
            stored,
        }))
    }

    /// What the store names; `active` if this is the first process.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn read_or_begin(store: &dyn Store, active: KeyId) -> Result<Self, Fault> {
        loop {
            if let Some(found) = Self::read(store).await? {
                return Ok(found);
            }
            match write(store, None, active).await {
                // Another process may have been faster.
                Ok(()) | Err(EpochError::Changed) => {}
                Err(EpochError::Fault(fault)) => return Err(fault),
            }
        }
    }

    /// Names the key that is to seal once every process has it. The present one must be finished.
    ///
    /// # Errors
    /// [`EpochError`]; then nothing has changed.
    pub async fn propose(&self, store: &dyn Store, next: KeyId) -> Result<(), EpochError> {
        let mut record: ResealRecord = record::decode(&self.stored.value)?;
        record.next = Some(next.to_string());
        put(store, Some(&self.stored), &record).await.map(drop)
    }

    /// Lets `next` seal, and marks everything to be resealed under it.
    ///
    /// # Errors
    /// [`EpochError`]; then nothing has changed.
    pub async fn advance(&self, store: &dyn Store, next: KeyId) -> Result<(), EpochError> {
        write(store, Some(&self.stored), next).await
    }

    /// Marks everything to be resealed under the key that seals: resealing begins now, or once more.
    /// Returns the changed marker, which only one of several processes gets. Everything that this process handed to the store before
    /// is visible then.
    ///
    /// # Errors
    /// [`EpochError`]; then nothing has changed.
    pub async fn restart(self, store: &dyn Store) -> Result<Self, EpochError> {
        let stored = self.put_finished(store, None).await?;
        Ok(Self {
            has_begun: true,
            is_finished: false,
            stored,
            ..self
        })
    }

    /// Records that everything is sealed under the key that seals, if nobody has changed the marker
    /// since it was read.
    ///
    /// # Errors
    /// [`EpochError`]; then nothing has changed.
    pub async fn finish(&self, store: &dyn Store, now: Timestamp) -> Result<(), EpochError> {
        self.put_finished(store, Some(now)).await.map(drop)
    }

    async fn put_finished(
        &self,
        store: &dyn Store,
        finished: Option<Timestamp>,
    ) -> Result<Entry, EpochError> {
        let mut record: ResealRecord = record::decode(&self.stored.value)?;
        record.begun = true;
        record.finished = finished;
        put(store, Some(&self.stored), &record).await
    }
}

async fn write(store: &dyn Store, stored: Option<&Entry>, under: KeyId) -> Result<(), EpochError> {
    let record = ResealRecord {
        under: under.to_string(),
        begun: false,
        finished: None,
        next: None,
    };
    put(store, stored, &record).await.map(drop)
}

async fn put(
    store: &dyn Store,
    stored: Option<&Entry>,
    record: &ResealRecord,
) -> Result<Entry, EpochError> {
    let marker = Key::reseal_marker();
    let value = record::encode(record)?;
    let txn = Txn {
        expect: vec![Expect::same_as(marker.clone(), stored)],
        write: vec![Write::put(marker.clone(), value.clone())],
        ..Txn::default()
    };
    match store.commit(txn).await {
        Ok(revision) => Ok(Entry {
            key: marker,
            value,
            revision,
        }),
        Err(CommitError::Conflict { .. }) => Err(EpochError::Changed),
        Err(CommitError::Fault(fault)) => Err(fault.into()),
    }
}
