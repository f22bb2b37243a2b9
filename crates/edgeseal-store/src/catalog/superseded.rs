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
    record::{self, CertificateRecord, TimestampRecord},
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
        let mut superseded: Option<std::vec::IntoIter<Superseded>> = None;
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
                let mut found = Vec::new();
                for domain in domains {
                    found.append(&mut self.superseded(account, domain).await?);
                }
                found.sort_by_key(Superseded::age);
                superseded = Some(found.into_iter());
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
            let mut found = self.superseded(&account, &domain).await?;
            found.sort_by_key(Superseded::age);
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

    /// The superseded uploads of a domain after this change.
    async fn superseded(
        &self,
        account: &AccountId,
        domain: &DomainPattern,
    ) -> Result<Vec<Superseded>, Fault> {
        let prefix = key::superseded(account, domain);
        let page = self.catalog.store.list(&prefix, None, LISTED_MAX).await?;
        let stored = page.entries.into_iter();
        let stored = stored.map(|entry| (entry.key, entry.value));
        let stored = stored.filter(|(key, _)| !self.writes(key));
        let mut found = Vec::new();
        for (key, value) in stored.chain(self.puts_under(&prefix)) {
            let id = key.as_str().strip_prefix(&prefix);
            if let Some(id) = id.and_then(|id| id.parse().ok()) {
                let TimestampRecord { at } = record::decode(&value)?;
                found.push(Superseded {
                    key,
                    id,
                    at,
                    domain: domain.clone(),
                });
            }
        }
        Ok(found)
    }

    /// A release without superseded uploads may have bound it concurrently: then it is not
    /// superseded.
    async fn remove_superseded(&mut self, oldest: &Superseded) -> Result<(), Fault> {
        self.read_ahead([
            oldest.key.clone(),
            Key::certificate(oldest.id),
            Key::certificate_use_guard(oldest.id),
            Key::original_chain(oldest.id),
            Key::original_key(oldest.id),
        ])
        .await?;
        // Read, so that a concurrent binding, which deletes the key, conflicts.
        if !self.has(&oldest.key).await? {
            return Ok(());
        }
        let row = self.certificate(oldest.id).await?;
        let Some(row) = row.filter(|row| row.uploaded_for.as_ref() == Some(&oldest.domain)) else {
            // Deleted, or not this domain's to remove.
            self.delete(oldest.key.clone());
            return Ok(());
        };
        let is_bound = self.domain_using_certificate(row.id).await?.is_some();
        if is_bound || row.removed {
            return self.leave_superseded(&row).await;
        }
        self.note(format!(
            "certificate {} is removed: no domain has it bound, and later uploads took its place",
            row.id
        ));
        self.delete_certificate(&row).await
    }
}

/// A superseded upload of a domain.
struct Superseded {
    key: Key,
    id: CertificateId,
    at: Timestamp,
    domain: DomainPattern,
}

impl Superseded {
    /// The oldest sorts first.
    const fn age(&self) -> (Timestamp, CertificateId) {
        (self.at, self.id)
    }
}
