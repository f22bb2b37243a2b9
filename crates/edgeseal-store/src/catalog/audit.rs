//! Reads and verification of audit records.

mod retention;

use std::collections::BTreeSet;

use edgeseal_core::{AccountId, Secret, Timestamp, certificate::Digest};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Catalog;
use crate::{
    CommitError, Expect, Fault, Key, Log, LogRange, Pages, Txn, Write,
    audit_chain::{Anchor, ChainKey, ChainVerifier, ExpectedHead, Head, Link, Mac, Report},
    key::{self, AUDIT_HEADS, AUDIT_LINKS},
    random,
    record::{self, AuditRecord, AuditSecretRecord},
    rows_from,
};

const PAGE: usize = 1000;

/// A range of an account's audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditQuery<'a> {
    /// From this time (inclusive).
    pub from: Option<Timestamp>,
    /// To this time (exclusive).
    pub until: Option<Timestamp>,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// The suffix of the record after which to continue, as in [`AuditPage`].
    pub after: Option<&'a str>,
}

/// Some audit records of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The records, each with its key suffix; `None` if one cannot be decoded.
    pub records: Vec<(String, Option<AuditRecord>)>,
    /// Whether more follow.
    pub has_more: bool,
}

impl Catalog {
    /// Reads at most `limit` audit records of an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn audit(
        &self,
        account: &AccountId,
        span: AuditQuery<'_>,
        limit: usize,
    ) -> Result<AuditPage, Fault> {
        let from = span.from.map(rows_from).unwrap_or_default();
        let until = span.until.map(rows_from);
        let (mut after, mut before) = (from.as_str(), until.as_deref());
        match span.after {
            Some(last) if span.newest_first => {
                before = Some(before.map_or(last, |before| before.min(last)));
            }
            Some(last) => after = after.max(last),
            None => {}
        }
        let range = LogRange {
            log: Log::Audit,
            scope: account.as_str(),
            after,
            before,
            newest_first: span.newest_first,
        };
        let page = self.store.read_log(range, limit).await?;
        let rows = page.rows.into_iter();
        let records = rows.map(|row| (row.name, record::decode(&row.value).ok()));
        Ok(AuditPage {
            records: records.collect(),
            has_more: page.has_more,
        })
    }

    /// The secret of the audit chains; `None` if none exists yet.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the keyring cannot unseal it.
    pub async fn chain_key(&self) -> Result<Option<ChainKey>, Fault> {
        let holder = Key::audit_chain_secret();
        let Some(record) = self.read::<AuditSecretRecord>(&holder).await? else {
            return Ok(None);
        };
        let secret = self.keyring.open_text(&record.sealed_secret, &holder);
        let secret = secret.map_err(Fault::of("unseal the secret of the audit chains"))?;
        Ok(Some(ChainKey::new(&secret)))
    }

    /// As [`chain_key`](Self::chain_key), but creates the secret if there is none.
    pub(crate) async fn get_or_create_chain_key(&self) -> Result<ChainKey, Fault> {
        loop {
            if let Some(key) = self.chain_key().await? {
                return Ok(key);
            }
            let bytes = Zeroizing::new(random::bytes::<32>());
            let holder = Key::audit_chain_secret();
            let secret = Secret::new(bytes.to_vec());
            let record = AuditSecretRecord {
                sealed_secret: self.keyring.seal_text(&secret, &holder),
            };
            let txn = Txn {
                expect: vec![Expect::Absent(holder.clone())],
                write: vec![Write::put(holder, record::encode(&record)?)],
                ..Txn::default()
            };
            match self.store.commit(txn).await {
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
    }

    /// The accounts that have audit records, links or a head, sorted by number.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn audited_accounts(&self) -> Result<Vec<AccountId>, Fault> {
        let mut found = BTreeSet::new();
        let mut after = String::new();
        loop {
            let scopes = self.store.log_scopes(Log::Audit, &after, PAGE).await?;
            found.extend(scopes.iter().filter_map(|it| AccountId::parse(it).ok()));
            match scopes.into_iter().nth(PAGE - 1) {
                Some(last) => after = last,
                None => break,
            }
        }
        for prefix in [AUDIT_HEADS, AUDIT_LINKS] {
            let mut after = None;
            loop {
                let page = self.store.list(prefix, after.as_ref(), 1).await?;
                let Some(entry) = page.entries.first() else {
                    break;
                };
                let rest = entry.key.as_str().strip_prefix(prefix).unwrap_or_default();
                let account = rest.split('/').next().unwrap_or_default();
                found.extend(AccountId::parse(account));
                // Continue after all records of this account.
                let end = key::prefix_end(&format!("{prefix}{account}/"));
                after = Some(Key::from_stored(&end));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Verifies the audit records of one account against its chain. The store must be a snapshot;
    /// otherwise records that are removed or linked concurrently look like tampering.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn verify_audit(
        &self,
        account: &AccountId,
        expected: Option<ExpectedHead>,
        key: &ChainKey,
        now: Timestamp,
    ) -> Result<Report, Fault> {
        let anchor = self
            .end(&Key::audit_anchor(account), forged_anchor())
            .await?;
        let head = self.end(&Key::audit_head(account), forged_head()).await?;
        let mut walk = ChainVerifier::new(account, (anchor, head), expected, key);
        let prefix = key::account_audit_links(account);
        let mut links = Pages::new(&*self.store, &prefix, 10);
        while let Some(entries) = links.next().await? {
            for entry in &entries {
                let n = entry.key.as_str()[prefix.len()..].parse().unwrap_or(0);
                let link: Option<Link> = record::decode(&entry.value).ok();
                let stored = self.digests(account, link.as_ref()).await?;
                walk.check_link(n, link.as_ref(), &stored);
            }
        }
        let mut after = String::new();
        loop {
            let page = self.store.read_log(audit_from(account, &after), PAGE);
            let page = page.await?;
            for row in &page.rows {
                walk.check_record(&row.name, row.revision.0, now);
            }
            match page.rows.into_iter().next_back() {
                Some(last) if page.has_more => after = last.name,
                _ => break,
            }
        }
        Ok(walk.finish())
    }

    async fn digests(
        &self,
        account: &AccountId,
        link: Option<&Link>,
    ) -> Result<Vec<Option<Digest>>, Fault> {
        let records = link.map_or(&[][..], |link| &link.records);
        let names: Vec<String> = records.iter().map(|record| record.key.clone()).collect();
        let store = &self.store;
        let rows = store.get_log_rows(Log::Audit, account.as_str(), &names);
        let rows = rows.await?.into_iter();
        Ok(rows
            .map(|row| row.map(|row| Digest::of(&row.value)))
            .collect())
    }

    /// The stored head or anchor; `unreadable` if it cannot be decoded.
    async fn end<T: DeserializeOwned>(&self, key: &Key, unreadable: T) -> Result<Option<T>, Fault> {
        let entry = self.store.get(key).await?;
        Ok(entry.map(|entry| record::decode(&entry.value).unwrap_or(unreadable)))
    }
}

/// The audit records of an account after this one, the oldest first.
fn audit_from<'a>(account: &'a AccountId, after: &'a str) -> LogRange<'a> {
    LogRange {
        log: Log::Audit,
        scope: account.as_str(),
        after,
        before: None,
        newest_first: false,
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
