//! Certificates: their records, material and indexes.

use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainPattern,
    certificate::{Certificate, CertificateId, Digest},
    domain::Domain,
    quota::{Quota, QuotaKind},
};

use super::{AddError, Catalog, Draft, bound_certificates};
use crate::{
    Entry, Fault, Key, key,
    record::{self, CertificateRecord, CertificateSummary, ContentRecord, Material},
};

/// Most domains whose certificates one change can unbind, with margin.
pub(super) const RELEASED_MAX: usize = 100;
/// Accounts with a content that a removal reads: its own, and any other one, which keeps the material.
pub(super) const ACCOUNTS_READ: usize = 2;

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
        let users = self.certificate_users(&[id], limit).await?;
        let names = users.into_iter().flat_map(|(names, _)| names);
        let keys = names.map(|name| {
            let name = DomainPattern::parse(&name).map_err(Fault::of("decode a domain's name"))?;
            Ok(Key::domain(&name))
        });
        self.read_many(&keys.collect::<Result<Vec<_>, Fault>>()?)
            .await
    }

    /// For each of these certificates, the names of the domains that have it bound, at most `limit`,
    /// in byte order, and whether there are more. Reads the store twice.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate_users(
        &self,
        ids: &[CertificateId],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, bool)>, Fault> {
        let prefixes: Vec<String> = ids.iter().copied().map(key::certificate_uses).collect();
        let keys: Vec<Key> = ids.iter().copied().map(Key::certificate).collect();
        let (rows, pages) = self.store.get_and_list(&keys, &prefixes, limit).await?;
        let rows = rows.into_iter().map(|entry| {
            let row = entry.map(|entry| record::decode::<CertificateRecord>(&entry.value));
            Ok(row.transpose()?.and_then(|row| row.uploaded_for))
        });
        let uploaded_for: Vec<Option<DomainPattern>> = rows.collect::<Result<_, Fault>>()?;
        let own: Vec<Key> = uploaded_for.iter().flatten().map(Key::domain).collect();
        let own: Vec<Domain> = self.read_many(&own).await?;
        let parts = ids
            .iter()
            .zip(uploaded_for)
            .zip(pages.into_iter().zip(&prefixes));
        let users = parts.map(|((id, uploaded_for), (page, prefix))| {
            let keys = page.entries.iter().map(|entry| entry.key.as_str());
            let mut names: Vec<String> = keys
                .map(|key| key.strip_prefix(&**prefix).unwrap_or_default().to_owned())
                .collect();
            let mut own = own.iter();
            if let Some(own) = own.find(|it| Some(&it.name) == uploaded_for.as_ref())
                && bound_certificates(own).contains(id)
            {
                let name = own.name.to_string();
                names.insert(names.partition_point(|it| *it < name), name);
            }
            let has_more = page.has_more || names.len() > limit;
            names.truncate(limit);
            (names, has_more)
        });
        Ok(users.collect())
    }

    /// Whether a domain has this certificate bound.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn is_certificate_used(&self, id: CertificateId) -> Result<bool, Fault> {
        let users = self.certificate_users(&[id], 1).await?;
        Ok(users.iter().any(|(names, _)| !names.is_empty()))
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
        let known: Option<ContentRecord> = self.get(&Key::content(material, account)).await?;
        for id in known.unwrap_or_default().certificates {
            let row = self.certificate(id).await?;
            if let Some(row) = row.filter(|row| !row.removed) {
                return Ok(Some(row));
            }
        }
        Ok(None)
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
        let content = Key::content(&row.material, &row.account);
        let mut same = ContentRecord::default();
        if self.assume_absent(&content).await? {
            same = self.get(&content).await?.unwrap_or_default();
        }
        same.certificates.push(row.id);
        self.put(content, &same)?;
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
        let row = self.certificate(id).await?;
        let own = row.and_then(|row| row.uploaded_for);
        if let Some(own) = own
            && self.binds(&own, id).await?
        {
            return Ok(Some(own.to_string()));
        }
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
        self.put(Key::certificate(row.id), &hidden)
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
        let content = Key::content(&row.material, &row.account);
        let same: Option<ContentRecord> = self.get(&content).await?;
        let mut same = same.unwrap_or_default();
        same.certificates.retain(|id| *id != row.id);
        if !same.certificates.is_empty() {
            return self.put(content, &same);
        }
        self.delete(content);
        // Read before the listing: an account that adds the content after it rewrites the guard, and the
        // commit conflicts.
        let used = Key::material_use_guard(&row.material);
        self.has(&used).await?;
        if self.has_other_account(row).await? {
            // Written, so that two concurrent deletions of the last users conflict.
            self.put_bytes(used, Bytes::new());
            return Ok(());
        }
        self.delete(used);
        self.delete_material(&row.material).await
    }

    /// Whether another account has a certificate with the same content after this change.
    async fn has_other_account(&self, row: &CertificateRecord) -> Result<bool, Fault> {
        let prefix = key::contents(&row.material);
        let page = self.list(&prefix, ACCOUNTS_READ).await?;
        let stays = |entry: &Entry| !self.deletes(&entry.key);
        Ok(page.entries.iter().any(stays) || self.puts_under(&prefix).next().is_some())
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
            *self.issuer_deltas.entry(issuer).or_default() -= 1;
        }
        Ok(())
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
            }
            *self.issuer_deltas.entry(issuer).or_default() += 1;
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

/// The target of a name index.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Pointer {
    pub(crate) certificate: CertificateId,
}
