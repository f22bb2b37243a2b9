//! Quota counters: how many domains, certificates and signing requests each account has.
//!
//! A counter is stored for each account and kind. Every change that adds or removes something
//! updates it in the same transaction ([`Write::Add`]), so concurrent calls
//! cannot exceed a quota, and calls below the quota do not conflict. Stores of earlier releases
//! have no counters: the first change that needs one counts the records.

use bytes::Bytes;
use edgeseal_core::{
    AccountId,
    quota::{self, OverQuota, Quota, QuotaKind},
};

use super::{Catalog, ChangeError, Draft};
use crate::{CommitError, Expect, Fault, Key, Txn, Write, key, parse_counter};

/// Most attempts of a recount that conflicts.
const ATTEMPTS: u32 = 16;

/// Why something was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The account has reached its quota.
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

/// A counter that was wrong and has been corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountCorrection {
    /// The account.
    pub account: AccountId,
    /// The kind.
    pub kind: QuotaKind,
    /// The wrong value; `None` if the counter was missing.
    pub recorded: Option<u64>,
    /// The number of records.
    pub actual: u64,
}

/// What one change adds to a counter.
#[derive(Clone, Copy)]
pub(super) struct CounterDelta {
    pub(super) by: i64,
    pub(super) at_most: u64,
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

    /// Compares all counters with the records, and corrects wrong ones: a release without counters
    /// may have written to the store, and records expire without a call.
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

    /// Counts the records; returns the correction, if one was needed.
    async fn recount(
        &self,
        account: &AccountId,
        kind: QuotaKind,
    ) -> Result<Option<CountCorrection>, Fault> {
        let key = Key::count(account, kind);
        for _ in 0..ATTEMPTS {
            let entry = self.store.get(&key).await?;
            let was = entry.as_ref().and_then(|entry| parse_counter(&entry.value));
            // After the counter: a later change of the records updates the counter, and the commit
            // conflicts.
            let is = self.count_records(account, kind).await?;
            if was == Some(is) {
                return Ok(None);
            }
            let txn = Txn {
                expect: vec![Expect::same_as(key.clone(), entry.as_ref())],
                write: vec![Write::put(key.clone(), Bytes::from(is.to_string()))],
                ..Txn::default()
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
                // The process that created the missing counter has counted, too.
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

    /// The value of a counter; counts the records if there is none.
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
    /// Adds one to a counter.
    pub(super) async fn increment_count(
        &mut self,
        account: &AccountId,
        kind: QuotaKind,
        quota: Quota,
    ) -> Result<(), AddError> {
        let by = self.added_of(account, kind) + 1;
        self.fit(account, kind, by, quota).await
    }

    /// What this change adds to a counter so far.
    pub(super) fn added_of(&self, account: &AccountId, kind: QuotaKind) -> i64 {
        let added = self.counter_deltas.get(&Key::count(account, kind));
        added.map_or(0, |added| added.by)
    }

    /// Sets what this change adds in total, if the quota allows it.
    pub(super) async fn fit(
        &mut self,
        account: &AccountId,
        kind: QuotaKind,
        by: i64,
        quota: Quota,
    ) -> Result<(), AddError> {
        // Not part of the commit's expectations: the commit checks the limit again, with concurrent
        // additions.
        let mut used = self.stored_count(account, kind).await?;
        let over = |used| quota::check(kind, used, by.max(0).unsigned_abs(), quota);
        if over(used).is_err() && kind.expires() && !self.is_dry_run() {
            self.catalog.recount(account, kind).await?;
            used = self.catalog.stored_count(account, kind).await?;
        }
        over(used)?;
        let at_most = quota.at_most();
        self.counter_deltas
            .insert(Key::count(account, kind), CounterDelta { by, at_most });
        Ok(())
    }

    /// The value of a counter. Creates a missing one, except in a dry run.
    async fn stored_count(&self, account: &AccountId, kind: QuotaKind) -> Result<u64, Fault> {
        if self.is_dry_run() {
            self.catalog.used(account, kind).await
        } else {
            self.catalog.stored_count(account, kind).await
        }
    }

    /// Subtracts one from a counter.
    pub(super) async fn decrement_count(
        &mut self,
        account: &AccountId,
        kind: QuotaKind,
    ) -> Result<(), Fault> {
        // A counter created later would not include it.
        self.stored_count(account, kind).await?;
        let key = Key::count(account, kind);
        let at_most = u64::MAX;
        let added = self
            .counter_deltas
            .entry(key)
            .or_insert(CounterDelta { by: 0, at_most });
        added.by -= 1;
        Ok(())
    }

    /// The writes for the counters that this change updates.
    pub(super) fn take_counter_deltas(&mut self) -> impl Iterator<Item = Write> + use<> {
        let added = std::mem::take(&mut self.counter_deltas).into_iter();
        added.filter_map(|(key, CounterDelta { by, at_most })| {
            (by != 0).then_some(Write::Add { key, by, at_most })
        })
    }
}
