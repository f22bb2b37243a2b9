//! Whether each index entry leads to its record.

use edgeseal_core::{
    AccountId, DomainPattern, account::Account, certificate::Digest, domain::Domain,
};

use super::{Checker, Problems, decode, tail};
use crate::{
    Entry, Fault, Key,
    catalog::{Pointer, access_key_index, bound_certificates, subdomain_key},
    key, parse_counter,
    record::{self, AccessKeyRecord, CertificateRecord, UploadsRecord},
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

    pub(super) async fn pointer(&self, entry: &Entry) -> Result<Problems, Fault> {
        let pointer: Pointer = match decode(entry) {
            Ok(pointer) => pointer,
            Err(wrong) => return Ok(wrong),
        };
        let id = pointer.certificate;
        let row: Option<CertificateRecord> = self.read(&Key::certificate(id)).await?;
        let belongs = row.is_some_and(|row| {
            let named = Key::certificate_name(&row.account, &row.name);
            let content = Key::certificate_content(&row.account, &row.material);
            !row.removed && (named == entry.key || content == entry.key)
        });
        Ok(dangling_unless(belongs))
    }

    pub(super) async fn certificate_use(&self, entry: &Entry) -> Result<Problems, Fault> {
        let domain = self.domain_of_tail(entry).await?;
        let belongs = domain.is_some_and(|domain| {
            let mut bound = bound_certificates(&domain).into_iter();
            bound.any(|id| Key::certificate_use(id, &domain.name) == entry.key)
        });
        Ok(dangling_unless(belongs))
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
            let own = row.uploaded_for.filter(|_| upload.superseded.is_none());
            let own = own.map(|own| Key::certificate_use(id, &own));
            let uses = self.store.list(&key::certificate_uses(id), None, 2).await?;
            if !uses.entries.iter().map(|used| &used.key).eq(&own) {
                wrong.push(format!(
                    "certificate {id} is bound by other domains than it says"
                ));
            }
        }
        Ok(wrong)
    }

    pub(super) async fn material_use(&self, entry: &Entry) -> Result<Problems, Fault> {
        let row = self.certificate_of_tail(entry).await?;
        let belongs = row.is_some_and(|row| Key::material_use(&row.material, row.id) == entry.key);
        Ok(dangling_unless(belongs))
    }

    pub(super) async fn original_pem(&self, entry: &Entry) -> Result<Problems, Fault> {
        let row = self.certificate_of_tail(entry).await?;
        Ok(dangling_unless(row.is_some()))
    }

    pub(super) async fn issuer_use(&self, entry: &Entry) -> Result<Problems, Fault> {
        let Some(digest) = tail(&entry.key).and_then(Digest::parse) else {
            return Ok(dangling_unless(false));
        };
        let found = self.store.get(&Key::material(&digest)).await?;
        let material = found.and_then(|found| record::decode_material(&found.value).ok());
        let mut issuers = material.into_iter().flat_map(|material| material.issuers);
        let belongs = issuers.any(|issuer| Key::issuer_use(&Digest(issuer), &digest) == entry.key);
        Ok(dangling_unless(belongs))
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
