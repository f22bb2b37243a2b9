//! Whether each index entry leads to its record.

use std::sync::PoisonError;

use edgeseal_core::{
    AccountId, DomainPattern, account::Account, certificate::Digest, domain::Domain,
};

use super::{Checker, Problems, decode, tail};
use crate::{
    Entry, Fault, Key,
    catalog::{Pointer, access_key_index, bound_certificates, subdomain_key},
    key, parse_counter,
    record::{AccessKeyRecord, CertificateRecord, ContentRecord, UploadsRecord},
};

impl Checker<'_> {
    pub(super) async fn account_name(&self, entry: &Entry) -> Result<Problems, Fault> {
        let id = std::str::from_utf8(&entry.value).ok();
        let Some(id) = id.and_then(|id| AccountId::parse(id).ok()) else {
            return Ok(vec!["it holds no account number".to_owned()]);
        };
        let account: Option<Account> = self.read(&Key::account(&id)).await?;
        let belongs = account.is_some_and(|it| Key::account_name(&it.name) == entry.key);
        Ok(dangling_unless(belongs))
    }

    pub(super) async fn listed_access_key(&self, entry: &Entry) -> Result<Problems, Fault> {
        let id = String::from_utf8_lossy(&entry.value);
        let row: Option<AccessKeyRecord> = self.read(&Key::access_key(&id)).await?;
        let belongs = row.is_some_and(|row| access_key_index(&row.key) == entry.key);
        Ok(dangling_unless(belongs))
    }

    pub(super) async fn listed_domain(&self, entry: &Entry) -> Result<Problems, Fault> {
        let domain = self.domain_of_tail(entry).await?;
        let belongs =
            domain.is_some_and(|it| Key::account_domain(&it.account, &it.name) == entry.key);
        Ok(dangling_unless(belongs))
    }

    pub(super) async fn name_below(&self, entry: &Entry) -> Result<Problems, Fault> {
        let domain = self.domain_of_tail(entry).await?;
        let below = domain
            .as_ref()
            .and_then(|domain| subdomain_key(&domain.name));
        Ok(dangling_unless(
            below.is_some_and(|(_, key)| key == entry.key),
        ))
    }

    pub(super) async fn listed_certificate(&self, entry: &Entry) -> Result<Problems, Fault> {
        let row = self.certificate_of_tail(entry).await?;
        let belongs = row.is_some_and(|row| {
            let listed = Key::account_certificate(&row.account, &row.region, row.id);
            !row.removed && listed == entry.key
        });
        Ok(dangling_unless(belongs))
    }

    pub(super) async fn name(&self, entry: &Entry) -> Result<Problems, Fault> {
        let pointer: Pointer = match decode(entry) {
            Ok(pointer) => pointer,
            Err(wrong) => return Ok(wrong),
        };
        let id = pointer.certificate;
        let row: Option<CertificateRecord> = self.read(&Key::certificate(id)).await?;
        let belongs = row.is_some_and(|row| {
            !row.removed && Key::certificate_name(&row.account, &row.name) == entry.key
        });
        Ok(dangling_unless(belongs))
    }

    pub(super) async fn content(&self, entry: &Entry) -> Result<Problems, Fault> {
        let record: ContentRecord = match decode(entry) {
            Ok(record) => record,
            Err(wrong) => return Ok(wrong),
        };
        let mut wrong = dangling_unless(!record.certificates.is_empty());
        for id in record.certificates {
            let row: Option<CertificateRecord> = self.read(&Key::certificate(id)).await?;
            if row.is_none_or(|row| Key::content(&row.material, &row.account) != entry.key) {
                wrong.push(format!("certificate {id} does not have this content"));
            }
        }
        Ok(wrong)
    }

    pub(super) async fn certificate_use(&self, entry: &Entry) -> Result<Problems, Fault> {
        let domain = self.domain_of_tail(entry).await?;
        let Some(domain) = domain else {
            return Ok(dangling_unless(false));
        };
        let mut bound = bound_certificates(&domain).into_iter();
        let Some(id) = bound.find(|id| Key::certificate_use(*id, &domain.name) == entry.key) else {
            return Ok(dangling_unless(false));
        };
        let row: Option<CertificateRecord> = self.read(&Key::certificate(id)).await?;
        let is_own = row.is_some_and(|row| row.uploaded_for.as_ref() == Some(&domain.name));
        Ok(dangling_unless(!is_own))
    }

    pub(super) async fn uploads(&self, entry: &Entry) -> Result<Problems, Fault> {
        let record: UploadsRecord = match decode(entry) {
            Ok(record) => record,
            Err(wrong) => return Ok(wrong),
        };
        let mut wrong = Vec::new();
        for upload in record.uploads {
            let id = upload.certificate;
            let row: Option<CertificateRecord> = self.read(&Key::certificate(id)).await?;
            let row = row.filter(|row| {
                let of = row.uploaded_for.as_ref();
                let recorded = of.is_some_and(|of| Key::uploads(&row.account, of) == entry.key);
                let is_kept = upload.superseded.is_none() || !row.removed;
                recorded && is_kept && row.material == upload.material
            });
            let Some(row) = row else {
                wrong.push(format!("certificate {id} is not an upload for this domain"));
                continue;
            };
            let is_bound = self.is_bound_by_own_domain(&row).await?;
            let uses = self.store.list(&key::certificate_uses(id), None, 1).await?;
            if !uses.entries.is_empty() || is_bound == upload.superseded.is_some() {
                wrong.push(format!(
                    "certificate {id} is bound by other domains than it says"
                ));
            }
        }
        Ok(wrong)
    }

    pub(super) async fn original_pem(&self, entry: &Entry) -> Result<Problems, Fault> {
        let row = self.certificate_of_tail(entry).await?;
        Ok(dangling_unless(row.is_some()))
    }

    /// After all material.
    pub(super) async fn issuer(&self, entry: &Entry) -> Result<Problems, Fault> {
        let Some(digest) = tail(&entry.key).and_then(Digest::parse) else {
            return Ok(vec!["it is stored under no digest".to_owned()]);
        };
        let mut wrong = Vec::new();
        if Digest::of(&entry.value) != digest {
            wrong.push("it does not have the digest that it is stored under".to_owned());
        }
        let says = self.store.get(&Key::issuer_count(&digest)).await?;
        let says = says.and_then(|entry| parse_counter(&entry.value));
        let counted = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let uses = counted.get(&digest).copied().unwrap_or(0);
        if says != Some(uses) {
            let says = says.map_or_else(|| "nothing".to_owned(), |says| says.to_string());
            wrong.push(format!(
                "its counter says {says}, and it is used {uses} times"
            ));
        }
        Ok(wrong)
    }

    /// Expired records stay in the count until the account needs the capacity.
    pub(super) async fn count(&self, entry: &Entry) -> Result<Problems, Fault> {
        let Some((account, kind)) = entry.key.as_count() else {
            return Ok(dangling_unless(false));
        };
        let Some(says) = parse_counter(&entry.value) else {
            return Ok(vec!["it does not read".to_owned()]);
        };
        let counted = key::counted_prefix(&account, kind);
        let there = self.store.window(&counted, 0, 0).await?.total as u64;
        if says == there || kind.expires() && says > there {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "it says {says} {kind}, and there are {there}"
        )])
    }

    async fn domain_of_tail(&self, entry: &Entry) -> Result<Option<Domain>, Fault> {
        match tail(&entry.key).and_then(|name| DomainPattern::parse(name).ok()) {
            Some(name) => self.read(&Key::domain(&name)).await,
            None => Ok(None),
        }
    }

    async fn certificate_of_tail(&self, entry: &Entry) -> Result<Option<CertificateRecord>, Fault> {
        match tail(&entry.key).and_then(|id| id.parse().ok()) {
            Some(id) => self.read(&Key::certificate(id)).await,
            None => Ok(None),
        }
    }
}

fn dangling_unless(belongs: bool) -> Problems {
    if belongs {
        Vec::new()
    } else {
        vec!["it leads to nothing that it belongs to".to_owned()]
    }
}
