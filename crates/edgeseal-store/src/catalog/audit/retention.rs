//! Retention: removal of old audit records.

use edgeseal_core::{AccountId, Timestamp};

use super::{Catalog, audit_from};
use crate::{
    CommitError, Expect, Fault, Key, Log, LogRange, LogWrite, Txn, Write,
    audit_chain::{
        Anchor, ChainKey, ClockMonitor, Head, Link, LinkedRecord, Mac, retention_cutoff,
    },
    record, rows_from, write_all,
};

/// Records removed per transaction: other commits wait for some milliseconds.
const REMOVED_AT_ONCE: usize = 500;

impl Catalog {
    /// Removes all records older than `days`, if the clock can be [trusted](ClockMonitor), and
    /// returns how many. To be called about every hour.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn expire_audit_records(&self, now: Timestamp, days: u32) -> Result<usize, Fault> {
        let Some(key) = self.chain_key().await? else {
            return Ok(0);
        };
        let watch = self.observe_clock(now).await?;
        let newest = self.newest_linked(&key).await?;
        let Some(before) = retention_cutoff(watch, newest, days) else {
            return Ok(0);
        };
        let mut removed = 0;
        for account in self.audited_accounts().await? {
            removed += self.expire_account_audit(&account, before, &key).await?;
        }
        Ok(removed)
    }

    /// Records the clock reading `now`.
    async fn observe_clock(&self, now: Timestamp) -> Result<ClockMonitor, Fault> {
        let holder = Key::audit_clock();
        // An undecodable record counts as none: it delays the removal.
        let before = self.store.get(&holder).await?;
        let before = before.and_then(|entry| record::decode(&entry.value).ok());
        let watch = ClockMonitor::observe(before, now);
        write_all(
            &*self.store,
            vec![Write::put(holder, record::encode(&watch)?)],
        )
        .await?;
        Ok(watch)
    }

    /// Removes an account's records from before a time, and the links that contain only such
    /// records. Returns how many records were removed. Leaves tampered chains and unlinked records
    /// as they are.
    pub(crate) async fn expire_account_audit(
        &self,
        account: &AccountId,
        before: Timestamp,
        key: &ChainKey,
    ) -> Result<usize, Fault> {
        let Some(head) = self.read::<Head>(&Key::audit_head(account)).await? else {
            return Ok(0);
        };
        let anchor = self.read::<Anchor>(&Key::audit_anchor(account)).await?;
        let forged = anchor
            .as_ref()
            .is_some_and(|anchor| !anchor.is_genuine(account, key));
        if forged || !head.is_genuine(account, key) {
            return Ok(0);
        }
        // An anchor that is ahead stays where it is, and is no reason to remove more.
        let (end, told) = anchor.map_or(((0, Mac::NONE), before), |anchor| {
            ((anchor.n, anchor.last), before.max(anchor.before))
        });
        let removed = self
            .remove_records(account, (end, before, told), &head, key)
            .await?;
        self.remove_links(account, (end, before, told), key).await?;
        Ok(removed)
    }

    /// The time of the newest linked record, of any account.
    async fn newest_linked(&self, key: &ChainKey) -> Result<Option<Timestamp>, Fault> {
        let mut newest = None;
        for account in self.audited_accounts().await? {
            let Some(head) = self.read::<Head>(&Key::audit_head(&account)).await? else {
                continue;
            };
            let last = self
                .read::<Link>(&Key::audit_link(&account, head.n))
                .await?;
            let last = last.filter(|link| link.is_genuine(&account, key));
            newest = newest.max(last.and_then(|link| link.newest()));
        }
        Ok(newest)
    }

    /// Removes records from before `before`; the anchor then says that those from before `told` may
    /// be gone.
    async fn remove_records(
        &self,
        account: &AccountId,
        (end, before, told): ((u64, Mac), Timestamp, Timestamp),
        head: &Head,
        key: &ChainKey,
    ) -> Result<usize, Fault> {
        let bound = rows_from(before);
        let mut removed = 0;
        let mut after = String::new();
        loop {
            let range = LogRange {
                before: Some(&bound),
                ..audit_from(account, &after)
            };
            let page = self.store.read_log(range, REMOVED_AT_ONCE).await?;
            let old = page.rows.into_iter();
            let old = old.take_while(|row| row.revision.0 <= head.through);
            let names: Vec<String> = old.map(|row| row.name).collect();
            let Some(last) = names.last() else {
                return Ok(removed);
            };
            if removed == 0
                && !self
                    .move_anchor(account, end, told, key, Txn::default())
                    .await?
            {
                return Ok(0);
            }
            // Continue there: a page that began again would step over the rows that are gone.
            after.clone_from(last);
            let found = names.len();
            let scope = account.as_str();
            let removals = names.into_iter().map(|name| LogWrite::Remove {
                log: Log::Audit,
                scope: scope.to_owned(),
                name,
            });
            let txn = Txn {
                log: removals.collect(),
                ..Txn::default()
            };
            match self.store.commit(txn).await {
                Ok(_) => removed += found,
                Err(CommitError::Conflict { .. }) => return Ok(removed),
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
    }

    async fn remove_links(
        &self,
        account: &AccountId,
        (mut end, before, told): ((u64, Mac), Timestamp, Timestamp),
        key: &ChainKey,
    ) -> Result<(), Fault> {
        let is_old = |record: &LinkedRecord| record.at().is_some_and(|at| at < before);
        loop {
            let link_key = Key::audit_link(account, end.0 + 1);
            let Some(link) = self.read::<Link>(&link_key).await? else {
                return Ok(());
            };
            let goes = link.is_genuine(account, key)
                && link.previous == end.1
                && link.records.iter().all(is_old);
            end = (link.n, link.mac);
            let removal = Txn {
                write: vec![Write::Delete(link_key)],
                ..Txn::default()
            };
            if !goes || !self.move_anchor(account, end, told, key, removal).await? {
                return Ok(());
            }
        }
    }

    /// Writes a new anchor together with `txn`. Returns `false` if another node was faster.
    async fn move_anchor(
        &self,
        account: &AccountId,
        end: (u64, Mac),
        before: Timestamp,
        key: &ChainKey,
        mut txn: Txn,
    ) -> Result<bool, Fault> {
        let holder = Key::audit_anchor(account);
        let anchor = Anchor::new(end, before, account, key);
        let stored = self.store.get(&holder).await?;
        let found: Option<Anchor> = match &stored {
            Some(entry) => Some(record::decode(&entry.value)?),
            None => None,
        };
        if found.is_some_and(|found| found.n > end.0 || found.before > before) {
            return Ok(false);
        }
        txn.expect
            .push(Expect::same_as(holder.clone(), stored.as_ref()));
        txn.write.push(Write::put(holder, record::encode(&anchor)?));
        match self.store.commit(txn).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }
}
