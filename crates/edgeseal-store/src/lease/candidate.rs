//! Takes, renews and gives back a lease in the store.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    LeaseName, Term,
    rule::{Decision, Holder, LeaseRecord, Sighting, decide},
};
use crate::{CommitError, Entry, Expect, Fault, Key, SharedStore, Txn, Write, random, record};

/// Attempts of a change of a lease that is changed meanwhile.
const ATTEMPTS: u32 = 3;

/// A process that asks for a lease.
pub(crate) struct Candidate {
    store: SharedStore,
    name: LeaseName,
    record: LeaseRecord,
    ttl: Duration,
    seen: Option<Sighting>,
    /// Whether it has asked for it, so that it may have it even if it does not know.
    may_hold: bool,
}

impl Candidate {
    /// A new run of `owner`.
    pub(crate) fn new(store: SharedStore, name: LeaseName, owner: String, ttl: Duration) -> Self {
        let holder = Holder {
            owner,
            run: random::text::<16>(),
        };
        Self {
            store,
            name,
            record: LeaseRecord {
                holder,
                ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            },
            ttl,
            seen: None,
            may_hold: false,
        }
    }

    pub(super) const fn name(&self) -> LeaseName {
        self.name
    }

    fn keys(&self) -> [Key; 2] {
        let name = self.name.as_str();
        [Key::lease(name), Key::lease_term(name)]
    }

    /// The lease and its term, of one moment.
    async fn read(&self) -> Result<(Option<Entry>, Option<Entry>), Fault> {
        let mut read = self.store.get_many(&self.keys()).await?.into_iter();
        Ok((read.next().flatten(), read.next().flatten()))
    }

    /// Renews the lease, or takes it if the rule allows that. Returns the term for which this process
    /// has it; `None` if another process may have it.
    pub(crate) async fn attempt(&mut self) -> Result<Option<Term>, Fault> {
        for _ in 0..ATTEMPTS {
            let (lease, term) = self.read().await?;
            let (decision, seen) = self.decide(lease.as_ref());
            self.seen = Some(seen);
            let [key, term_key] = self.keys();
            let mut write = vec![Write::put(key.clone(), record::encode(&self.record)?)];
            let term = match decision {
                Decision::Wait => return Ok(None),
                Decision::Renew => term,
                Decision::Take => None,
            };
            if term.is_none() {
                let holder = record::encode(&self.record.holder)?;
                write.push(Write::put(term_key, holder));
            }
            self.may_hold = true;
            let expect = vec![Expect::same_as(key, lease.as_ref())];
            match self.store.commit(Txn::new(expect, write)).await {
                Ok(committed) => {
                    let revision = term.map_or(committed, |term| term.revision);
                    let lease = self.name;
                    return Ok(Some(Term { lease, revision }));
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Ok(None)
    }

    fn decide(&self, lease: Option<&Entry>) -> (Decision, Sighting) {
        // After the read, so that a renewal is never taken to be older than it is.
        let now = Instant::now();
        let seen = Sighting::after(self.seen, lease.map(|it| it.revision), now);
        let stored = lease.map(|entry| record::decode::<LeaseRecord>(&entry.value));
        if let Some(Err(fault)) = &stored
            && self.seen != Some(seen)
        {
            let error: &dyn std::error::Error = fault;
            let lease = self.name.as_str();
            tracing::error!(lease, error, "a lease is free once nobody renews it");
        }
        let stored = stored.as_ref().map(|stored| stored.as_ref().ok());
        let decision = decide(&self.record.holder, stored, &seen, self.ttl, now);
        (decision, seen)
    }

    /// Gives the lease back, if this process has it.
    pub(crate) async fn release(&mut self) -> Result<(), Fault> {
        if !self.may_hold {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let (lease, _) = self.read().await?;
            let (Decision::Renew, _) = self.decide(lease.as_ref()) else {
                return Ok(());
            };
            let [key, term] = self.keys();
            let expect = vec![Expect::same_as(key.clone(), lease.as_ref())];
            let write = vec![Write::Delete(key), Write::Delete(term)];
            match self.store.commit(Txn::new(expect, write)).await {
                Ok(_) => return Ok(()),
                // An attempt that was given up was made after all.
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Ok(())
    }
}
