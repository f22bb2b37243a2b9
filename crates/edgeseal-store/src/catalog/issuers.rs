//! What the orders of managed certificates need besides their own state: accounts at issuers, what
//! was used up of their limits, and challenges to clean up.
//!
//! None of it is audited: it is progress of a change that somebody asked for, and the change itself
//! is audited.

use edgeseal_core::{
    DomainPattern, Secret, Timestamp,
    acme::{Counter, Usage, reissue::Reissue},
    domain::Environment,
    rate::GcraState,
};

use super::{Catalog, Draft};
use crate::{
    CommitError, Expect, Fault, Key, Txn, Write, key,
    lease::{Term, write_in_term},
    record::{
        self, Challenge, IssuerAccountRecord, IssuerHealthRecord, IssuerUsageRecord,
        ProvisionedChallengesRecord,
    },
    write_all,
};

/// How long a counter of an issuer's limit is kept after it was last used: longer than the longest
/// period of a documented limit, a week.
const USAGE_TTL_MS: i64 = 8 * 24 * 60 * 60 * 1000;

impl Catalog {
    /// The account at an issuer, with its credentials.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the credentials do not open.
    pub async fn issuer_account(
        &self,
        issuer: &str,
    ) -> Result<Option<(IssuerAccountRecord, Secret)>, Fault> {
        let key = Key::issuer_account(issuer);
        let Some(account) = self.read::<IssuerAccountRecord>(&key).await? else {
            return Ok(None);
        };
        let opened = self.keyring.open_text(&account.sealed_credentials, &key);
        let credentials = opened.map_err(Fault::of("unseal the account at an issuer"))?;
        Ok(Some((account, credentials)))
    }

    /// Stores the account at an issuer, in the place of `before`. Returns whether it did: not if
    /// another process has stored one meanwhile.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn put_issuer_account(
        &self,
        issuer: &str,
        before: Option<&IssuerAccountRecord>,
        (directory, contact): (&str, &[String]),
        credentials: &Secret,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let key = Key::issuer_account(issuer);
        let _sealing = self.keyring.seal_guard();
        let found = self.store.get(&key).await?;
        let stored: Option<IssuerAccountRecord> = match &found {
            Some(entry) => Some(record::decode(&entry.value)?),
            None => None,
        };
        if stored.as_ref().map(|it| (&it.directory, it.created))
            != before.map(|it| (&it.directory, it.created))
        {
            return Ok(false);
        }
        let account = IssuerAccountRecord {
            directory: directory.to_owned(),
            contact: contact.to_vec(),
            sealed_credentials: self.keyring.seal_text(credentials, &key),
            created: now,
        };
        let txn = Txn {
            expect: vec![Expect::same_as(key.clone(), found.as_ref())],
            write: vec![Write::put(key, record::encode(&account)?)],
            ..Txn::default()
        };
        match self.store.commit(txn).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }

    /// Forgets the account at an issuer, which does not know it any more.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn delete_issuer_account(&self, issuer: &str) -> Result<(), Fault> {
        let write = vec![Write::Delete(Key::issuer_account(issuer))];
        write_all(&*self.store, write).await.map(drop)
    }

    /// Whether an issuer takes orders.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn issuer_health(&self, issuer: &str) -> Result<IssuerHealthRecord, Fault> {
        let found = self.read(&Key::issuer_health(issuer)).await?;
        Ok(found.unwrap_or_default())
    }

    /// Stores whether an issuer takes orders, as a process found in this term of the lease to order.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or the term is over.
    pub async fn put_issuer_health(
        &self,
        issuer: &str,
        health: &IssuerHealthRecord,
        term: Term,
    ) -> Result<(), Fault> {
        let write = Write::put(Key::issuer_health(issuer), record::encode(health)?);
        write_in_term(&*self.store, vec![write], Some(term)).await
    }

    /// What was used up of an issuer's limits.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn issuer_usage(&self, issuer: &str) -> Result<Usage, Fault> {
        let prefix = key::issuer_usage(issuer);
        let mut counters = Vec::new();
        for entry in self.entries(&prefix).await? {
            let counter = entry.key.as_str().strip_prefix(&prefix);
            if let Some(counter) = counter.and_then(Counter::parse) {
                let usage: IssuerUsageRecord = record::decode(&entry.value)?;
                counters.push((counter, usage.used));
            }
        }
        Ok(Usage::restore(counters))
    }

    /// Stores counters of an issuer's limits. One that is stored with more used up stays so: orders
    /// are counted in one order and may be sent in another.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn put_issuer_usage(
        &self,
        issuer: &str,
        counters: &[(Counter, GcraState)],
        now: Timestamp,
    ) -> Result<(), Fault> {
        while !counters.is_empty() {
            let mut txn = Txn::default();
            let key = |(counter, _): &(Counter, GcraState)| Key::issuer_usage(issuer, counter);
            let keys: Vec<Key> = counters.iter().map(key).collect();
            let found = self.store.get_many(&keys).await?;
            for ((key, found), (_, state)) in keys.into_iter().zip(found).zip(counters) {
                let stored = found.as_ref().map(|entry| record::decode(&entry.value));
                let stored: Option<IssuerUsageRecord> = stored.transpose()?;
                let used = stored.map_or(*state, |stored| stored.used.max(*state));
                txn.expect
                    .push(Expect::same_as(key.clone(), found.as_ref()));
                txn.write.push(Write::Put {
                    key,
                    value: record::encode(&IssuerUsageRecord { used })?,
                    expires: Some(now.plus_ms(USAGE_TTL_MS)),
                });
            }
            match self.store.commit(txn).await {
                Ok(_) => break,
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Ok(())
    }

    /// The replacement of many certificates that was asked for last.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn reissue(&self) -> Result<Option<Reissue>, Fault> {
        self.read(&Key::reissue()).await
    }

    /// The challenges that were provisioned for a domain and are not cleaned up.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn provisioned_challenges(
        &self,
        name: &DomainPattern,
        environment: Environment,
    ) -> Result<Vec<Challenge>, Fault> {
        let key = Key::provisioned_challenges(name, environment);
        let found: Option<ProvisionedChallengesRecord> = self.read(&key).await?;
        Ok(found.map(|found| found.challenges).unwrap_or_default())
    }

    /// Stores which challenges are provisioned for a domain; none of them deletes the record. Only
    /// one process at a time may work on a domain: in a term of the lease to order, if one is given.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or the term is over.
    pub async fn put_provisioned_challenges(
        &self,
        name: &DomainPattern,
        environment: Environment,
        challenges: Vec<Challenge>,
        term: Option<Term>,
    ) -> Result<(), Fault> {
        let key = Key::provisioned_challenges(name, environment);
        let write = if challenges.is_empty() {
            Write::Delete(key)
        } else {
            let record = ProvisionedChallengesRecord {
                domain: name.clone(),
                environment,
                challenges,
            };
            Write::put(key, record::encode(&record)?)
        };
        write_in_term(&*self.store, vec![write], term).await
    }
}

impl Draft {
    /// The replacement of many certificates that was asked for last.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn reissue(&mut self) -> Result<Option<Reissue>, Fault> {
        self.get(&Key::reissue()).await
    }

    /// Stores which certificates are to be replaced, in the place of what was asked for before.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn put_reissue(&mut self, reissue: &Reissue) -> Result<(), Fault> {
        self.put(Key::reissue(), reissue)
    }
}
