use std::collections::BTreeSet;

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::{AccountId, Secret, Timestamp, certificate::Digest};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Catalog;
use crate::{
    CommitError, Entry, Expect, Fault, Key, Txn, Write,
    chain::{Anchor, ChainKey, Expected, Head, Link, Linked, Mac, Report, Walk},
    key::{self, AUDIT, AUDIT_HEADS},
    record::{self, AuditRecord, AuditSecretRecord},
};

/// Records that one transaction removes: some engines take 128 operations.
const REMOVED_AT_ONCE: usize = 100;
const PAGE: usize = 1000;

/// Which part of an account's audit is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSpan<'a> {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Up to this moment, without it.
    pub until: Option<Timestamp>,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// The name of the record after which to go on, as [`AuditPage`] shows it.
    pub after: Option<&'a str>,
}

/// Some audit records of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The records, each with its name within the account; `None` if one does not read.
    pub records: Vec<(String, Option<AuditRecord>)>,
    /// Whether more follow.
    pub more: bool,
}

impl Catalog {
    /// Reads at most `limit` audit records of an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn audit(
        &self,
        account: &AccountId,
        span: AuditSpan<'_>,
        limit: usize,
    ) -> Result<AuditPage, Fault> {
        let prefix = key::account_audit(account);
        let from = span.from.map(|at| Key::audit_from(account, at));
        let until = span.until.map(|at| Key::audit_from(account, at));
        let after = span.after.map(|name| Key::audit_of(account, name));
        let mut page = if span.newest_first {
            let before = match (after, until.clone()) {
                (Some(after), Some(until)) => Some(after.min(until)),
                (after, until) => after.or(until),
            };
            let store = &self.store;
            store.list_back(&prefix, before.as_ref(), limit).await?
        } else {
            let after = after.max(from.clone());
            self.store.list(&prefix, after.as_ref(), limit).await?
        };
        let is_inside = |entry: &Entry| {
            from.as_ref().is_none_or(|from| entry.key >= *from)
                && until.as_ref().is_none_or(|until| entry.key < *until)
        };
        let inside = page.entries.iter().take_while(|entry| is_inside(entry));
        let inside = inside.count();
        let more = page.more && inside == page.entries.len();
        page.entries.truncate(inside);
        let records = page.entries.iter().map(|entry| {
            let name = entry.key.audit_suffix().map_or("", |(_, name)| name);
            (name.to_owned(), record::decode(&entry.value).ok())
        });
        Ok(AuditPage {
            records: records.collect(),
            more,
        })
    }

    /// The secret of the chains; `None` if none was made yet.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the keyring does not open it.
    pub async fn chain_key(&self) -> Result<Option<ChainKey>, Fault> {
        let holder = Key::audit_secret();
        let Some(record) = self.read::<AuditSecretRecord>(&holder).await? else {
            return Ok(None);
        };
        let sealed = STANDARD
            .decode(&record.sealed_secret)
            .map_err(Fault::of("decode the secret of the audit's chains"))?;
        let secret = self
            .keyring
            .open(&sealed, &holder)
            .map_err(Fault::of("open the secret of the audit's chains"))?;
        Ok(Some(ChainKey::new(&secret)))
    }

    /// As [`chain_key`](Self::chain_key), and makes one if there is none.
    pub(crate) async fn make_chain_key(&self) -> Result<ChainKey, Fault> {
        loop {
            if let Some(key) = self.chain_key().await? {
                return Ok(key);
            }
            let mut octets = Zeroizing::new([0; 32]);
            rand::fill(octets.as_mut_slice()).map_err(Fault::of("read random octets"))?;
            let holder = Key::audit_secret();
            let sealed = self.keyring.seal(&Secret::new(octets.to_vec()), &holder);
            let record = AuditSecretRecord {
                sealed_secret: STANDARD.encode(sealed),
            };
            let txn = Txn {
                expect: vec![Expect::Absent(holder.clone())],
                write: vec![Write::Put {
                    key: holder,
                    value: record::encode(&record)?,
                    expires: None,
                }],
            };
            match self.store.commit(txn).await {
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
    }

    /// The accounts that have audit records, links or a head, in order of their numbers.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn audited_accounts(&self) -> Result<Vec<AccountId>, Fault> {
        let mut found = BTreeSet::new();
        for prefix in [AUDIT, AUDIT_HEADS, "auditlink/"] {
            let mut after = None;
            loop {
                let page = self.store.list(prefix, after.as_ref(), 1).await?;
                let Some(entry) = page.entries.first() else {
                    break;
                };
                let rest = entry.key.as_str().strip_prefix(prefix).unwrap_or_default();
                let account = rest.split('/').next().unwrap_or_default();
                found.extend(AccountId::parse(account));
                // Past everything of this account.
                after = Some(Key::from_stored(&format!("{prefix}{account}/\u{10ffff}")));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Checks the audit of one account against its chain. What is read must be one moment, or
    /// records that are removed or linked meanwhile are taken for tampering.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn verify_audit(
        &self,
        account: &AccountId,
        expected: Option<Expected>,
        key: &ChainKey,
        now: Timestamp,
    ) -> Result<Report, Fault> {
        let anchor = self
            .end(&Key::audit_anchor(account), forged_anchor())
            .await?;
        let head = self.end(&Key::audit_head(account), forged_head()).await?;
        let mut walk = Walk::new(account, (anchor, head), expected, key);
        let prefix = key::account_audit_links(account);
        let mut after = None;
        loop {
            let page = self.store.list(&prefix, after.as_ref(), 10).await?;
            for entry in &page.entries {
                let n = entry.key.as_str()[prefix.len()..].parse().unwrap_or(0);
                let link: Option<Link> = record::decode(&entry.value).ok();
                let stored = self.digests(account, link.as_ref()).await?;
                walk.link(n, link.as_ref(), &stored);
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.more {
                break;
            }
        }
        let prefix = key::account_audit(account);
        let mut after = None;
        loop {
            let page = self.store.list(&prefix, after.as_ref(), PAGE).await?;
            for entry in &page.entries {
                walk.record(&entry.key.as_str()[prefix.len()..], entry.changed.0, now);
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.more {
                return Ok(walk.finish());
            }
        }
    }

    /// Removes the records of an account from before this moment, and the links that are over such
    /// records only. How many records were removed. Does nothing to a chain that was tampered with,
    /// and leaves what is not linked yet.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn expire_audit(
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

    /// The newest record that is in a chain, of any account: a moment that was, whatever the clock says
    /// now.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn newest_linked(&self, key: &ChainKey) -> Result<Option<Timestamp>, Fault> {
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

    /// Removes records from before `before`; the anchor then says that those from before `told` may be
    /// gone.
    async fn remove_records(
        &self,
        account: &AccountId,
        (end, before, told): ((u64, Mac), Timestamp, Timestamp),
        head: &Head,
        key: &ChainKey,
    ) -> Result<usize, Fault> {
        let prefix = key::account_audit(account);
        let bound = Key::audit_from(account, before);
        let mut removed = 0;
        let mut after = None;
        loop {
            // On from the last one: what was removed leaves rows behind that a listing passes over.
            let list = self.store.list(&prefix, after.as_ref(), REMOVED_AT_ONCE);
            let page = list.await?;
            let old = page
                .entries
                .iter()
                .take_while(|entry| entry.key < bound && entry.changed.0 <= head.through);
            let mut txn = Txn::default();
            txn.write
                .extend(old.map(|entry| Write::Delete(entry.key.clone())));
            let found = txn.write.len();
            if found == 0 {
                return Ok(removed);
            }
            if removed == 0
                && !self
                    .move_anchor(account, end, told, key, Txn::default())
                    .await?
            {
                return Ok(0);
            }
            after = txn.write.last().map(|write| write.key().clone());
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
        let is_old = |record: &Linked| record.at().is_some_and(|at| at < before);
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
                expect: Vec::new(),
                write: vec![Write::Delete(link_key)],
            };
            if !goes || !self.move_anchor(account, end, told, key, removal).await? {
                return Ok(());
            }
        }
    }

    /// Writes a new anchor, with whatever else `txn` does. `false` if another node was faster.
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
        txn.expect.push(match stored {
            Some(entry) => Expect::Unchanged(holder.clone(), entry.changed),
            None => Expect::Absent(holder.clone()),
        });
        txn.write.push(Write::Put {
            key: holder,
            value: record::encode(&anchor)?,
            expires: None,
        });
        match self.store.commit(txn).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }

    async fn digests(
        &self,
        account: &AccountId,
        link: Option<&Link>,
    ) -> Result<Vec<Option<Digest>>, Fault> {
        let records = link.map_or(&[][..], |link| &link.records);
        let names = records.iter().map(|record| record.key.as_str());
        let keys: Vec<Key> = names.map(|name| Key::audit_of(account, name)).collect();
        let entries = self.store.get_many(&keys).await?;
        let digests = entries
            .into_iter()
            .map(|entry| entry.map(|entry| Digest::of(&entry.value)));
        Ok(digests.collect())
    }

    /// What is stored; something that is not genuine if it does not read.
    async fn end<T: DeserializeOwned>(&self, key: &Key, unreadable: T) -> Result<Option<T>, Fault> {
        let entry = self.store.get(key).await?;
        Ok(entry.map(|entry| record::decode(&entry.value).unwrap_or(unreadable)))
    }
}

const fn forged_anchor() -> Anchor {
    Anchor {
        n: 0,
        last: Mac::NONE,
        before: Timestamp::from_unix_ms(0),
        mac: Mac::NONE,
    }
}

const fn forged_head() -> Head {
    Head {
        n: 0,
        last: Mac::NONE,
        through: 0,
        mac: Mac::NONE,
    }
}
