//! Typed reads and writes over the store.
//!
//! Reads are methods of [`Catalog`]. Every write goes through [`Catalog::transact`]: a closure
//! reads and decides on a [`Draft`], then the catalog commits the draft, and calls the closure
//! again if another commit intervened. The commit expects everything that the draft read to be
//! unchanged, so a decision on it is never based on stale data.

mod accounts;
mod alarms;
mod audit;
mod audit_context;
mod certificates;
mod challenges;
mod counts;
mod deployments;
mod domains;
mod draft;
mod edges;
mod identities;
mod ids;
mod issuer_counts;
mod issuers;
mod key_uses;
mod listing;
mod managed_certificates;
mod origin_permissions;
mod original_pem;
mod outside;
mod queues;
mod revocations;
mod signing_requests;
mod summaries;
mod superseded;
mod uses;

use std::{future::Future, sync::Arc};

use edgeseal_core::Timestamp;
use serde::de::DeserializeOwned;

use crate::{
    CommitError, Entry, Fault, Key, Keyring, PAGE_MAX, Pages, Revision, SharedStore, Txn, record,
};

pub(crate) use accounts::access_key_index;
pub use accounts::{AccountError, KeyOwner, NewAccessKey, ROOT_ACCOUNT_NAME, random_account_id};
pub use audit::{AuditPage, AuditQuery};
pub use audit_context::{AuditContext, NonceUse};
pub(crate) use certificates::Pointer;
pub use challenges::{CONFIRM_WITHIN_MS, ChallengeConfirmation};
pub use counts::{AddError, CountCorrection};
pub use deployments::DEPLOYMENTS_MAX;
pub use domains::HistoryPage;
pub(crate) use domains::{DELETED_DOMAIN_TTL_MS, bound_certificates, subdomain_key};
pub use draft::Draft;
pub use identities::{IdentityError, IdentitySnapshot, PolicyHolders, random_identity_id};
pub use ids::IdAllocator;
pub use listing::Pagination;
pub use origin_permissions::{AccountUpdate, PrivateOriginsOverride};
use queues::Queues;
pub(crate) use signing_requests::SIGNING_REQUEST_TTL_MS;
pub use superseded::SUPERSEDED_MAX;

/// Most attempts of a transaction that conflicts.
const ATTEMPTS: u32 = 16;

/// Typed access to a store. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    store: SharedStore,
    keyring: Keyring,
    ids: Arc<IdAllocator>,
    queues: Arc<Queues>,
}

/// A durable change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// The result of the change.
    pub value: T,
    /// The commit.
    pub revision: Revision,
}

/// Why a change was not made. Nothing was written, except possibly after a [`Fault`].
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<R> {
    /// A rule forbids it.
    #[error("a rule forbids it")]
    Refused(R),
    /// The nonce of the call was used before.
    #[error("the nonce was used before")]
    NonceUsed,
    /// It conflicted with other changes too often.
    #[error("it lost its race against other changes too often")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Catalog {
    /// A catalog over `store` that seals secrets with `keyring`.
    #[must_use]
    pub fn new(store: SharedStore, keyring: Keyring) -> Self {
        let ids = Arc::new(IdAllocator::new(Arc::clone(&store)));
        Self {
            store,
            keyring,
            ids,
            queues: Arc::default(),
        }
    }

    /// The underlying store.
    #[must_use]
    pub const fn store(&self) -> &SharedStore {
        &self.store
    }

    /// The keyring that seals secrets.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Makes one change on behalf of `audit`, together with its audit record and, if it has one,
    /// its nonce.
    ///
    /// `decide` gets a fresh [`Draft`] and returns it filled. It is called again if another commit
    /// changed what it read, so it must depend only on the draft and its arguments.
    ///
    /// # Errors
    /// [`ChangeError`]; errors of `decide` are passed on.
    pub async fn transact<T, R, F>(
        &self,
        audit: &AuditContext,
        mut decide: impl FnMut(Draft) -> F + Send,
    ) -> Result<Committed<T>, ChangeError<R>>
    where
        F: Future<Output = Result<(Draft, T), ChangeError<R>>> + Send,
    {
        let mut turn = None;
        let mut doubts = false;
        for _ in 0..ATTEMPTS {
            // Held until the store has committed: see `seal::RetiredKeys`.
            let _sealing = self.keyring.seal_guard();
            let draft = Draft::new(self.clone(), audit.now).verifying_assumptions(doubts);
            let (mut draft, value) = decide(draft).await?;
            draft.trim_superseded().await?;
            draft.settle_issuers().await?;
            let supposed = draft.take_assumed_absent();
            let txn = draft.into_txn(audit)?;
            match self.store.commit(txn).await {
                Ok(revision) => return Ok(Committed { value, revision }),
                Err(CommitError::Conflict { key }) if audit.is_nonce(&key) => {
                    return Err(ChangeError::NonceUsed);
                }
                // No concurrent change: the assumption of absence was wrong.
                Err(CommitError::Conflict { key }) if supposed.contains(&key) => {
                    doubts = true;
                }
                // From the second attempt on, changes that conflict on one key queue up.
                Err(CommitError::Conflict { key }) if turn.is_none() => {
                    turn = Some(self.queues.join(&key).await);
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    /// What [`transact`](Self::transact) would return for `decide` at `now`, without the commit:
    /// nothing is written, and no ID is allocated. Another change may intervene before the real
    /// one.
    ///
    /// # Errors
    /// Errors of `decide`, and a [`Fault`] if the store failed.
    pub async fn dry_run<T, R, F>(
        &self,
        now: Timestamp,
        decide: impl FnOnce(Draft) -> F + Send,
    ) -> Result<T, ChangeError<R>>
    where
        F: Future<Output = Result<(Draft, T), ChangeError<R>>> + Send,
    {
        // No commit would notice a wrong assumption.
        let draft = Draft::new(self.clone(), now).verifying_assumptions(true);
        let (_, value) = decide(draft.for_dry_run()).await?;
        Ok(value)
    }

    /// Writes an audit record for a refusal, which makes no change. Uses up the nonce too; if the
    /// nonce was used concurrently, nothing is written.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn record_refusal(
        &self,
        audit: &AuditContext,
        code: &str,
        notes: &[String],
    ) -> Result<(), Fault> {
        match self.store.commit(audit.refusal_txn(code, notes)?).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }

    /// As [`record_refusal`](Self::record_refusal), for a refusal that is only counted: uses up the
    /// nonce, so that another node does not accept the same signed call later.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn consume_nonce(&self, audit: &AuditContext) -> Result<(), Fault> {
        let mut txn = Txn::default();
        audit.consume_nonce(&mut txn);
        if txn.write.is_empty() {
            return Ok(());
        }
        match self.store.commit(txn).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }

    /// Whether a change or a recorded refusal used this nonce of an access key, at any node.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn is_nonce_used(&self, access_key: &str, nonce: &str) -> Result<bool, Fault> {
        Ok(self
            .store
            .get(&Key::nonce(access_key, nonce))
            .await?
            .is_some())
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Fault> {
        match self.store.get(key).await? {
            Some(entry) => record::decode(&entry.value).map(Some),
            None => Ok(None),
        }
    }

    /// Decodes all records under a prefix, in byte order of their keys.
    async fn read_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, Fault> {
        let entries = self.entries(prefix).await?.into_iter();
        entries.map(|entry| record::decode(&entry.value)).collect()
    }

    /// All entries under a prefix that has few: see [`Pages::collect`].
    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, Fault> {
        let mut pages = Pages::new(&*self.store, prefix, PAGE_MAX);
        pages.collect().await
    }

    /// Removes what has expired; see [`crate::Store::sweep`].
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        self.store.sweep(now).await
    }
}

#[cfg(test)]
mod tests;
