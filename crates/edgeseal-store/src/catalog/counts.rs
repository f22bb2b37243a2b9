//! How much each account has of what it may have only so much of.
//!
//! A number beside the records, one for each account and kind, which every change that adds or removes
//! something moves in its own transaction ([`Write::Add`](crate::Write::Add)): so no two calls pass
//! each other at a quota, and calls below it are no conflicts. A store of an earlier release has no
//! such numbers. The first change that needs one counts what is there.

use bytes::Bytes;
use edgeseal_core::{
    AccountId,
    quota::{self, OverQuota, Quota, QuotaKind},
};

use super::{Catalog, ChangeError, Draft};
use crate::{CommitError, Expect, Fault, Key, Txn, Write, key, parse_counter};

/// How often a count that others overtake is taken again.
const ATTEMPTS: u32 = 16;

/// Why something is not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The account has as many as it may.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl<R: From<OverQuota>> From<AddError> for ChangeError<R> {
    fn from(why: AddError) -> Self {
        match why {
            AddError::OverQuota(over) => Self::Refused(over.into()),
            AddError::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// A number that was not what it should be, and is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountCorrection {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub kind: QuotaKind,
    /// What it said.
    pub recorded: Option<u64>,
    /// What is there.
    pub actual: u64,
}

/// What one change adds to a number.
#[derive(Clone, Copy)]
pub(super) struct CounterDelta {
    by: i64,
    at_most: u64,
}

impl Catalog {
    /// How many of a kind an account has.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn used(&self, account: &AccountId, kind: QuotaKind) -> Result<u64, Fault> {
        let counted = self.store.get(&Key::count(account, kind)).await?;
        match counted.and_then(|entry| parse_counter(&entry.value)) {
            Some(count) => Ok(count),
            None => self.count_records(account, kind).await,
        }
    }

    /// Compares what is counted with what is there, for all accounts, and corrects what differs: a
    /// release that does not count may have had the store, and what expires leaves without a call.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn recount_all(&self) -> Result<Vec<CountCorrection>, Fault> {
        let mut corrected = Vec::new();
        for account in self.accounts().await? {
            for kind in QuotaKind::ALL {
                let key = Key::count(&account.id, kind);
                if self.store.get(&key).await?.is_some() {
                    corrected.extend(self.recount(&account.id, kind).await?);
                }
            }
        }
        Ok(corrected)
    }

    /// Counts what is there; what was corrected, if anything was.
    async fn recount(
        &self,
        account: &AccountId,
        kind: QuotaKind,
    ) -> Result<Option<CountCorrection>, Fault> {
        let key = Key::count(account, kind);
        for _ in 0..ATTEMPTS {
            let entry = self.store.get(&key).await?;
            let was = entry.as_ref().and_then(|entry| parse_counter(&entry.value));
            // After the number: what comes or goes from here on moves it, and the commit fails.
            let is = self.count_records(account, kind).await?;
            if was == Some(is) {
                return Ok(None);
            }
            let txn = Txn {
                expect: vec![match entry {
                    Some(entry) => Expect::Unchanged(key.clone(), entry.revision),
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
                    return Ok(Some(CountCorrection {
                        account,
                        kind,
                        recorded: was,
                        actual: is,
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

    async fn count_records(&self, account: &AccountId, kind: QuotaKind) -> Result<u64, Fault> {
        let counted = self
            .store
            .window(&key::counted_prefix(account, kind), 0, 0)
            .await?;
        Ok(counted.total as u64)
    }

    /// What the number says; counts if there is none.
    async fn stored_count(&self, account: &AccountId, kind: QuotaKind) -> Result<u64, Fault> {
        let key = Key::count(account, kind);
        for _ in 0..ATTEMPTS {
            let entry = self.store.get(&key).await?;
            if let Some(count) = entry.and_then(|entry| parse_counter(&entry.value)) {
                return Ok(count);
            }
            self.recount(account, kind).await?;
        }
        Err(Fault::new("count: there is no number"))
    }
}

impl Draft {
    /// One more of a kind.
    pub(super) async fn increment_count(
        &mut self,
        account: &AccountId,
        kind: QuotaKind,
        quota: Quota,
    ) -> Result<(), AddError> {
        let by = self.added_of(account, kind) + 1;
        self.fit(account, kind, by, quota).await
    }

    /// What the change adds to a number so far.
    pub(super) fn added_of(&self, account: &AccountId, kind: QuotaKind) -> i64 {
        let added = self.counter_deltas.get(&Key::count(account, kind));
        added.map_or(0, |added| added.by)
    }

    /// Adds so many in all, and no others, if the quota allows them.
    pub(super) async fn fit(
        &mut self,
        account: &AccountId,
        kind: QuotaKind,
        by: i64,
        quota: Quota,
    ) -> Result<(), AddError> {
        // Not expected to stay so: the commit looks again, with what others have added meanwhile.
        let mut used = self.catalog.stored_count(account, kind).await?;
        let over = |used| quota::check(kind, used, by.max(0).unsigned_abs(), quota);
        if over(used).is_err() && kind.expires() {
            self.catalog.recount(account, kind).await?;
            used = self.catalog.stored_count(account, kind).await?;
        }
        over(used)?;
        let at_most = quota.at_most();
        self.counter_deltas
            .insert(Key::count(account, kind), CounterDelta { by, at_most });
        Ok(())
    }

    /// One less of a kind.
    pub(super) async fn decrement_count(
        &mut self,
        account: &AccountId,
        kind: QuotaKind,
    ) -> Result<(), Fault> {
        // A number that is made later would not have it.
        self.catalog.stored_count(account, kind).await?;
        let key = Key::count(account, kind);
        let at_most = u64::MAX;
        let added = self
            .counter_deltas
            .entry(key)
            .or_insert(CounterDelta { by: 0, at_most });
        added.by -= 1;
        Ok(())
    }

    /// The numbers that the change moves.
    pub(super) fn take_counter_deltas(&mut self) -> impl Iterator<Item = Write> + use<> {
        let added = std::mem::take(&mut self.counter_deltas).into_iter();
        added.filter_map(|(key, CounterDelta { by, at_most })| {
            (by != 0).then_some(Write::Add { key, by, at_most })
        })
    }
}
