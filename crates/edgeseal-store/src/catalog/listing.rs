//! Pages of domains and certificates, with their total number.

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp, certificate::CertificateId, domain::Domain,
};
use serde::de::DeserializeOwned;

use super::Catalog;
use crate::{
    Entry, Fault, Filter, Key, Listing, PAGE_MAX, Pages,
    filter::{CertificateFilter, DomainFilter},
    key,
    record::{self, CertificateRecord, DomainSummary, TimestampRecord, decode_summary},
};

/// A range of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pagination {
    /// How many items to skip.
    pub offset: usize,
    /// Most items to return.
    pub limit: usize,
}

impl Pagination {
    /// The page of this number, from 1, of pages of `size`.
    #[must_use]
    pub const fn of_page(number: usize, size: usize) -> Self {
        Self {
            offset: number.saturating_sub(1).saturating_mul(size),
            limit: size,
        }
    }
}

/// Listings of one account. Each reads only the records of its range. Without a filter, the time
/// grows with the total only as far as the engine counts and skips; with a filter, all summaries
/// are read inside the engine.
impl Catalog {
    /// The domains of an account in byte order of their names.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domains(
        &self,
        account: &AccountId,
        span: Pagination,
    ) -> Result<Listing<Domain>, Fault> {
        let prefix = key::account_domains(account);
        let window = self.store.window(&prefix, span.offset, span.limit).await?;
        self.domains_in(account, &prefix, window).await
    }

    /// The domains of an account that match.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domains_where(
        &self,
        account: &AccountId,
        filter: DomainFilter,
        span: Pagination,
    ) -> Result<Listing<Domain>, Fault> {
        let prefix = key::account_domains(account);
        let (narrow, filter) = filter.narrow(&prefix);
        let filter = Filter::Domains(filter);
        let window = self.store.select(&narrow, &filter, span.offset, span.limit);
        self.domains_in(account, &prefix, window.await?).await
    }

    /// The names of the domains of an account that `wanted` accepts, by name and summary, in byte
    /// order.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain_names_where(
        &self,
        account: &AccountId,
        wanted: impl Fn(&str, &DomainSummary<'_>) -> bool + Send + Sync + 'static,
    ) -> Result<Vec<String>, Fault> {
        let names = self.fold_domains(account, move |names: &mut Vec<String>, name, domain| {
            if wanted(name, domain) {
                names.push(name.to_owned());
            }
        });
        names.await
    }

    /// Shows each domain of an account, by name and summary in byte order of the names, to `fold`;
    /// returns what it made of them.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn fold_domains<T: Default + Send + 'static>(
        &self,
        account: &AccountId,
        fold: impl Fn(&mut T, &str, &DomainSummary<'_>) + Send + Sync + 'static,
    ) -> Result<T, Fault> {
        self.fold_summaries(key::account_domains(account), fold)
            .await
    }

    /// As [`fold_domains`](Self::fold_domains), of all accounts: shows account, name and summary.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn fold_all_domains<T: Default + Send + 'static>(
        &self,
        fold: impl Fn(&mut T, (&str, &str), &DomainSummary<'_>) + Send + Sync + 'static,
    ) -> Result<T, Fault> {
        let split = move |folded: &mut T, key: &str, summary: &DomainSummary<'_>| {
            if let Some(names) = key.split_once('/') {
                fold(folded, names, summary);
            }
        };
        let prefix = key::DOMAIN_SUMMARIES.to_owned();
        self.fold_summaries(prefix, split).await
    }

    /// Shows each domain summary under a prefix, with the rest of its key. Reads page by page, so
    /// that no snapshot of a large store is held open.
    async fn fold_summaries<T: Default + Send + 'static>(
        &self,
        prefix: String,
        fold: impl Fn(&mut T, &str, &DomainSummary<'_>) + Send + Sync + 'static,
    ) -> Result<T, Fault> {
        let mut folded = T::default();
        let mut pages = Pages::new(&*self.store, &prefix, PAGE_MAX);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                if let Ok(summary) = decode_summary(&entry.value) {
                    fold(&mut folded, &entry.key.as_str()[prefix.len()..], &summary);
                }
            }
        }
        Ok(folded)
    }

    /// How many domains of an account serve a chain that expires before `now`, and how many one
    /// that expires from then on and before `soon`.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn count_expiring(
        &self,
        account: &AccountId,
        now: Timestamp,
        soon: Timestamp,
    ) -> Result<(usize, usize), Fault> {
        let count =
            move |(ended, ending): &mut (usize, usize), _: &str, domain: &DomainSummary<'_>| {
                match &domain.served {
                    Some(bound) if bound.expires < now => *ended += 1,
                    Some(bound) if bound.expires < soon => *ending += 1,
                    _ => {}
                }
            };
        self.fold_domains(account, count).await
    }

    /// The IDs of the certificates of an account, of one region or of all, sorted within a region.
    /// Certificates that their owner removed are not included. Their records
    /// ([`certificates_by_id`](Self::certificates_by_id)) may be large: do not read all at once.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificates(
        &self,
        account: &AccountId,
        region: Option<&str>,
        span: Pagination,
    ) -> Result<Listing<CertificateId>, Fault> {
        let prefix = certificates(account, region);
        let window = self.store.window(&prefix, span.offset, span.limit).await?;
        certificate_ids(&window)
    }

    /// As [`certificates`](Self::certificates), of those that match.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificates_where(
        &self,
        account: &AccountId,
        region: Option<&str>,
        filter: CertificateFilter,
        span: Pagination,
    ) -> Result<Listing<CertificateId>, Fault> {
        let prefix = certificates(account, region);
        let filter = Filter::Certificates(filter);
        let window = self.store.select(&prefix, &filter, span.offset, span.limit);
        certificate_ids(&window.await?)
    }

    /// Several certificates, in the order of `ids`; missing ones are left out.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificates_by_id(
        &self,
        ids: &[CertificateId],
    ) -> Result<Vec<CertificateRecord>, Fault> {
        let keys: Vec<Key> = ids.iter().map(|id| Key::certificate(*id)).collect();
        self.read_many(&keys).await
    }

    /// The domains that an account deleted in the last 90 days and has not added again, with the
    /// time of deletion.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deleted_domains(
        &self,
        account: &AccountId,
        span: Pagination,
    ) -> Result<Listing<(DomainPattern, TimestampRecord)>, Fault> {
        let prefix = key::deleted_domains(account);
        let window = self.store.window(&prefix, span.offset, span.limit).await?;
        window.map(|entry| Ok((name_in(&prefix, &entry.key)?, record::decode(&entry.value)?)))
    }

    /// Domains deleted since, perhaps even added by another account, are left out.
    async fn domains_in(
        &self,
        account: &AccountId,
        prefix: &str,
        window: Listing<Entry>,
    ) -> Result<Listing<Domain>, Fault> {
        let names = window.items.iter();
        let keys = names
            .map(|entry| Ok(Key::domain(&name_in(prefix, &entry.key)?)))
            .collect::<Result<Vec<_>, Fault>>()?;
        let mut items: Vec<Domain> = self.read_many(&keys).await?;
        items.retain(|domain| domain.account == *account);
        Ok(Listing {
            items,
            total: window.total,
        })
    }

    /// Records deleted since their key was read are left out.
    pub(super) async fn read_many<T: DeserializeOwned>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<T>, Fault> {
        let entries = self.store.get_many(keys).await?;
        let present = entries.into_iter().flatten();
        present.map(|entry| record::decode(&entry.value)).collect()
    }
}

fn certificates(account: &AccountId, region: Option<&str>) -> String {
    match region {
        Some(region) => key::regional_certificates(account, region),
        None => key::account_certificates(account),
    }
}

fn name_in(prefix: &str, key: &Key) -> Result<DomainPattern, Fault> {
    let name = key.as_str().strip_prefix(prefix).unwrap_or_default();
    DomainPattern::parse(name).map_err(Fault::of("decode a domain's name"))
}

fn certificate_ids(window: &Listing<Entry>) -> Result<Listing<CertificateId>, Fault> {
    window.map(|entry| id_suffix(&entry.key))
}

fn id_suffix(key: &Key) -> Result<CertificateId, Fault> {
    let number = key.as_str().rsplit('/').next().unwrap_or_default();
    number.parse().map_err(Fault::of("decode a number"))
}
