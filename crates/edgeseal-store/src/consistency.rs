//! Checks, for the doctor, that records and indexes agree. Reads a whole store and changes nothing.
//!
//! It checks both directions: each record has its index entries, and each index entry leads to its
//! record. In a store with atomic commits they never disagree, but a disk, an edit with a SQLite
//! tool or a bug can break that.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use edgeseal_core::{
    account::Account,
    certificate::{CertificateInfo, Digest},
    domain::{Binding, Domain},
};
use serde::de::DeserializeOwned;

use crate::{
    Entry, Fault, Key, Lists, Pages,
    catalog::{Pointer, access_key_index, bound_certificates, subdomain_key},
    key,
    record::{
        self, AccessKeyRecord, BindingSummary, CertificateRecord, CertificateSummary,
        ChallengeRecord, ContentRecord, DomainSummary,
    },
};

mod history;
mod indexes;

pub use history::{HistoryReport, check_history};

/// What was checked, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsistencyReport {
    /// Domains checked.
    pub domains: u64,
    /// Certificates checked.
    pub certificates: u64,
    /// Index entries checked.
    pub indexed: u64,
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
}

/// An inconsistency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key at which it was found.
    pub key: Key,
    /// What is wrong with it.
    pub what: String,
}

/// Records read at once.
const PAGE: usize = 500;

/// Checks everything.
///
/// # Errors
/// A [`Fault`] if the store cannot be read; a value that cannot be decoded is a [`Finding`].
pub async fn check(store: &dyn Lists) -> Result<ConsistencyReport, Fault> {
    let mut check = Checker {
        store,
        found: ConsistencyReport::default(),
        issuers: Mutex::default(),
    };
    check.each(key::ACCOUNTS, Checker::account).await?;
    check.each(key::ACCESS_KEYS, Checker::access_key).await?;
    check.each(key::DOMAINS, Checker::domain).await?;
    check.each(key::CERTIFICATES, Checker::certificate).await?;
    check.each(key::MATERIALS, Checker::material).await?;
    check
        .each(key::ACCOUNT_NAMES, Checker::account_name)
        .await?;
    for prefix in [key::ACCOUNT_ACCESS_KEYS, key::USER_ACCESS_KEYS] {
        check.each(prefix, Checker::listed_access_key).await?;
    }
    check
        .each(key::DOMAIN_SUMMARIES, Checker::listed_domain)
        .await?;
    check.each(key::SUBDOMAINS, Checker::name_below).await?;
    check
        .each(key::CERTIFICATE_SUMMARIES, Checker::listed_certificate)
        .await?;
    check.each(key::CERTIFICATE_NAMES, Checker::name).await?;
    check.each(key::CONTENTS, Checker::content).await?;
    check
        .each(key::CERTIFICATE_USES, Checker::certificate_use)
        .await?;
    check.each(key::UPLOADS, Checker::uploads).await?;
    for prefix in [key::ORIGINAL_CHAINS, key::ORIGINAL_KEYS] {
        check.each(prefix, Checker::original_pem).await?;
    }
    check.each(key::ISSUERS, Checker::issuer).await?;
    check.each(key::COUNTS, Checker::count).await?;
    check.each(key::CHALLENGES, Checker::challenge).await?;
    Ok(check.found)
}

struct Checker<'a> {
    store: &'a dyn Lists,
    found: ConsistencyReport,
    /// How often material uses each intermediate.
    issuers: Mutex<HashMap<Digest, u64>>,
}

/// What is wrong with one entry.
type Problems = Vec<String>;

impl Checker<'_> {
    async fn each(
        &mut self,
        prefix: &str,
        look: impl AsyncFn(&Self, &Entry) -> Result<Problems, Fault>,
    ) -> Result<(), Fault> {
        let mut count = 0;
        let mut pages = Pages::new(self.store, prefix, PAGE);
        while let Some(entries) = pages.next().await? {
            for entry in &entries {
                count += 1;
                for what in look(self, entry).await? {
                    let key = entry.key.clone();
                    self.found.findings.push(Finding { key, what });
                }
            }
        }
        match prefix {
            key::DOMAINS => self.found.domains += count,
            key::CERTIFICATES => self.found.certificates += count,
            key::ACCOUNTS | key::ACCESS_KEYS | key::MATERIALS | key::COUNTS | key::CHALLENGES => {}
            _ => self.found.indexed += count,
        }
        Ok(())
    }

    async fn account(&self, entry: &Entry) -> Result<Problems, Fault> {
        let account: Account = match decode(entry) {
            Ok(account) => account,
            Err(wrong) => return Ok(wrong),
        };
        let mut wrong = check_own_key(entry, &Key::account(&account.id));
        let named = Key::account_name(&account.name);
        let found = self.store.get(&named).await?;
        if found.is_none_or(|found| found.value != account.id.as_str().as_bytes()) {
            wrong.push(format!("its name does not lead to it ({named})"));
        }
        Ok(wrong)
    }

    async fn access_key(&self, entry: &Entry) -> Result<Problems, Fault> {
        let row: AccessKeyRecord = match decode(entry) {
            Ok(row) => row,
            Err(wrong) => return Ok(wrong),
        };
        let mut wrong = check_own_key(entry, &Key::access_key(&row.key.id));
        self.require(&mut wrong, &access_key_index(&row.key))
            .await?;
        let account = Key::account(&row.key.account);
        self.require(&mut wrong, &account).await?;
        Ok(wrong)
    }

    async fn domain(&self, entry: &Entry) -> Result<Problems, Fault> {
        let domain: Domain = match decode(entry) {
            Ok(domain) => domain,
            Err(wrong) => return Ok(wrong),
        };
        let mut wrong = check_own_key(entry, &Key::domain(&domain.name));
        self.require(&mut wrong, &Key::account(&domain.account))
            .await?;
        if let Some((_, key)) = subdomain_key(&domain.name) {
            let owner = domain.account.as_str().as_bytes();
            self.require_value(&mut wrong, &key, owner).await?;
        }
        let mut summaries = [None, None];
        let bindings = [&domain.production, &domain.staging];
        for (binding, summary) in bindings.into_iter().zip(&mut summaries) {
            let Some(binding) = binding else { continue };
            let found = self.check_binding(&mut wrong, &domain, binding).await?;
            *summary =
                (binding.enabled && !found.is_empty()).then(|| BindingSummary::of(binding, &found));
        }
        let [served, staged] = summaries;
        let summary = record::encode_summary(&DomainSummary::of(&domain, served, staged))?;
        let listed = Key::account_domain(&domain.account, &domain.name);
        self.require_value(&mut wrong, &listed, &summary).await?;
        Ok(wrong)
    }

    /// Checks the certificates of a binding; returns those that exist.
    async fn check_binding(
        &self,
        wrong: &mut Problems,
        domain: &Domain,
        binding: &Binding,
    ) -> Result<Vec<CertificateInfo>, Fault> {
        let mut found_infos = Vec::new();
        let mut kinds = Vec::new();
        for (id, material) in binding.certificates() {
            let found = self
                .read::<CertificateRecord>(&Key::certificate(id))
                .await?;
            let Some(certificate) = found else {
                wrong.push(format!(
                    "certificate {id}, which it has bound, is not there"
                ));
                continue;
            };
            if certificate.account != domain.account {
                wrong.push(format!(
                    "certificate {id}, which it has bound, is another account's"
                ));
            }
            if certificate.material != material {
                wrong.push(format!(
                    "it serves other material than that of certificate {id}"
                ));
            }
            if certificate.uploaded_for.as_ref() != Some(&domain.name) {
                let used = Key::certificate_use(id, &domain.name);
                self.require(wrong, &used).await?;
            }
            self.require_private_key(wrong, &material).await?;
            kinds.push(certificate.info.key);
            found_infos.push(certificate.info);
        }
        if let (Some(companion), [first, second]) = (&binding.companion, &kinds[..])
            && (first == second || *second != companion.key)
        {
            let id = companion.certificate;
            wrong.push(format!(
                "certificate {id} has a key of {second}, beside one of {first}"
            ));
        }
        Ok(found_infos)
    }

    async fn certificate(&self, entry: &Entry) -> Result<Problems, Fault> {
        let row: CertificateRecord = match decode(entry) {
            Ok(row) => row,
            Err(wrong) => return Ok(wrong),
        };
        let mut wrong = check_own_key(entry, &Key::certificate(row.id));
        self.require(&mut wrong, &Key::material(&row.material))
            .await?;
        let content = Key::content(&row.material, &row.account);
        let same: Option<ContentRecord> = self.read(&content).await?;
        if !same.is_some_and(|same| same.certificates.contains(&row.id)) {
            wrong.push(format!("its content does not lead to it ({content})"));
        }
        if row.removed {
            let uses = self
                .store
                .list(&key::certificate_uses(row.id), None, 1)
                .await?;
            if uses.entries.is_empty() && !self.is_bound_by_own_domain(&row).await? {
                wrong.push("it was removed, and no domain keeps it".to_owned());
            }
            return Ok(wrong);
        }
        let listed = Key::account_certificate(&row.account, &row.region, row.id);
        let summary = record::encode_summary(&CertificateSummary::of(&row))?;
        self.require_value(&mut wrong, &listed, &summary).await?;
        let named = Key::certificate_name(&row.account, &row.name);
        let pointer: Option<Pointer> = self.read(&named).await?;
        if pointer.is_none_or(|pointer| pointer.certificate != row.id) {
            wrong.push(format!("its name does not lead to it ({named})"));
        }
        Ok(wrong)
    }

    /// Whether the domain that a certificate was uploaded for has it bound.
    async fn is_bound_by_own_domain(&self, row: &CertificateRecord) -> Result<bool, Fault> {
        let Some(own) = &row.uploaded_for else {
            return Ok(false);
        };
        let domain: Option<Domain> = self.read(&Key::domain(own)).await?;
        Ok(domain.is_some_and(|domain| bound_certificates(&domain).contains(&row.id)))
    }

    async fn material(&self, entry: &Entry) -> Result<Problems, Fault> {
        let Ok(material) = record::decode_material(&entry.value) else {
            return Ok(vec!["it does not read".to_owned()]);
        };
        let mut wrong = Vec::new();
        let mut chain = vec![material.leaf];
        for issuer in material.issuers.into_iter().map(Digest) {
            match self.store.get(&Key::issuer(&issuer)).await? {
                Some(found) => chain.push(found.value.to_vec()),
                None => wrong.push(format!("its issuer {issuer} is not there")),
            }
            let mut counted = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
            *counted.entry(issuer).or_default() += 1;
        }
        let digest = Digest::of_chain(chain.iter().map(Vec::as_slice));
        if wrong.is_empty() && Key::material(&digest) != entry.key {
            wrong.push(
                "leaf and chain do not have the digest that they are stored under".to_owned(),
            );
        }
        let stored_as = tail(&entry.key).and_then(Digest::parse);
        if let Some(stored_as) = stored_as {
            let uses = key::contents(&stored_as);
            if self.store.list(&uses, None, 1).await?.entries.is_empty() {
                wrong.push("no certificate has it".to_owned());
            }
        }
        Ok(wrong)
    }

    /// One that is left over is no finding: it expires.
    #[expect(clippy::unused_async, reason = "of the form of the other checks")]
    async fn challenge(&self, entry: &Entry) -> Result<Problems, Fault> {
        Ok(match decode::<ChallengeRecord>(entry) {
            Ok(challenge) => check_own_key(entry, &challenge.key()),
            Err(wrong) => wrong,
        })
    }

    /// A record; `None` also if it cannot be decoded, which is reported at its own key.
    async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Fault> {
        let entry = self.store.get(key).await?;
        Ok(entry.and_then(|entry| record::decode(&entry.value).ok()))
    }

    async fn require(&self, wrong: &mut Problems, key: &Key) -> Result<(), Fault> {
        if self.store.get(key).await?.is_none() {
            wrong.push(format!("{key} is missing"));
        }
        Ok(())
    }

    async fn require_value(
        &self,
        wrong: &mut Problems,
        key: &Key,
        value: &[u8],
    ) -> Result<(), Fault> {
        match self.store.get(key).await? {
            None => wrong.push(format!("{key} is missing")),
            Some(found) if found.value != value => wrong.push(format!("{key} says something else")),
            Some(_) => {}
        }
        Ok(())
    }

    /// Checks that the material exists and has a private key.
    async fn require_private_key(
        &self,
        wrong: &mut Problems,
        digest: &Digest,
    ) -> Result<(), Fault> {
        let found = self.store.get(&Key::material(digest)).await?;
        let material = found.and_then(|entry| record::decode_material(&entry.value).ok());
        match material {
            None => wrong.push(format!("material {digest}, which it serves, is not there")),
            Some(material) if material.sealed_key.is_empty() => {
                wrong.push(format!(
                    "material {digest}, which it serves, has no private key"
                ));
            }
            Some(_) => {}
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, Problems> {
    record::decode(&entry.value).map_err(|_| vec!["it does not read".to_owned()])
}

fn check_own_key(entry: &Entry, expected: &Key) -> Problems {
    if entry.key == *expected {
        Vec::new()
    } else {
        vec![format!("it is the record of {expected}")]
    }
}

fn tail(key: &Key) -> Option<&str> {
    key.as_str().rsplit_once('/').map(|(_, tail)| tail)
}
