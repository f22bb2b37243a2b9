use bytes::Bytes;
use edgeseal_core::{
    AccountId,
    certificate::{Certificate, CertificateId, Digest},
};

use super::{Catalog, Draft};
use crate::{
    Fault, Key,
    record::{self, CertificateRecord, Material},
};

impl Catalog {
    /// A certificate, whoever owns it.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate(&self, id: CertificateId) -> Result<Option<CertificateRecord>, Fault> {
        self.read(&Key::certificate(id)).await
    }

    /// What is served under this address.
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
    /// A number for a new certificate.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn new_certificate_id(&self) -> Result<CertificateId, Fault> {
        self.catalog.ids.certificate().await
    }

    /// A number for a new domain.
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
        self.get(&Key::certificate(id)).await
    }

    /// Reads the certificate of this name in an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate_named(
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
    pub async fn certificate_with(
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

    /// Writes a new certificate with its name, its indexes and, unless the store has it, its
    /// material. The private key is sealed here.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn add_certificate(
        &mut self,
        row: &CertificateRecord,
        certificate: &Certificate,
    ) -> Result<(), Fault> {
        let pointer = Pointer {
            certificate: row.id,
        };
        self.put(Key::certificate(row.id), row)?;
        self.put(Key::certificate_name(&row.account, &row.name), &pointer)?;
        self.put_bytes(Key::account_certificate(&row.account, row.id), Bytes::new());
        let content = Key::certificate_content(&row.account, &row.material);
        if !self.has(&content).await? {
            self.put(content, &pointer)?;
        }
        self.add_material(&row.material, certificate).await
    }

    async fn add_material(
        &mut self,
        digest: &Digest,
        certificate: &Certificate,
    ) -> Result<(), Fault> {
        let key = Key::material(digest);
        if self.has(&key).await? {
            return Ok(());
        }
        let mut issuers = Vec::with_capacity(certificate.intermediates.len());
        for der in &certificate.intermediates {
            let digest = Digest::of(der);
            issuers.push(digest.0);
            let issuer = Key::issuer(&digest);
            if !self.has(&issuer).await? {
                self.put_bytes(issuer, Bytes::copy_from_slice(der));
            }
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

/// Where a name or a content leads.
#[derive(serde::Serialize, serde::Deserialize)]
struct Pointer {
    certificate: CertificateId,
}
