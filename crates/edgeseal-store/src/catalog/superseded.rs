//! Superseded uploads.
//!
//! A certificate that was uploaded with the call that binds it belongs to that domain
//! ([`CertificateRecord::uploaded_for`]), whichever domains bind it later. Once no domain has it
//! bound, it is superseded: no edge serves it, and it is kept for a rollback. Each domain keeps the
//! [`SUPERSEDED_MAX`] of its uploads that were bound last, whether their owner named them or not;
//! each further one removes the oldest in the same commit. When the account reaches its quota, all
//! of them are removed as needed for the domain's next upload. So a caller that may only set the
//! certificate of one domain cannot use up the quota that others need for renewals.
//!
//! Certificates of CAS, and those of releases that did not record the domain,
//! stay until they are removed explicitly.

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    certificate::CertificateId,
    quota::{Quota, QuotaKind},
};

use super::{AddError, Draft};
use crate::{
    Fault, Key, key,
    record::{CertificateRecord, TimestampRecord},
};

/// Superseded uploads that a domain keeps. With the bound one these are the five certificates per
/// domain that the default quotas allow.
pub const SUPERSEDED_MAX: usize = 4;

/// Keys read at once. A domain rarely has more than [`SUPERSEDED_MAX`]; the next change handles the
/// rest.
const LISTED_MAX: usize = 100;

impl Draft {
    /// Checks what the change adds to the certificates of an account against the quota. If it does
    /// not fit, superseded uploads of these domains are removed, the oldest first, including those
    /// that this change supersedes.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn make_room(
        &mut self,
        account: &AccountId,
        domains: &[DomainPattern],
        quota: Quota,
    ) -> Result<(), AddError> {
        let mut superseded: Option<std::vec::IntoIter<CertificateRecord>> = None;
        loop {
            let by = self.added_of(account, QuotaKind::Certificates);
            if by <= 0 {
                return Ok(());
            }
            let over = match self.fit(account, QuotaKind::Certificates, by, quota).await {
                Err(AddError::OverQuota(over)) => over,
                settled => return settled,
            };
            if superseded.is_none() {
                superseded = Some(self.superseded_by_age(account, domains).await?.into_iter());
            }
            match superseded.as_mut().and_then(Iterator::next) {
                Some(oldest) => self.remove_superseded(&oldest).await?,
                None => return Err(over.into()),
            }
        }
    }

    /// Removes superseded uploads beyond what each domain keeps.
    pub(super) async fn trim_superseded(&mut self) -> Result<(), Fault> {
        for (account, domain) in std::mem::take(&mut self.superseding) {
            if self.superseded_keys(&account, &domain).await?.len() <= SUPERSEDED_MAX {
                continue;
            }
            let found = self.superseded_by_age(&account, &[domain]).await?;
            let excess = found.len().saturating_sub(SUPERSEDED_MAX);
            for oldest in &found[..excess] {
                self.remove_superseded(oldest).await?;
            }
        }
        Ok(())
    }

    /// Marks a certificate that no domain has bound any more as superseded.
    pub(super) fn supersede(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        let Some(domain) = &row.uploaded_for else {
            return Ok(());
        };
        let key = Key::superseded(&row.account, domain, row.id);
        self.put(key, &TimestampRecord { at: self.now })?;
        self.superseding
            .insert((row.account.clone(), domain.clone()));
        Ok(())
    }

    /// Unmarks a certificate that a domain binds, or that is removed.
    pub(super) async fn leave_superseded(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        let Some(domain) = &row.uploaded_for else {
            return Ok(());
        };
        let key = Key::superseded(&row.account, domain, row.id);
        if self.has(&key).await? {
            self.delete(key);
        }
        Ok(())
    }

    /// The superseded uploads of these domains after this change, the oldest first. The commit
    /// expects all of them unchanged: a concurrent binding deletes its key, and a release writes it
    /// with a later time.
    async fn superseded_by_age(
        &mut self,
        account: &AccountId,
        domains: &[DomainPattern],
    ) -> Result<Vec<CertificateRecord>, Fault> {
        let mut found: Vec<(Timestamp, CertificateRecord)> = Vec::new();
        for domain in domains {
            let keys = self.superseded_keys(account, domain).await?;
            let rows = keys.iter().map(|(_, id)| Key::certificate(*id));
            let read = keys.iter().map(|(key, _)| key.clone()).chain(rows);
            self.read_ahead(read.collect()).await?;
            for (key, id) in keys {
                let Some(since) = self.get::<TimestampRecord>(&key).await? else {
                    continue;
                };
                let row = self.certificate(id).await?;
                match row.filter(|row| row.uploaded_for.as_ref() == Some(domain)) {
                    Some(row) => found.push((since.at, row)),
                    // Deleted, or not this domain's to remove.
                    None => self.delete(key),
                }
            }
        }
        found.sort_by_key(|(at, row)| (*at, row.id));
        Ok(found.into_iter().map(|(_, row)| row).collect())
    }

    async fn superseded_keys(
        &self,
        account: &AccountId,
        domain: &DomainPattern,
    ) -> Result<Vec<(Key, CertificateId)>, Fault> {
        let prefix = key::superseded(account, domain);
        let page = self.catalog.store.list(&prefix, None, LISTED_MAX).await?;
        let stored = page.entries.into_iter().map(|entry| entry.key);
        let stored = stored.filter(|key| !self.writes(key));
        let keys = stored.chain(self.puts_under(&prefix).map(|(key, _)| key));
        let with_id = |key: Key| {
            let id = key.as_str().strip_prefix(&prefix)?.parse().ok()?;
            Some((key, id))
        };
        Ok(keys.filter_map(with_id).collect())
    }

    /// A release without superseded uploads may have bound it concurrently: then it is not
    /// superseded.
    async fn remove_superseded(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        self.read_ahead(vec![
            Key::certificate_use_guard(row.id),
            Key::original_chain(row.id),
            Key::original_key(row.id),
            Key::certificate_name(&row.account, &row.name),
            Key::material_use_guard(&row.material),
            Key::certificate_content(&row.account, &row.material),
            Key::material(&row.material),
        ])
        .await?;
        let is_bound = self.domain_using_certificate(row.id).await?.is_some();
        if is_bound || row.removed {
            return self.leave_superseded(row).await;
        }
        self.note(format!(
            "certificate {} is removed: no domain has it bound, and later uploads took its place",
            row.id
        ));
        self.delete_certificate(row).await
    }
}
