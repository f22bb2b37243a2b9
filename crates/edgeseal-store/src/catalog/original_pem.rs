//! The PEM of certificates as it was uploaded, so that reads return it byte for byte.

use bytes::Bytes;
use edgeseal_core::{
    Secret,
    certificate::{CertificateId, OriginalPem},
};

use super::{Catalog, Draft};
use crate::{
    Fault, Key, record,
    record::{CertificateRecord, OriginalKeyRecord},
};

impl Catalog {
    /// The chain of a certificate as it was uploaded; `None` if that was the canonical form that
    /// [`edgeseal_core::certificate::chain_to_pem`] prints, or an earlier release stored it.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn original_chain(&self, id: CertificateId) -> Result<Option<String>, Fault> {
        let Some(entry) = self.store.get(&Key::original_chain(id)).await? else {
            return Ok(None);
        };
        let text = String::from_utf8(entry.value.into());
        text.map(Some).map_err(Fault::of("decode a chain's text"))
    }

    /// The private key of a certificate as it was uploaded; `None` if that was the canonical form
    /// that [`edgeseal_core::certificate::key_to_pem`] prints, or it was not stored.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or it does not open.
    pub async fn original_key(&self, id: CertificateId) -> Result<Option<Secret>, Fault> {
        let key = Key::original_key(id);
        match self.store.get(&key).await? {
            Some(entry) => self.open_original_key(&key, &entry.value).map(Some),
            None => Ok(None),
        }
    }

    /// The private key (PKCS#8 DER) of a certificate; `None` if it has none, or was deleted.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or it does not open.
    pub async fn private_key(&self, row: &CertificateRecord) -> Result<Option<Secret>, Fault> {
        let Some(material) = self.material(&row.material).await? else {
            return Ok(None);
        };
        if material.sealed_key.is_empty() {
            return Ok(None);
        }
        let holder = Key::material(&row.material);
        let opened = self.keyring.open(&material.sealed_key, &holder);
        opened.map(Some).map_err(Fault::of("open a private key"))
    }

    fn open_original_key(&self, key: &Key, stored: &[u8]) -> Result<Secret, Fault> {
        let record: OriginalKeyRecord = record::decode(stored)?;
        let opened = self.keyring.open_text(&record.sealed_text, key);
        opened.map_err(Fault::of("unseal the text of a private key"))
    }
}

impl Draft {
    /// Replaces the stored original texts of a certificate. A text that is `None` is not stored.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn put_original_pem(
        &mut self,
        id: CertificateId,
        texts: &OriginalPem,
    ) -> Result<(), Fault> {
        // A new certificate has no stored texts yet.
        let is_new = self.writes(&Key::certificate(id)) && !self.deletes(&Key::certificate(id));
        self.put_original_chain(Key::original_chain(id), texts.chain.as_deref(), is_new)
            .await?;
        self.put_original_key(Key::original_key(id), texts.key.as_ref(), is_new)
            .await
    }

    async fn put_original_chain(
        &mut self,
        key: Key,
        text: Option<&str>,
        is_new: bool,
    ) -> Result<(), Fault> {
        let kept = if is_new {
            None
        } else {
            self.get_bytes(&key).await?
        };
        match text {
            Some(text) if kept.as_deref() != Some(text.as_bytes()) => {
                self.put_bytes(key, Bytes::copy_from_slice(text.as_bytes()));
            }
            None if kept.is_some() => self.delete(key),
            _ => {}
        }
        Ok(())
    }

    async fn put_original_key(
        &mut self,
        key: Key,
        text: Option<&Secret>,
        is_new: bool,
    ) -> Result<(), Fault> {
        let kept = if is_new {
            None
        } else {
            self.get_bytes(&key).await?
        };
        let Some(text) = text else {
            if kept.is_some() {
                self.delete(key);
            }
            return Ok(());
        };
        // A text that cannot be unsealed is rewritten.
        let kept = kept.and_then(|kept| self.catalog.open_original_key(&key, &kept).ok());
        if kept.as_ref() == Some(text) {
            return Ok(());
        }
        let sealed_text = self.catalog.keyring.seal_text(text, &key);
        self.put(key, &OriginalKeyRecord { sealed_text })
    }
}
