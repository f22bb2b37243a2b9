//! The transaction that links the records of a page, and moves the checkpoint.

use std::collections::BTreeMap;

use edgeseal_core::AccountId;

use super::{AuditLinker, Tampered, progress::Checkpoint};
use crate::{
    CommitError, Entry, Expect, Fault, Key, LogRow, Revision, Txn, Write,
    audit_chain::{ChainKey, Head, Link, LinkedRecord, Mac},
    record,
};

/// What is linked by one transaction: that all of it is there or nothing holds also for a database that
/// goes back to an earlier moment. At most two writes and two conditions for each record of a page.
#[derive(Default)]
struct Links {
    txn: Txn,
    accounts: BTreeMap<Key, AccountId>,
    tampered: Tampered,
}

impl AuditLinker {
    /// Links records, each account's in one link, and moves the checkpoint to `through`. Every record up
    /// to there is among them or was linked before. Accounts whose chains were tampered with are left
    /// out, and added to `tampered`. Returns without a change if the checkpoint is not the `stored` one
    /// any more: another process links, or the database went back.
    pub(super) async fn link(
        &self,
        rows: Vec<LogRow>,
        (through, stored): (Revision, Option<&Entry>),
        tampered: &mut Tampered,
    ) -> Result<(), Fault> {
        let mut accounts: BTreeMap<AccountId, Vec<LogRow>> = BTreeMap::new();
        for row in rows {
            match AccountId::parse(&row.scope) {
                Ok(account) => accounts.entry(account).or_default().push(row),
                Err(_) => tracing::error!(scope = row.scope, "an audit record is of no account"),
            }
        }
        loop {
            let mut links = self.links(&accounts, through).await?;
            tampered.append(&mut links.tampered);
            let checkpoint = Checkpoint {
                through: through.0,
                tampered: tampered.clone(),
            };
            let key = Key::audit_checkpoint();
            links.txn.expect.push(Expect::same_as(key.clone(), stored));
            let checkpoint = Write::put(key, record::encode(&checkpoint)?);
            links.txn.write.push(checkpoint);
            match self.catalog.store().commit(links.txn).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { key }) => {
                    let Some(account) = links.accounts.remove(&key) else {
                        return Ok(());
                    };
                    accounts.remove(&account);
                    let why = "its chain has links after its head";
                    log_tampering(&account, why);
                    tampered.insert(account, why.to_owned());
                }
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
    }

    /// The links of records that are not linked yet.
    async fn links(
        &self,
        accounts: &BTreeMap<AccountId, Vec<LogRow>>,
        through: Revision,
    ) -> Result<Links, Fault> {
        let heads: Vec<Key> = accounts.keys().map(Key::audit_head).collect();
        let stored = self.catalog.store().get_many(&heads).await?;
        let mut links = Links::default();
        for ((account, rows), (key, stored)) in accounts.iter().zip(heads.into_iter().zip(stored)) {
            let head = stored
                .as_ref()
                .map(|entry| genuine_head(account, entry, &self.key));
            // A bad head must not block other accounts.
            let head = match head.transpose() {
                Ok(head) => head,
                Err(why) => {
                    log_tampering(account, why);
                    links.tampered.insert(account.clone(), why.to_owned());
                    continue;
                }
            };
            let expect = Expect::same_as(key.clone(), stored.as_ref());
            links.txn.expect.push(expect);
            let linked = head.as_ref().map_or(0, |head| head.through);
            let start = rows.partition_point(|row| row.revision.0 <= linked);
            let unlinked = rows[start..].iter();
            let records: Vec<LinkedRecord> = unlinked
                .map(|row| LinkedRecord::of(&row.name, &row.value))
                .collect();
            if records.is_empty() {
                continue;
            }
            let end = head.map_or((0, Mac::NONE), |head| (head.n, head.last));
            let link = Link::after(end, records, (self.clock)(), account, &self.key);
            let head = Head::new((link.n, link.mac), through.0, account, &self.key);
            let link_key = Key::audit_link(account, link.n);
            links.txn.expect.push(Expect::Absent(link_key.clone()));
            let written = Write::put(link_key.clone(), record::encode(&link)?);
            links.txn.write.push(written);
            let written = Write::put(key, record::encode(&head)?);
            links.txn.write.push(written);
            links.accounts.insert(link_key, account.clone());
        }
        Ok(links)
    }

    /// Whether the chain of an account goes on after its head, which only a link finds out otherwise.
    pub(super) async fn has_link_after_head(&self, account: &AccountId) -> Result<bool, Fault> {
        let head: Option<Head> = self.catalog.read(&Key::audit_head(account)).await?;
        let next = head.map_or(1, |head| head.n + 1);
        let next = Key::audit_link(account, next);
        Ok(self.catalog.store().get(&next).await?.is_some())
    }
}

/// The head of an account's chain, or what is wrong with it.
pub(super) fn genuine_head(
    account: &AccountId,
    entry: &Entry,
    key: &ChainKey,
) -> Result<Head, &'static str> {
    let head = record::decode::<Head>(&entry.value);
    let head = head.map_err(|_| "the head of its chain does not read")?;
    match head.is_genuine(account, key) {
        true => Ok(head),
        false => Err("the head of its chain is forged"),
    }
}

/// A tampered chain is left as it is: continuing it would hide the traces.
pub(super) fn log_tampering(account: &AccountId, why: &'static str) {
    tracing::error!(
        %account,
        why,
        "the audit of an account is not linked any more: it was tampered with; see audit verify"
    );
}
