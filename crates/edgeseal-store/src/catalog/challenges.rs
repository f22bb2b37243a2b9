//! Challenges of ACME orders: published for all edges, confirmed by them, withdrawn.
//!
//! Neither audited nor counted: what an account asks for is the certificate, and its change is.

use edgeseal_core::{Timestamp, domain::Environment};

use super::Catalog;
use crate::{
    CommitError, Expect, Fault, Key, Revision, Txn, Write, key,
    record::{self, ChallengeRecord, DnsChallengeRecord, EdgeRecord},
    write_all,
};

/// How long an edge that has reported nothing since a publication is waited for. A live edge
/// confirms at once: it reports at most once a second, and a report has five seconds to be written.
pub const CONFIRM_WITHIN_MS: i64 = 10_000;

/// Most attempts of a withdrawal that conflicts.
const ATTEMPTS: u32 = 16;

/// Which edges answer a published challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChallengeConfirmation {
    /// How many have confirmed it.
    pub confirmed: usize,
    /// Those that have not and are waited for, each as `GROUP/ID`. They ask the store when the
    /// authority asks them, so that a caller who cannot wait any longer may go on.
    pub missing: Vec<String>,
}

impl Catalog {
    /// Publishes challenges for all edges, in one commit. One with the key of an earlier one
    /// replaces it: a host has one tls-alpn-01 challenge at a time.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn publish_challenges(
        &self,
        challenges: &[ChallengeRecord],
    ) -> Result<Revision, Fault> {
        let put = |challenge: &ChallengeRecord| {
            Ok(Write::Put {
                key: challenge.key(),
                value: record::encode(challenge)?,
                expires: Some(challenge.expires),
            })
        };
        let write: Result<Vec<Write>, Fault> = challenges.iter().map(put).collect();
        write_all(&*self.store, write?).await
    }

    /// Withdraws challenges. One that is gone, or was replaced by another order's, is left alone,
    /// so this may be repeated.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn withdraw_challenges(&self, challenges: &[ChallengeRecord]) -> Result<(), Fault> {
        let keys: Vec<Key> = challenges.iter().map(ChallengeRecord::key).collect();
        for _ in 0..ATTEMPTS {
            let mut txn = Txn::default();
            let found = self.store.get_many(&keys).await?;
            for (challenge, entry) in challenges.iter().zip(found) {
                let Some(entry) = entry else { continue };
                let stored: ChallengeRecord = record::decode(&entry.value)?;
                if stored.response == challenge.response {
                    let key = entry.key.clone();
                    txn.expect
                        .push(Expect::Unchanged(entry.key, entry.revision));
                    txn.write.push(Write::Delete(key));
                }
            }
            if txn.write.is_empty() {
                return Ok(());
            }
            match self.store.commit(txn).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Err(Fault::new("withdraw challenges: they changed all the time"))
    }

    /// All challenges that are published, also those that a process left behind.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn challenges(&self) -> Result<Vec<ChallengeRecord>, Fault> {
        self.read_all(key::CHALLENGES).await
    }

    /// Which edges of `environment` have confirmed what was published by the commit and at the time
    /// in `published`; see [`ChallengeConfirmation::of`].
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn challenge_confirmation(
        &self,
        environment: Environment,
        published: (Revision, Timestamp),
        now: Timestamp,
    ) -> Result<ChallengeConfirmation, Fault> {
        let entries = self.entries(key::EDGES).await?;
        let reports = entries.iter().map(|entry| {
            let report: EdgeRecord = record::decode(&entry.value)?;
            Ok((entry.revision, report))
        });
        let reports = reports.collect::<Result<Vec<_>, Fault>>()?;
        Ok(ChallengeConfirmation::of(
            &reports,
            environment,
            published,
            now,
        ))
    }

    /// Notes that a TXT record is published, before it is.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn put_dns_challenge(&self, challenge: &DnsChallengeRecord) -> Result<(), Fault> {
        let key = Key::dns_challenge(&challenge.name, &challenge.value);
        let write = Write::put(key, record::encode(challenge)?);
        write_all(&*self.store, vec![write]).await.map(drop)
    }

    /// The note of a TXT record.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn dns_challenge(
        &self,
        name: &str,
        value: &str,
    ) -> Result<Option<DnsChallengeRecord>, Fault> {
        self.read(&Key::dns_challenge(name, value)).await
    }

    /// Forgets a TXT record, which is removed.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn delete_dns_challenge(&self, name: &str, value: &str) -> Result<(), Fault> {
        let write = vec![Write::Delete(Key::dns_challenge(name, value))];
        write_all(&*self.store, write).await.map(drop)
    }
}

impl ChallengeConfirmation {
    /// Derives it from the reports of edges, each with the commit that wrote it.
    ///
    /// An edge is not waited for if its report is too old to conclude that it runs
    /// ([`EdgeRecord::is_silent`]), or if it has reported nothing since the publication for
    /// [`CONFIRM_WITHIN_MS`]. Whether it has is judged by commits: the clock of the edge may
    /// differ.
    #[must_use]
    pub fn of(
        reports: &[(Revision, EdgeRecord)],
        environment: Environment,
        (revision, at): (Revision, Timestamp),
        now: Timestamp,
    ) -> Self {
        let mut confirmation = Self::default();
        for (reported, edge) in reports {
            if edge.environment() != environment || edge.is_silent(now) {
                continue;
            }
            let may_still_confirm = now.since_ms(at) < CONFIRM_WITHIN_MS;
            if edge.challenge_revision >= revision.0 {
                confirmation.confirmed += 1;
            } else if *reported > revision || may_still_confirm {
                confirmation
                    .missing
                    .push(format!("{}/{}", edge.group, edge.id));
            }
        }
        confirmation
    }

    /// Whether at least one edge has confirmed, and none is waited for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.confirmed > 0 && self.missing.is_empty()
    }
}
