//! Operations on the key-encryption keys. The component that manages the keys implements the trait;
//! the actions only call it.

use async_trait::async_trait;
use edgeseal_store::{Fault, reseal::SealedCounts, seal::KeyId};

/// Manages the key-encryption keys of this process.
#[async_trait]
pub trait KeyEncryption: Send + Sync {
    /// Switches to a new sealing key, and reseals everything in the background.
    ///
    /// # Errors
    /// [`KeyEncryptionError`]; then nothing has changed.
    async fn rotate(&self) -> Result<KeyId, KeyEncryptionError>;

    /// Stops using a key, and removes it from the key file, if there is one. Returns where the
    /// operator still has to remove it.
    ///
    /// # Errors
    /// [`KeyEncryptionError`]; then nothing has changed.
    async fn retire(&self, id: KeyId) -> Result<Vec<String>, KeyEncryptionError>;

    /// The status of the keys.
    fn status(&self) -> KeyEncryptionStatus;

    /// Counts the records sealed under each key: reads every sealed record.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn census(&self) -> Result<SealedCounts, Fault>;
}

/// The status of the key-encryption keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEncryptionStatus {
    /// The keys of this process; the first one seals.
    pub keys: Vec<KeyId>,
    /// Where they come from, human-readable.
    pub sources: Vec<String>,
    /// Progress of resealing.
    pub resealing: ResealProgress,
}

/// Progress of resealing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealProgress {
    /// Its state.
    pub state: ResealState,
    /// Sealed records that the current pass has opened.
    pub opened: u64,
    /// Records resealed since this process began resealing.
    pub resealed: u64,
    /// Sealed values that could not be opened in the current pass.
    pub unopened: u64,
    /// The current error; empty if there is none.
    pub error: String,
}

/// States of resealing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResealState {
    /// Everything is sealed under the current key.
    #[default]
    Finished,
    /// In progress.
    Running,
    /// All records that could be opened are sealed under the current key; the others are counted in
    /// [`ResealProgress::unopened`].
    Stuck,
}

impl ResealState {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "Finished",
            Self::Running => "Running",
            Self::Stuck => "Stuck",
        }
    }
}

/// Why the keys stay unchanged.
#[derive(Debug, thiserror::Error)]
pub enum KeyEncryptionError {
    /// The last rotation is not complete.
    #[error("records are still being resealed under key {under}; wait until that is complete")]
    Resealing {
        /// The sealing key.
        under: KeyId,
    },
    /// The first key of the source is unchanged.
    #[error("{source_name} still begins with key {active}; {advice}")]
    NoNewKey {
        /// Where the keys come from.
        source_name: String,
        /// The sealing key.
        active: KeyId,
        /// Advice to the operator.
        advice: &'static str,
    },
    /// The source cannot be read or written, or lacks a key that is in use.
    #[error("{reason}")]
    Source {
        /// The cause.
        reason: String,
    },
    /// The key is the sealing key.
    #[error("key {id} is the one that seals; rotate first")]
    Active {
        /// The key.
        id: KeyId,
    },
    /// There is no such key.
    #[error("this Edgeseal has no key-encryption key {id}")]
    Unknown {
        /// The key.
        id: KeyId,
    },
    /// Records are sealed under the key.
    #[error("{records} records are sealed under key {id}; without it they could not be opened")]
    InUse {
        /// The key.
        id: KeyId,
        /// How many.
        records: u64,
    },
    /// Some records cannot be decoded, so their key is unknown.
    #[error(
        "{records} sealed records cannot be decoded, so any of them may need key {id}; see edgeseal doctor"
    )]
    Unreadable {
        /// The key.
        id: KeyId,
        /// How many.
        records: u64,
    },
    /// The store failed.
    #[error("the store failed")]
    Fault(#[from] Fault),
}
