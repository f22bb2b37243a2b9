//! Migration of summaries that another release wrote.

use std::collections::BTreeMap;

use edgeseal_core::{
    certificate::CertificateId,
    domain::{Domain, Environment},
};

use super::{Catalog, domains::served_binding};
use crate::{
    CommitError, Entry, Expect, Fault, Filter, Key, Txn, Write, key,
    record::{self, BindingSummary, CertificateRecord, CertificateSummary, DomainSummary},
};

/// Entries read at once, and the most that one commit writes.
const PAGE: usize = 500;
/// Most attempts for a page that conflicts.
const ATTEMPTS: u32 = 16;

/// The two indexes with summaries.
#[derive(Clone, Copy)]
enum Index {
    Domains,
    Certificates,
}

impl Catalog {
    /// Rewrites the summaries of other releases from the records, and returns how many there were.
    /// Each page is committed separately, so a repeated call continues where one ended. A
    /// concurrent change of a record writes its summary too, and that one stays.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn rebuild_summaries(&self) -> Result<u64, Fault> {
        let mut rebuilt = 0;
        for index in [Index::Domains, Index::Certificates] {
            // Only the first start after an upgrade finds any.
            let outdated = Filter::OutdatedSummaries;
            let outdated = self.store.select(index.prefix(), &outdated, 0, 0);
            if outdated.await?.total > 0 {
                rebuilt += self.rebuild_index(index).await?;
            }
        }
        Ok(rebuilt)
    }

    async fn rebuild_index(&self, index: Index) -> Result<u64, Fault> {
        let (mut after, mut rebuilt) = (None, 0);
        loop {
            let mut page = self
                .store
                .list(index.prefix(), after.as_ref(), PAGE)
                .await?;
            for _ in 0..ATTEMPTS {
                let Some(written) = self.rebuild_page(index, &page.entries).await? else {
                    page = self
                        .store
                        .list(index.prefix(), after.as_ref(), PAGE)
                        .await?;
                    continue;
                };
                rebuilt += written;
                break;
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.has_more {
                return Ok(rebuilt);
            }
        }
    }

    /// The number of entries rewritten; `None` if one of them changed concurrently.
    async fn rebuild_page(&self, index: Index, entries: &[Entry]) -> Result<Option<u64>, Fault> {
        let stale = entries.iter();
        let stale = stale.filter(|entry| !record::is_summary_current(&entry.value));
        let stale: BTreeMap<&Key, &Entry> = stale.map(|entry| (&entry.key, entry)).collect();
        let mut txn = Txn::default();
        for (key, value) in self.summaries_under(index, &stale).await? {
            // An entry without a record, or with one of another account, is left to the doctor.
            let Some(entry) = stale.get(&key) else {
                continue;
            };
            txn.expect
                .push(Expect::Unchanged(key.clone(), entry.revision));
            txn.write.push(Write::put(key, value));
        }
        let count = txn.write.len() as u64;
        if count == 0 {
            return Ok(Some(0));
        }
        match self.store.commit(txn).await {
            Ok(_) => Ok(Some(count)),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }

    /// The current summaries for these entries, each under its key.
    async fn summaries_under(
        &self,
        index: Index,
        stale: &BTreeMap<&Key, &Entry>,
    ) -> Result<Vec<(Key, bytes::Bytes)>, Fault> {
        let records: Vec<Key> = stale.keys().filter_map(|key| index.record(key)).collect();
        match index {
            Index::Domains => {
                let domains: Vec<Domain> = self.read_many(&records).await?;
                self.summaries_of_domains(&domains).await
            }
            Index::Certificates => {
                let rows: Vec<CertificateRecord> = self.read_many(&records).await?;
                let shown = rows.iter().filter(|row| !row.removed);
                let summaries = shown.map(|row| {
                    let key = Key::account_certificate(&row.account, &row.region, row.id);
                    let summary = CertificateSummary::of(row);
                    Ok((key, record::encode_summary(&summary)?))
                });
                summaries.collect()
            }
        }
    }

    async fn summaries_of_domains(
        &self,
        domains: &[Domain],
    ) -> Result<Vec<(Key, bytes::Bytes)>, Fault> {
        let environments = [Environment::Production, Environment::Staging];
        let ids = domains.iter().flat_map(|domain| {
            let bindings = environments.map(|environment| served_binding(domain, environment));
            bindings.into_iter().flatten()
        });
        let ids = ids.flat_map(|binding| binding.certificates().map(|(id, _)| id));
        let mut ids: Vec<CertificateId> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = self.certificates_by_id(&ids).await?;
        let infos: BTreeMap<CertificateId, _> =
            rows.into_iter().map(|row| (row.id, row.info)).collect();
        let bound = |domain, environment| {
            let binding = served_binding(domain, environment)?;
            let all = binding.certificates();
            let all = all.filter_map(|(id, _)| infos.get(&id));
            Some(BindingSummary::of(binding, all))
        };
        let summaries = domains.iter().map(|domain| {
            let [served, staged] = environments.map(|environment| bound(domain, environment));
            let key = Key::account_domain(&domain.account, &domain.name);
            let summary = DomainSummary::of(domain, served, staged);
            Ok((key, record::encode_summary(&summary)?))
        });
        summaries.collect()
    }
}

impl Index {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Domains => key::DOMAIN_SUMMARIES,
            Self::Certificates => key::CERTIFICATE_SUMMARIES,
        }
    }

    /// The key of the record to which an index entry leads.
    fn record(self, entry: &Key) -> Option<Key> {
        let (_, tail) = entry.as_str().rsplit_once('/')?;
        match self {
            Self::Domains => Some(Key::domain(
                &edgeseal_core::DomainPattern::parse(tail).ok()?,
            )),
            Self::Certificates => Some(Key::certificate(tail.parse().ok()?)),
        }
    }
}
