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
//! One record of each domain lists its superseded uploads, and those that only this domain has
//! bound. A change that binds one of these to another domain takes it off the record. So a renewal
//! knows without a listing that it ends the last binding, and which upload to remove.
//!
//! Certificates of CAS, and those of releases that did not record the domain,
//! stay until they are removed explicitly.

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    certificate::CertificateId,
    quota::{Quota, QuotaKind},
};

use super::{AddError, Draft, certificates::ACCOUNTS_READ};
use crate::{
    Fault, Key, key,
    record::{CertificateRecord, UploadRecord, UploadsRecord},
};

/// Superseded uploads that a domain keeps. With the bound one these are the five certificates per
/// domain that the default quotas allow.
pub const SUPERSEDED_MAX: usize = 4;

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
        loop {
            let by = self.added_of(account, QuotaKind::Certificates);
            if by <= 0 {
                return Ok(());
            }
            let over = match self.fit(account, QuotaKind::Certificates, by, quota).await {
                Err(AddError::OverQuota(over)) => over,
                settled => return settled,
            };
            let mut superseded = Vec::new();
            for domain in domains {
                let key = Key::uploads(account, domain);
                let oldest = oldest_superseded(self.uploads(&key).await?);
                superseded.extend(oldest.map(|(since, id)| (since, id, key)));
            }
            match superseded.into_iter().min() {
                Some((_, id, key)) => self.remove_superseded(&key, id).await?,
                None => return Err(over.into()),
            }
        }
    }

    /// Removes superseded uploads beyond what each domain keeps, and writes the records of uploads
    /// that the change has changed.
    pub(super) async fn trim_superseded(&mut self) -> Result<(), Fault> {
        let keys: Vec<Key> = self.uploads.keys().cloned().collect();
        for key in keys {
            loop {
                let uploads = self.uploads(&key).await?;
                let superseded = uploads.iter().filter(|upload| upload.superseded.is_some());
                if superseded.count() <= SUPERSEDED_MAX {
                    break;
                }
                let Some((_, oldest)) = oldest_superseded(uploads) else {
                    break;
                };
                self.remove_superseded(&key, oldest).await?;
            }
            let uploads = self.uploads(&key).await?.clone();
            let stored: Option<UploadsRecord> = self.get(&key).await?;
            if uploads.is_empty() && stored.is_some() {
                self.delete(key);
            } else if uploads != stored.unwrap_or_default().uploads {
                self.put(key, &UploadsRecord { uploads })?;
            }
        }
        Ok(())
    }

    /// Records a new upload, which no domain has bound yet.
    pub(super) async fn add_upload(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        self.supersede(row).await
    }

    /// Marks a certificate that no domain has bound any more as superseded.
    pub(super) async fn supersede(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        let Some(key) = uploads_key(row) else {
            return Ok(());
        };
        let superseded = Some(self.now);
        let uploads = self.uploads(&key).await?;
        uploads.retain(|upload| upload.certificate != row.id);
        uploads.push(UploadRecord {
            certificate: row.id,
            material: row.material,
            superseded,
        });
        Ok(())
    }

    /// Records that a domain binds an upload: no longer superseded, or no longer bound by the
    /// domain of its upload only.
    pub(super) async fn bind_upload(
        &mut self,
        row: &CertificateRecord,
        name: &DomainPattern,
    ) -> Result<(), Fault> {
        if row.uploaded_for.as_ref() != Some(name) {
            return self.forget_upload(row).await;
        }
        if let Some(upload) = self.upload(row).await? {
            upload.superseded = None;
        }
        Ok(())
    }

    /// Takes a certificate that is shared, or removed, off the record of its domain.
    pub(super) async fn forget_upload(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        if let Some(key) = uploads_key(row) {
            let uploads = self.uploads(&key).await?;
            uploads.retain(|upload| upload.certificate != row.id);
        }
        Ok(())
    }

    /// Whether this domain, and no other, has the upload bound. `false` also if that is not
    /// recorded. The commit expects the record unchanged: a concurrent binding by another domain
    /// changes it.
    pub(super) async fn has_bound_alone(
        &mut self,
        name: &DomainPattern,
        row: &CertificateRecord,
    ) -> Result<bool, Fault> {
        let is_bound = |upload: &mut UploadRecord| upload.superseded.is_none();
        Ok(
            row.uploaded_for.as_ref() == Some(name)
                && self.upload(row).await?.is_some_and(is_bound),
        )
    }

    async fn upload(
        &mut self,
        row: &CertificateRecord,
    ) -> Result<Option<&mut UploadRecord>, Fault> {
        let Some(key) = uploads_key(row) else {
            return Ok(None);
        };
        let mut uploads = self.uploads(&key).await?.iter_mut();
        Ok(uploads.find(|upload| upload.certificate == row.id))
    }

    /// The recorded uploads of a domain, after this change.
    async fn uploads(&mut self, key: &Key) -> Result<&mut Vec<UploadRecord>, Fault> {
        if !self.uploads.contains_key(key) {
            let stored: Option<UploadsRecord> = self.get(key).await?;
            let uploads = stored.unwrap_or_default().uploads;
            self.uploads.insert(key.clone(), uploads);
        }
        Ok(self.uploads.entry(key.clone()).or_default())
    }

    /// The commit expects the record of the domain unchanged, so a removal conflicts with a
    /// binding. A certificate that is bound in spite of the record stays.
    async fn remove_superseded(&mut self, key: &Key, id: CertificateId) -> Result<(), Fault> {
        let uploads = self.uploads(key).await?;
        let Some(at) = uploads.iter().position(|it| it.certificate == id) else {
            return Ok(());
        };
        let material = uploads.remove(at).material;
        let content = key.uploads_account();
        let content = content.map(|account| Key::content(&material, &account));
        let mut keys = vec![
            Key::certificate(id),
            Key::certificate_use_guard(id),
            Key::material_use_guard(&material),
            Key::material(&material),
        ];
        keys.extend(content);
        let prefixes = [key::certificate_uses(id), key::contents(&material)];
        self.read_ahead(keys, &prefixes, ACCOUNTS_READ).await?;
        let row = self.certificate(id).await?;
        let row = row.filter(|row| !row.removed && uploads_key(row).as_ref() == Some(key));
        let Some(row) = row else { return Ok(()) };
        if self.domain_using_certificate(id).await?.is_some() {
            return Ok(());
        }
        self.note(format!(
            "certificate {id} is removed: no domain has it bound, and later uploads took its place"
        ));
        self.delete_certificate(&row).await
    }
}

/// The upload that has been superseded longest, with the time.
fn oldest_superseded(uploads: &[UploadRecord]) -> Option<(Timestamp, CertificateId)> {
    let superseded = uploads
        .iter()
        .filter_map(|it| Some((it.superseded?, it.certificate)));
    superseded.min()
}

/// The record of the domain that a certificate was uploaded for.
fn uploads_key(row: &CertificateRecord) -> Option<Key> {
    let domain = row.uploaded_for.as_ref()?;
    Some(Key::uploads(&row.account, domain))
}
