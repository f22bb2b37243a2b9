//! What the operator asks of the key-encryption keys. Who keeps them implements it; the actions only
//! speak.

use async_trait::async_trait;
use edgeseal_store::{Fault, reseal::SealedCounts, seal::KeyId};

/// The keeper of the key-encryption keys of this process.
#[async_trait]
pub trait KeyEncryption: Send + Sync {
    /// Begins to seal with a new key, and has everything sealed anew in the background.
    ///
    /// # Errors
    /// [`KeyEncryptionError`]; nothing has changed then.
    async fn rotate(&self) -> Result<KeyId, KeyEncryptionError>;

    /// Opens with a key no more, and takes it from where the keys are kept, if that is a file.
    /// Returns where the operator still has to remove it.
    ///
    /// # Errors
    /// [`KeyEncryptionError`]; nothing has changed then.
    async fn retire(&self, id: KeyId) -> Result<Vec<String>, KeyEncryptionError>;

    /// How things stand.
    fn status(&self) -> KeyEncryptionStatus;

    /// Counts what is sealed under which key: reads every sealed record.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    async fn census(&self) -> Result<SealedCounts, Fault>;
}

/// How things stand with the key-encryption keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEncryptionStatus {
    /// The keys that this process has; the first one seals.
    pub keys: Vec<KeyId>,
    /// Where they come from, for people.
    pub sources: Vec<String>,
    /// What the sealing anew is at.
    pub resealing: ResealProgress,
}

/// What the sealing anew is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealProgress {
    /// Its state.
    pub state: ResealState,
    /// Sealed records that the present pass has opened.
    pub opened: u64,
    /// Records sealed anew since the process began with this.
    pub resealed: u64,
    /// Sealed values that did not open in the present pass.
    pub unopened: u64,
    /// What is in the way; empty if nothing.
    pub error: String,
}

/// States of the sealing anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResealState {
    /// Everything is known to be under the key that seals.
    #[default]
    Finished,
    /// Under way.
    Running,
    /// Everything that opens is under the key that seals; the rest is [`Resealing::unopened`].
    Stuck,
}

impl ResealState {
    /// As the wire spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "Finished",
            Self::Running => "Running",
            Self::Stuck => "Stuck",
        }
    }
}

/// Why the keys stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum KeyEncryptionError {
    /// The last rotation is not done.
    #[error("what is sealed is still being brought under key {under}; wait until that is finished")]
    Resealing {
        /// The key that seals.
        under: KeyId,
    },
    /// The source has no other first key than before.
    #[error("{source_name} still begins with key {active}; {advice}")]
    NoNewKey {
        /// Where the keys come from.
        source_name: String,
        /// The key that seals.
        active: KeyId,
        /// What to do.
        advice: &'static str,
    },
    /// The source cannot be read or written, or lacks a key that is in use.
    #[error("{why}")]
    Source {
        /// What is wrong with it.
        why: String,
    },
    /// The key seals.
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
    /// Something is sealed under it.
    #[error("{records} records are sealed under key {id}; without it they could not be opened")]
    InUse {
        /// The key.
        id: KeyId,
        /// How many.
        records: u64,
    },
    /// There are records of which nobody can say what they are sealed under.
    #[error(
        "{records} sealed records do not read, so nobody knows that none of them needs key {id}; see edgeseal doctor"
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
