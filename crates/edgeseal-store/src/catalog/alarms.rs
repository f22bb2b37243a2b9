//! Alarms and silenced domains, and which process notifies of them.

use std::collections::BTreeMap;

use edgeseal_core::{
    DomainPattern, Timestamp,
    alarm::{Alarm, AlarmId, Silence},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Catalog, Draft};
use crate::{CommitError, Entry, Expect, Fault, Key, Pages, Txn, Write, key, record, write_all};

/// Records written by one commit.
const BATCH: usize = 500;

/// The process that notifies of alarms.
#[derive(Serialize, Deserialize)]
struct Lease {
    owner: String,
    until: Timestamp,
}

impl Catalog {
    /// All alarms that are stored: those that are raised, and those whose end some channel has not
    /// accepted yet.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn alarms(&self) -> Result<BTreeMap<AlarmId, Alarm>, Fault> {
        let mut alarms = BTreeMap::new();
        let mut pages = Pages::new(&**self.store(), key::ALARMS, BATCH);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                // A code of another release is not this one's to judge.
                let Some(id) = entry.key.as_alarm() else {
                    continue;
                };
                if let Some(alarm) = decode_or_skip(&entry) {
                    alarms.insert(id, alarm);
                }
            }
        }
        Ok(alarms)
    }

    /// Writes alarms, and removes those without a state. Only the holder of the
    /// [lease](Self::hold_alarm_lease) may do so.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; some may have been written.
    pub async fn write_alarms(&self, changes: &[(AlarmId, Option<Alarm>)]) -> Result<(), Fault> {
        for chunk in changes.chunks(BATCH) {
            let writes = chunk.iter().map(|(id, alarm)| match alarm {
                Some(alarm) => Ok(Write::put(Key::alarm(id), record::encode(alarm)?)),
                None => Ok(Write::Delete(Key::alarm(id))),
            });
            write_all(&*self.store, writes.collect::<Result<_, Fault>>()?).await?;
        }
        Ok(())
    }

    /// The silenced domains, those included whose silence has just ended.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn alarm_silences(&self) -> Result<Vec<Silence>, Fault> {
        let page = self
            .store
            .list(key::ALARM_SILENCES, None, usize::MAX)
            .await?;
        Ok(page.entries.iter().filter_map(decode_or_skip).collect())
    }

    /// Acquires or renews the right to notify of alarms until `until`: of several processes on one
    /// store, one has it. Returns whether `owner` has it. Renewed in the second half of its time
    /// only, because each renewal is a commit.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn hold_alarm_lease(
        &self,
        owner: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let key = Key::alarm_lease();
        let stored = self.store.get(&key).await?;
        let lease: Option<Lease> = stored.as_ref().and_then(decode_or_skip);
        if let Some(lease) = lease.filter(|lease| lease.until > now) {
            if lease.owner != owner {
                return Ok(false);
            }
            if lease.until.since_ms(now) > until.since_ms(now) / 2 {
                return Ok(true);
            }
        }
        let owner = owner.to_owned();
        let txn = Txn {
            expect: vec![Expect::same_as(key.clone(), stored.as_ref())],
            write: vec![Write::put(key, record::encode(&Lease { owner, until })?)],
        };
        match self.store.commit(txn).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }
}

/// A record; `None` if it cannot be decoded. One bad record, or one of another release, must not
/// end all alarms.
fn decode_or_skip<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    let decoded = record::decode(&entry.value);
    decoded
        .inspect_err(|fault| {
            let error: &dyn std::error::Error = fault;
            tracing::error!(key = %entry.key, error, "a record of the alarms is skipped");
        })
        .ok()
}

impl Draft {
    /// Silences a domain, or changes until when it is silenced.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn silence_alarms(&mut self, silence: &Silence) -> Result<(), Fault> {
        let key = Key::alarm_silence(&silence.domain);
        match silence.until {
            Some(until) => self.put_until(key, silence, until),
            None => self.put(key, silence),
        }
    }

    /// Ends the silence of a domain. Returns whether there was one.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn unsilence_alarms(&mut self, domain: &DomainPattern) -> Result<bool, Fault> {
        let key = Key::alarm_silence(domain);
        let was_silenced = self.has(&key).await?;
        self.delete(key);
        Ok(was_silenced)
    }
}
