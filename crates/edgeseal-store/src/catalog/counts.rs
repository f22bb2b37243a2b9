//! How much each account has of what it may have only so much of.
//!
//! A number beside the records, one for each account and kind, which every change that adds or removes
//! something moves in its own transaction ([`Write::Add`](crate::Write::Add)): so no two calls pass
//! each other at a quota, and calls below it are no conflicts. A store of an earlier release has no
//! such numbers. The first change that needs one counts what is there.

use bytes::Bytes;
use edgeseal_core::{
    AccountId,
    quota::{self, Kind, OverQuota, Quota},
};

use super::{Catalog, ChangeError, Draft};
use crate::{CommitError, Expect, Fault, Key, Txn, Write, key, number};

/// How often a count that others overtake is taken again.
const ATTEMPTS: u32 = 16;

/// Why something is not added.
#[derive(Debug, thiserror::Error)]
pub enum NotAdded {
    /// The account has as many as it may.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl<R: From<OverQuota>> From<NotAdded> for ChangeError<R> {
    fn from(why: NotAdded) -> Self {
        match why {
            NotAdded::OverQuota(over) => Self::Refused(over.into()),
            NotAdded::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// A number that was not what it should be, and is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recounted {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub kind: Kind,
    /// What it said.
    pub was: Option<u64>,
    /// What is there.
    pub is: u64,
}

/// What one change adds to a number.
#[derive(Clone, Copy)]
pub(super) struct Added {
    by: i64,
    at_most: u64,
}

impl Catalog {
    /// How many of a kind an account has.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn used(&self, account: &AccountId, kind: Kind) -> Result<u64, Fault> {
        let counted = self.store.get(&Key::count(account, kind)).await?;
        match counted.and_then(|entry| number(&entry.value)) {
            Some(count) => Ok(count),
            None => self.there(account, kind).await,
        }
    }

    /// Compares what is counted with what is there, for all accounts, and corrects what differs: a
    /// release that does not count may have had the store, and what expires leaves without a call.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn recount_all(&self) -> Result<Vec<Recounted>, Fault> {
        let mut corrected = Vec::new();
        for account in self.accounts().await? {
            for kind in Kind::ALL {
                let key = Key::count(&account.id, kind);
                if self.store.get(&key).await?.is_some() {
                    corrected.extend(self.recount(&account.id, kind).await?);
                }
            }
        }
        Ok(corrected)
    }

    /// Counts what is there; what was corrected, if anything was.
    async fn recount(&self, account: &AccountId, kind: Kind) -> Result<Option<Recounted>, Fault> {
        let key = Key::count(account, kind);
        for _ in 0..ATTEMPTS {
            let entry = self.store.get(&key).await?;
            let was = entry.as_ref().and_then(|entry| number(&entry.value));
            // After the number: what comes or goes from here on moves it, and the commit fails.
            let is = self.there(account, kind).await?;
            if was == Some(is) {
                return Ok(None);
            }
            let txn = Txn {
                expect: vec![match entry {
                    Some(entry) => Expect::Unchanged(key.clone(), entry.changed),
                    None => Expect::Absent(key.clone()),
                }],
                write: vec![Write::Put {
                    key: key.clone(),
                    value: Bytes::from(is.to_string()),
                    expires: None,
                }],
            };
            match self.store.commit(txn).await {
                Ok(_) => {
                    let account = account.clone();
                    return Ok(Some(Recounted {
                        account,
                        kind,
                        was,
                        is,
                    }));
                }
                // Whoever made one where there was none has counted, too.
                Err(CommitError::Conflict { .. }) if was.is_none() => return Ok(None),
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Ok(None)
    }

    async fn there(&self, account: &AccountId, kind: Kind) -> Result<u64, Fault> {
        let counted = self
            .store
            .window(&key::counted(account, kind), 0, 0)
            .await?;
        Ok(counted.total as u64)
    }

    /// What the number says; counts if there is none.
    async fn counted(&self, account: &AccountId, kind: Kind) -> Result<u64, Fault> {
        let key = Key::count(account, kind);
        for _ in 0..ATTEMPTS {
            let entry = self.store.get(&key).await?;
            if let Some(count) = entry.and_then(|entry| number(&entry.value)) {
                return Ok(count);
            }
            self.recount(account, kind).await?;
        }
        Err(Fault::new("count: there is no number"))
    }
}

impl Draft {
    /// One more of a kind.
    pub(super) async fn count_one(
        &mut self,
        account: &AccountId,
        kind: Kind,
        quota: Quota,
    ) -> Result<(), NotAdded> {
        let by = self.added_of(account, kind) + 1;
        self.fit(account, kind, by, quota).await
    }

    /// What the change adds to a number so far.
    pub(super) fn added_of(&self, account: &AccountId, kind: Kind) -> i64 {
        let added = self.added.get(&Key::count(account, kind));
        added.map_or(0, |added| added.by)
    }

    /// Adds so many in all, and no others, if the quota allows them.
    pub(super) async fn fit(
        &mut self,
        account: &AccountId,
        kind: Kind,
        by: i64,
        quota: Quota,
    ) -> Result<(), NotAdded> {
        // Not expected to stay so: the commit looks again, with what others have added meanwhile.
        let mut used = self.catalog.counted(account, kind).await?;
        let over = |used| quota::check(kind, used, by.max(0).unsigned_abs(), quota);
        if over(used).is_err() && kind.expires() {
            self.catalog.recount(account, kind).await?;
            used = self.catalog.counted(account, kind).await?;
        }
        over(used)?;
        let at_most = quota.at_most();
        self.added
            .insert(Key::count(account, kind), Added { by, at_most });
        Ok(())
    }

    /// One less of a kind.
    pub(super) async fn uncount_one(
        &mut self,
        account: &AccountId,
        kind: Kind,
    ) -> Result<(), Fault> {
        // A number that is made later would not have it.
        self.catalog.counted(account, kind).await?;
        let key = Key::count(account, kind);
        let at_most = u64::MAX;
        let added = self.added.entry(key).or_insert(Added { by: 0, at_most });
        added.by -= 1;
        Ok(())
    }

    /// The numbers that the change moves.
    pub(super) fn take_added(&mut self) -> impl Iterator<Item = Write> + use<> {
        let added = std::mem::take(&mut self.added).into_iter();
        added.filter_map(|(key, Added { by, at_most })| {
            (by != 0).then_some(Write::Add { key, by, at_most })
        })
    }
}
