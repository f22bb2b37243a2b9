//! Certificates: their records, material and indexes.

use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainPattern,
    certificate::{Certificate, CertificateId, Digest},
    domain::Domain,
    quota::{Quota, QuotaKind},
};

use super::{AddError, Catalog, Draft};
use crate::{
    Entry, Fault, Key, key,
    record::{self, CertificateRecord, CertificateSummary, Material},
};

/// Most domains whose certificates one change can unbind, with margin.
pub(super) const RELEASED_MAX: usize = 100;
/// Uses of a material that a removal reads: any other one keeps the material, and one of the same
/// account becomes the target of the account's content index.
pub(super) const MATERIAL_USES_READ: usize = 1000;

impl Catalog {
    /// A certificate of any account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate(&self, id: CertificateId) -> Result<Option<CertificateRecord>, Fault> {
        self.read(&Key::certificate(id)).await
    }

    /// The certificate of this name in an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate_by_name(
        &self,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<CertificateRecord>, Fault> {
        match self.read(&Key::certificate_name(account, name)).await? {
            Some(Pointer { certificate }) => self.certificate(certificate).await,
            None => Ok(None),
        }
    }

    /// The domains that have this certificate bound, at most `limit`, in byte order of their names.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domains_using_certificate(
        &self,
        id: CertificateId,
        limit: usize,
    ) -> Result<Vec<Domain>, Fault> {
        let prefix = key::certificate_uses(id);
        let page = self.store.list(&prefix, None, limit).await?;
        let names = page.entries.iter().map(|entry| {
            let name = entry.key.as_str().strip_prefix(&prefix).unwrap_or_default();
            let name = DomainPattern::parse(name).map_err(Fault::of("decode a domain's name"))?;
            Ok(Key::domain(&name))
        });
        self.read_many(&names.collect::<Result<Vec<_>, Fault>>()?)
            .await
    }

    /// For each of these certificates, the names of the domains that have it bound, at most `limit`,
    /// in byte order, and whether there are more. Reads the store once.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate_users(
        &self,
        ids: &[CertificateId],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, bool)>, Fault> {
        let prefixes: Vec<String> = ids.iter().copied().map(key::certificate_uses).collect();
        let (_, pages) = self.store.get_and_list(&[], &prefixes, limit).await?;
        let users = pages.into_iter().zip(&prefixes).map(|(page, prefix)| {
            let keys = page.entries.iter().map(|entry| entry.key.as_str());
            let names = keys.map(|key| key.strip_prefix(&**prefix).unwrap_or_default().to_owned());
            (names.collect(), page.has_more)
        });
        Ok(users.collect())
    }

    /// Whether a domain has this certificate bound.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn is_certificate_used(&self, id: CertificateId) -> Result<bool, Fault> {
        let page = self.store.list(&key::certificate_uses(id), None, 1).await?;
        Ok(!page.entries.is_empty())
    }

    /// The material with this digest.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn material(&self, digest: &Digest) -> Result<Option<Material>, Fault> {
        match self.store.get(&Key::material(digest)).await? {
            Some(entry) => record::decode_material(&entry.value).map(Some),
            None => Ok(None),
        }
    }

    /// DER of an intermediate.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn issuer(&self, digest: &Digest) -> Result<Option<Bytes>, Fault> {
        Ok(self
            .store
            .get(&Key::issuer(digest))
            .await?
            .map(|entry| entry.value))
    }
}

impl Draft {
    /// An ID for a new certificate.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn new_certificate_id(&mut self) -> Result<CertificateId, Fault> {
        match self.take_placeholder_id() {
            Some(id) => Ok(id),
            None => self.catalog.ids.certificate().await,
        }
    }

    /// An ID for a new domain.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn new_domain_id(&self) -> Result<i64, Fault> {
        self.catalog.ids.domain().await
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate(
        &mut self,
        id: CertificateId,
    ) -> Result<Option<CertificateRecord>, Fault> {
        self.get_certificate(&Key::certificate(id)).await
    }

    /// Whether an account has a certificate with this name, for a caller that expects that it has
    /// not.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn is_certificate_name_taken(
        &mut self,
        account: &AccountId,
        name: &str,
    ) -> Result<bool, Fault> {
        self.assume_absent(&Key::certificate_name(account, name))
            .await
    }

    /// A name for a certificate that its owner did not name: `cert-<id>`, with a further number if
    /// the account has one of that name.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn unique_certificate_name(
        &mut self,
        account: &AccountId,
        id: CertificateId,
    ) -> Result<String, Fault> {
        let mut name = format!("cert-{id}");
        while self.is_certificate_name_taken(account, &name).await? {
            name = format!("cert-{id}-{}", self.new_certificate_id().await?);
        }
        Ok(name)
    }

    /// Reads the certificate of this name in an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate_by_name(
        &mut self,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<CertificateRecord>, Fault> {
        match self.get(&Key::certificate_name(account, name)).await? {
            Some(Pointer { certificate }) => self.certificate(certificate).await,
            None => Ok(None),
        }
    }

    /// Reads a certificate with this content in an account: the first one, if there are several.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate_by_content(
        &mut self,
        account: &AccountId,
        material: &Digest,
    ) -> Result<Option<CertificateRecord>, Fault> {
        match self
            .get(&Key::certificate_content(account, material))
            .await?
        {
            Some(Pointer { certificate }) => self.certificate(certificate).await,
            None => Ok(None),
        }
    }

    /// Adds a certificate with its name, its indexes and, unless the store has it, its material.
    /// Fails if its account has reached the quota. The private key is sealed here.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn add_certificate(
        &mut self,
        row: &CertificateRecord,
        certificate: &Certificate,
        quota: Quota,
    ) -> Result<(), AddError> {
        self.increment_count(&row.account, QuotaKind::Certificates, quota)
            .await?;
        let pointer = Pointer {
            certificate: row.id,
        };
        self.put(Key::certificate_name(&row.account, &row.name), &pointer)?;
        self.put_certificate(row)?;
        let content = Key::certificate_content(&row.account, &row.material);
        if !self.assume_absent(&content).await? {
            self.put(content, &pointer)?;
        }
        self.put_bytes(
            Key::material_use(&row.material, row.id),
            Bytes::copy_from_slice(row.account.as_str().as_bytes()),
        );
        self.add_upload(row).await?;
        Ok(self.add_material(&row.material, certificate).await?)
    }

    /// A domain that has this certificate bound, if one has.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain_using_certificate(
        &mut self,
        id: CertificateId,
    ) -> Result<Option<String>, Fault> {
        // Read first: a binding that is added after the listing rewrites it, and the commit
        // conflicts.
        self.has(&Key::certificate_use_guard(id)).await?;
        let prefix = key::certificate_uses(id);
        let mut page = self.list(&prefix, 1).await?;
        loop {
            for user in &page.entries {
                // A concurrent unbinding must conflict; a use that this change deletes does not
                // count.
                if self.has(&user.key).await? {
                    return Ok(user.key.as_str().strip_prefix(&prefix).map(str::to_owned));
                }
            }
            let Some(last) = page.entries.last().filter(|_| page.has_more) else {
                return Ok(None);
            };
            page = self.catalog.store.list(&prefix, Some(&last.key), 1).await?;
        }
    }

    /// Writes an owner's changes of a certificate: its name, which must be unused, and its labels.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn change_certificate(
        &mut self,
        before: &CertificateRecord,
        after: &CertificateRecord,
    ) -> Result<(), Fault> {
        if after.name != before.name {
            self.delete(Key::certificate_name(&before.account, &before.name));
            let pointer = Pointer {
                certificate: after.id,
            };
            self.put(Key::certificate_name(&after.account, &after.name), &pointer)?;
        }
        self.put_certificate(after)
    }

    /// Hides a certificate that domains have bound from its owner: its name becomes free, no
    /// listing shows it, and it is deleted with its last binding.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn hide_certificate(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        let hidden = CertificateRecord {
            removed: true,
            ..row.clone()
        };
        self.decrement_count(&row.account, QuotaKind::Certificates)
            .await?;
        self.delete(Key::certificate_name(&row.account, &row.name));
        self.delete(Key::account_certificate(&row.account, &row.region, row.id));
        self.put(Key::certificate(row.id), &hidden)?;
        self.has(&Key::material_use_guard(&row.material)).await?;
        let others = self.others_with_material(row).await?;
        self.repoint_content(row, &others).await
    }

    /// Deletes a certificate that no domain has bound; with the last certificate of the same
    /// content its material is deleted too, and with the last material that uses it an
    /// intermediate.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn delete_certificate(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        let stored = self.certificate(row.id).await?;
        if let Some(stored) = stored.filter(|stored| !stored.removed) {
            self.decrement_count(&row.account, QuotaKind::Certificates)
                .await?;
            // Since it was hidden, the name of a hidden certificate may be another one's.
            self.delete(Key::certificate_name(&stored.account, &stored.name));
        }
        self.delete(Key::certificate(row.id));
        self.delete(Key::account_certificate(&row.account, &row.region, row.id));
        self.delete(Key::certificate_use_guard(row.id));
        self.delete(Key::original_chain(row.id));
        self.delete(Key::original_key(row.id));
        self.forget_upload(row).await?;
        self.delete_material_use(row).await
    }

    async fn delete_material_use(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        let used = Key::material_use_guard(&row.material);
        self.has(&used).await?;
        self.delete(Key::material_use(&row.material, row.id));
        let others = self.others_with_material(row).await?;
        self.repoint_content(row, &others).await?;
        if others.is_empty() {
            self.delete(used);
            self.delete_material(&row.material).await?;
        } else {
            // Written, so that two concurrent deletions of the last users conflict.
            self.put_bytes(used, Bytes::new());
        }
        Ok(())
    }

    /// Other certificates with the same material after this change, each with its account. The
    /// listing is limited, because any one is enough.
    async fn others_with_material(
        &self,
        row: &CertificateRecord,
    ) -> Result<Vec<(CertificateId, Bytes)>, Fault> {
        let prefix = key::material_uses(&row.material);
        let page = self.list(&prefix, MATERIAL_USES_READ).await?;
        let stored = page.entries.into_iter();
        let stored = stored.filter(|entry| !self.deletes(&entry.key));
        let stored = stored.map(|entry| (entry.key, entry.value));
        let uses = stored.chain(self.puts_under(&prefix));
        Ok(uses
            .filter_map(|(key, account)| {
                let id = key.as_str().strip_prefix(&prefix)?.parse().ok()?;
                (id != row.id).then_some((id, account))
            })
            .collect())
    }

    /// If the account's content index leads to this certificate, points it to another one with the
    /// same content, if the account has one.
    async fn repoint_content(
        &mut self,
        row: &CertificateRecord,
        others: &[(CertificateId, Bytes)],
    ) -> Result<(), Fault> {
        let content = Key::certificate_content(&row.account, &row.material);
        if others.is_empty() {
            self.delete(content);
            return Ok(());
        }
        let pointer: Option<Pointer> = self.get(&content).await?;
        if pointer.is_none_or(|pointer| pointer.certificate != row.id) {
            return Ok(());
        }
        let own = |account: &Bytes| *account == row.account.as_str().as_bytes();
        for (id, _) in others.iter().filter(|(_, account)| own(account)) {
            if self
                .certificate(*id)
                .await?
                .is_some_and(|other| !other.removed)
            {
                return self.put(content, &Pointer { certificate: *id });
            }
        }
        self.delete(content);
        Ok(())
    }

    fn put_certificate(&mut self, row: &CertificateRecord) -> Result<(), Fault> {
        self.put_certificate_record(Key::certificate(row.id), row.clone())?;
        let summary = record::encode_summary(&CertificateSummary::of(row))?;
        let key = Key::account_certificate(&row.account, &row.region, row.id);
        self.put_bytes(key, summary);
        Ok(())
    }

    /// Deletes material, with the intermediates that no other material uses.
    async fn delete_material(&mut self, digest: &Digest) -> Result<(), Fault> {
        let key = Key::material(digest);
        let material = self.get_bytes(&key).await?;
        self.delete(key);
        // Undecodable material names no intermediates; the doctor reports it.
        let material = material.and_then(|stored| record::decode_material(&stored).ok());
        let issuers = material.map(|material| material.issuers);
        for issuer in issuers.into_iter().flatten().map(Digest) {
            self.delete(Key::issuer_use(&issuer, digest));
            self.delete_issuer_if_unused(&issuer).await?;
        }
        Ok(())
    }

    /// Authorities issue thousands of certificates under one intermediate: while other material
    /// uses it, the commit expects nothing of a key that every upload rewrites. If the last two
    /// users are deleted concurrently, each sees the other, and the intermediate stays until its
    /// next use ends.
    async fn delete_issuer_if_unused(&mut self, issuer: &Digest) -> Result<(), Fault> {
        let counted = Key::issuer_uses_complete(issuer);
        if self.is_issuer_used(issuer).await? || !self.has(&counted).await? {
            return Ok(());
        }
        // Read before the second check: a use that is added after it rewrites the key, and the
        // commit conflicts.
        let used = Key::issuer_use_guard(issuer);
        self.has(&used).await?;
        if !self.is_issuer_used(issuer).await? {
            self.delete(used);
            self.delete(counted);
            self.delete(Key::issuer(issuer));
        }
        Ok(())
    }

    /// Whether material uses it after this change.
    async fn is_issuer_used(&self, issuer: &Digest) -> Result<bool, Fault> {
        let prefix = key::issuer_uses(issuer);
        // A renewal adds a use as often as it removes one: most need no listing.
        if self.puts_under(&prefix).next().is_some() {
            return Ok(true);
        }
        // One change deletes at most this many uses.
        let page = self.catalog.store.list(&prefix, None, RELEASED_MAX).await?;
        let stays = |entry: &Entry| !self.deletes(&entry.key);
        Ok(page.has_more || page.entries.iter().any(stays))
    }

    async fn add_material(
        &mut self,
        digest: &Digest,
        certificate: &Certificate,
    ) -> Result<(), Fault> {
        let key = Key::material(digest);
        if self.assume_absent(&key).await? {
            // Must conflict with a removal of the last certificate that uses the material.
            self.put_bytes(Key::material_use_guard(digest), Bytes::new());
            return Ok(());
        }
        let mut issuers = Vec::with_capacity(certificate.intermediates.len());
        for der in &certificate.intermediates {
            let issuer = Digest::of(der);
            issuers.push(issuer.0);
            if !self.has(&Key::issuer(&issuer)).await? {
                self.put_bytes(Key::issuer(&issuer), Bytes::copy_from_slice(der));
                self.put_bytes(Key::issuer_uses_complete(&issuer), Bytes::new());
            }
            self.put_bytes(Key::issuer_use(&issuer, digest), Bytes::new());
            self.put_bytes(Key::issuer_use_guard(&issuer), Bytes::new());
        }
        let sealed_key = self.catalog.keyring.seal(&certificate.key, &key);
        let material = Material {
            leaf: certificate.leaf.clone(),
            issuers,
            sealed_key,
        };
        self.put_bytes(key, record::encode_material(&material)?);
        Ok(())
    }
}

/// The target of a name or content index.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Pointer {
    pub(crate) certificate: CertificateId,
}
