//! Alarms and silenced domains.

use std::collections::BTreeMap;

use edgeseal_core::{
    AccountId,
    alarm::{Alarm, AlarmId, Silence},
    domain::Domain,
};
use serde::de::DeserializeOwned;

use super::{Catalog, Draft};
use crate::{
    CommitError, Fault, Key, Pages, Txn, Write, key,
    lease::Term,
    record::{self, EdgeRecord},
};

/// Records written by one commit.
const BATCH: usize = 500;

impl Catalog {
    /// All alarms that are stored: those that are raised, and those whose end some channel has not
    /// accepted yet.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn alarms(&self) -> Result<BTreeMap<AlarmId, Alarm>, Fault> {
        let decoded = self.decodable(key::ALARMS).await?.into_iter();
        // A code of another release is not this one's to judge.
        Ok(decoded
            .filter_map(|(key, alarm)| Some((key.as_alarm()?, alarm)))
            .collect())
    }

    /// Writes alarms, and removes those without a state. Returns whether the term of the lease lasts;
    /// otherwise the rest is not written.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; some may have been written.
    pub async fn write_alarms(
        &self,
        changes: &[(AlarmId, Option<Alarm>)],
        term: &Term,
    ) -> Result<bool, Fault> {
        for chunk in changes.chunks(BATCH) {
            let writes = chunk.iter().map(|(id, alarm)| match alarm {
                Some(alarm) => Ok(Write::put(Key::alarm(id), record::encode(alarm)?)),
                None => Ok(Write::Delete(Key::alarm(id))),
            });
            let write = writes.collect::<Result<_, Fault>>()?;
            let txn = Txn::new(vec![term.guard()], write);
            match self.store.commit(txn).await {
                Ok(_) => {}
                Err(CommitError::Conflict { .. }) => return Ok(false),
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Ok(true)
    }

    /// The silenced domains, of one account if it is given, those included whose silence has just
    /// ended.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn alarm_silences(&self, of: Option<&AccountId>) -> Result<Vec<Silence>, Fault> {
        let prefix = of.map(key::account_alarm_silences);
        let prefix = prefix.as_deref().unwrap_or(key::ALARM_SILENCES);
        let decoded = self.decodable(prefix).await?;
        Ok(decoded.into_iter().map(|(_, silence)| silence).collect())
    }

    /// The last report of each edge, without those that cannot be decoded.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn decodable_edges(&self) -> Result<Vec<EdgeRecord>, Fault> {
        let decoded = self.decodable(key::EDGES).await?;
        Ok(decoded.into_iter().map(|(_, edge)| edge).collect())
    }

    /// The records under a prefix. One bad record, or one of another release, must not end all
    /// alarms: it is logged.
    async fn decodable<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(Key, T)>, Fault> {
        let (mut decoded, mut skipped) = (Vec::new(), None);
        let mut count = 0_usize;
        let mut pages = Pages::new(&**self.store(), prefix, BATCH);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                match record::decode(&entry.value) {
                    Ok(value) => decoded.push((entry.key, value)),
                    Err(fault) => {
                        count += 1;
                        skipped.get_or_insert((entry.key, fault));
                    }
                }
            }
        }
        if let Some((key, fault)) = skipped {
            let error: &dyn std::error::Error = &fault;
            tracing::error!(%key, count, error, "alarms skip records, of which this is the first");
        }
        Ok(decoded)
    }
}

impl Draft {
    /// Silences a domain, or changes until when it is silenced.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn silence_alarms(&mut self, silence: &Silence) -> Result<(), Fault> {
        let key = Key::alarm_silence(&silence.account, &silence.domain, silence.by_operator);
        match silence.until {
            Some(until) => self.put_until(key, silence, until),
            None => self.put(key, silence),
        }
    }

    /// Ends the silence that the account of a domain has set, and that of the operator if the
    /// operator calls. Returns whether there was one.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn unsilence_alarms(
        &mut self,
        domain: &Domain,
        by_operator: bool,
    ) -> Result<bool, Fault> {
        let mut was_silenced = false;
        for of_operator in [false, true] {
            let key = Key::alarm_silence(&domain.account, &domain.name, of_operator);
            if of_operator <= by_operator && self.has(&key).await? {
                was_silenced = true;
                self.delete(key);
            }
        }
        Ok(was_silenced)
    }
}
