//! Uploads whose place others took.
//!
//! A certificate that comes with the call that binds it belongs to that domain
//! ([`CertificateRecord::uploaded_for`]), whoever else binds it later. Once no domain has it bound, it
//! is superseded: nobody serves it, and it stays for a rollback. Of each domain's uploads the
//! [`SUPERSEDED_MAX`] that were bound last stay, named by their owners or not; with each further one
//! the oldest is removed in the same commit. At the quota of the account all of them make way for the
//! domain's next upload. So whoever may set the certificate of a domain, and nothing else, cannot use
//! up what others need to renew theirs.
//!
//! Certificates of the certificate centre, and those of releases that did not write whose they are,
//! stay until somebody removes them.

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

/// Superseded uploads that a domain keeps. With the one that is bound these are the five certificates
/// for each domain that the default quotas have room for.
pub const SUPERSEDED_MAX: usize = 4;

/// Keys read at once. A domain has hardly more than [`SUPERSEDED_MAX`]; the next change takes the rest.
const LISTED_MAX: usize = 100;

impl Draft {
    /// Holds what the change adds to the certificates of an account against the quota. If there is no
    /// room for it, superseded uploads of these domains make way, the oldest first, and with them what
    /// this change supersedes.
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

    /// Removes what domains have superseded beyond what they keep.
    pub(super) async fn trim_superseded(&mut self) -> Result<(), Fault> {
        for (account, domain) in std::mem::take(&mut self.superseding) {
            if self.superseded_keys(&account, &domain).await?.len() <= SUPERSEDED_MAX {
                continue;
            }
            let kept = self.superseded_by_age(&account, &[domain]).await?;
            let many = kept.len().saturating_sub(SUPERSEDED_MAX);
            for oldest in &kept[..many] {
                self.remove_superseded(oldest).await?;
            }
        }
        Ok(())
    }

    /// No domain has this certificate bound any more.
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

    /// A domain binds this certificate, or it is removed.
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

    /// The superseded uploads of these domains once this change is made, the oldest first.
    async fn superseded_by_age(
        &mut self,
        account: &AccountId,
        domains: &[DomainPattern],
    ) -> Result<Vec<CertificateRecord>, Fault> {
        let mut found: Vec<(Timestamp, CertificateRecord)> = Vec::new();
        for domain in domains {
            for (key, id) in self.superseded_keys(account, domain).await? {
                // Read, so that one that is bound meanwhile, which deletes its key, does not go.
                let Some(since) = self.get::<TimestampRecord>(&key).await? else {
                    continue;
                };
                let row = self.certificate(id).await?;
                match row.filter(|row| row.uploaded_for.as_ref() == Some(domain)) {
                    Some(row) => found.push((since.at, row)),
                    // Gone, or not this domain's to remove.
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
        let with_number = |key: Key| {
            let id = key.as_str().strip_prefix(&prefix)?.parse().ok()?;
            Some((key, id))
        };
        Ok(keys.filter_map(with_number).collect())
    }

    /// A release that does not know of superseded uploads may have bound it meanwhile: it is then none.
    async fn remove_superseded(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
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
