//! Leases: of several processes on one store, one does a task.

use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Catalog, Draft};
use crate::{CommitError, Entry, Expect, Fault, Key, Txn, Write, record};

/// What one process at a time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseName {
    /// It notifies of alarms.
    Alarms,
    /// It orders certificates.
    Orders,
    /// The keeper: it reseals after a rotation of the key-encryption key, and removes audit records
    /// that have expired.
    Keeper,
}

/// A process that asks for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// Which lease.
    pub lease: LeaseName,
    /// Names the process, the same after its restart: another one never has the name.
    pub owner: String,
}

/// A lease that a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLease {
    /// Until when, unless it is renewed.
    pub until: Timestamp,
    /// Whether another process, or an earlier run of this one, had it before: what was read before
    /// is out of date. A caller that did not have the lease when it asked has to assume the same,
    /// because an earlier request whose outcome was unknown may have taken it.
    pub is_new: bool,
}

#[derive(Serialize, Deserialize)]
struct LeaseRecord {
    owner: String,
    until: Timestamp,
}

impl LeaseName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alarms, Self::Orders, Self::Keeper];

    /// The name in keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alarms => "alarms",
            Self::Orders => "orders",
            Self::Keeper => "keeper",
        }
    }
}

impl LeaseHolder {
    pub(crate) fn key(&self) -> Key {
        Key::lease(self.lease.as_str())
    }

    /// What a commit has to expect that only the holder of the lease may make, where `stored` is
    /// the lease; `None` if the process does not have it at `now`. So a process that was suspended
    /// overwrites nothing of its successor.
    pub(crate) fn guard(&self, stored: Option<&Entry>, now: Timestamp) -> Option<Expect> {
        let lease = stored.and_then(decode_or_free);
        let has_it = lease.is_some_and(|lease| self.has(&lease, now));
        has_it.then(|| Expect::same_as(self.key(), stored))
    }

    fn has(&self, lease: &LeaseRecord, now: Timestamp) -> bool {
        lease.owner == self.owner && lease.until > now
    }
}

impl Catalog {
    /// Acquires or renews a lease until `until`; `None` if another process has it. Renewed in the
    /// second half of its time only, because each renewal is a commit.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn hold_lease(
        &self,
        holder: &LeaseHolder,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<HeldLease>, Fault> {
        let key = holder.key();
        let stored = self.store.get(&key).await?;
        let lease = stored.as_ref().and_then(decode_or_free);
        let is_new = lease.as_ref().is_none_or(|it| it.owner != holder.owner);
        if let Some(lease) = lease.filter(|lease| lease.until > now) {
            if is_new {
                return Ok(None);
            }
            if lease.until.since_ms(now) > until.since_ms(now) / 2 {
                let until = lease.until;
                return Ok(Some(HeldLease { until, is_new }));
            }
        }
        let lease = LeaseRecord {
            owner: holder.owner.clone(),
            until,
        };
        let txn = Txn {
            expect: vec![Expect::same_as(key.clone(), stored.as_ref())],
            write: vec![Write::put(key, record::encode(&lease)?)],
            ..Txn::default()
        };
        match self.store.commit(txn).await {
            Ok(_) => Ok(Some(HeldLease { until, is_new })),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }
}

impl Catalog {
    /// The leases that a process has at `now`.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn leases_of(&self, owner: &str, now: Timestamp) -> Result<Vec<LeaseName>, Fault> {
        let holders = LeaseName::ALL.map(|lease| LeaseHolder {
            lease,
            owner: owner.to_owned(),
        });
        let keys = holders.each_ref().map(LeaseHolder::key);
        let stored = self.store.get_many(&keys).await?;
        let held = holders.iter().zip(&stored);
        let held = held.filter(|(holder, stored)| holder.guard(stored.as_ref(), now).is_some());
        Ok(held.map(|(holder, _)| holder.lease).collect())
    }
}

impl Draft {
    /// Whether a process has a lease at the time of the change, which is not committed if another
    /// takes it before.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn has_lease(&mut self, holder: &LeaseHolder, now: Timestamp) -> Result<bool, Fault> {
        let lease: Option<LeaseRecord> = self.get(&holder.key()).await?;
        Ok(lease.is_some_and(|lease| holder.has(&lease, now)))
    }
}

/// A lease; `None` if it cannot be decoded. Of another release, it must not end the task for ever.
fn decode_or_free(entry: &Entry) -> Option<LeaseRecord> {
    let decoded = record::decode(&entry.value);
    decoded
        .inspect_err(|fault| {
            let error: &dyn std::error::Error = fault;
            tracing::error!(key = %entry.key, error, "a lease is taken to be free");
        })
        .ok()
}
