use edgeseal_core::{AccountId, Pattern, certificate::CertificateId, domain::Domain};
use serde::de::DeserializeOwned;

use super::Catalog;
use crate::{
    Fault, Key, key,
    record::{self, CertificateRecord, CertificateSummary, DomainSummary, Since},
};

/// Entries of an index that are read at once.
const PAGE: usize = 10_000;

/// Which part of a listing is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How many are before it.
    pub skip: usize,
    /// How many it has at most.
    pub limit: usize,
}

/// A part of a listing, with the length of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The part.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: usize,
}

impl Span {
    /// The page of this number, from 1, of pages of `size`.
    #[must_use]
    pub const fn of_page(number: usize, size: usize) -> Self {
        Self {
            skip: number.saturating_sub(1).saturating_mul(size),
            limit: size,
        }
    }
}

/// A page in the making: counts all that match, keeps those of the span.
struct Picked<K> {
    span: Span,
    keys: Vec<K>,
    total: usize,
}

impl<K> Picked<K> {
    const fn new(span: Span) -> Self {
        Self {
            span,
            keys: Vec::new(),
            total: 0,
        }
    }

    fn add(&mut self, key: impl FnOnce() -> Result<K, Fault>) -> Result<(), Fault> {
        if self.total >= self.span.skip && self.keys.len() < self.span.limit {
            self.keys.push(key()?);
        }
        self.total += 1;
        Ok(())
    }
}

impl Catalog {
    /// The domains of an account in byte order of their names. The time grows with the part, and
    /// with the whole only as far as the engine counts and skips.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domains(&self, account: &AccountId, span: Span) -> Result<Listing<Domain>, Fault> {
        let prefix = key::account_domains(account);
        let window = self.store.window(&prefix, span.skip, span.limit).await?;
        let names = window
            .entries
            .iter()
            .map(|entry| name_in(&prefix, &entry.key))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listing {
            items: self.domains_named(&names).await?,
            total: window.total,
        })
    }

    /// The domains of an account that `wanted` takes, in byte order of their names. Looks at the
    /// summaries of all of them.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domains_where(
        &self,
        account: &AccountId,
        wanted: impl Fn(&str, &DomainSummary) -> bool + Send + Sync,
        span: Span,
    ) -> Result<Listing<Domain>, Fault> {
        let prefix = key::account_domains(account);
        let mut picked = Picked::new(span);
        self.scan(&prefix, |key: &Key, summary: DomainSummary| {
            let name = key.as_str().strip_prefix(&prefix).unwrap_or_default();
            if wanted(name, &summary) {
                picked.add(|| name_in(&prefix, key))?;
            }
            Ok(())
        })
        .await?;
        Ok(Listing {
            items: self.domains_named(&picked.keys).await?,
            total: picked.total,
        })
    }

    /// Shows the name and summary of every domain of an account, in byte order of the names.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn each_domain(
        &self,
        account: &AccountId,
        mut visit: impl FnMut(&str, &DomainSummary) + Send,
    ) -> Result<(), Fault> {
        let prefix = key::account_domains(account);
        self.scan(&prefix, |key: &Key, summary: DomainSummary| {
            let name = key.as_str().strip_prefix(&prefix).unwrap_or_default();
            visit(name, &summary);
            Ok(())
        })
        .await
    }

    /// The certificates of an account that `wanted` takes, in order of their numbers; those that
    /// their owner removed are not shown. Looks at the summaries of all of them.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificates_where(
        &self,
        account: &AccountId,
        wanted: impl Fn(&CertificateSummary) -> bool + Send + Sync,
        span: Span,
    ) -> Result<Listing<CertificateRecord>, Fault> {
        let prefix = key::account_certificates(account);
        let mut picked = Picked::new(span);
        self.scan(&prefix, |key: &Key, summary: CertificateSummary| {
            if !summary.removed && wanted(&summary) {
                picked.add(|| number_in(&prefix, key))?;
            }
            Ok(())
        })
        .await?;
        let mut items = Vec::with_capacity(picked.keys.len());
        for id in picked.keys {
            items.extend(self.certificate(id).await?);
        }
        Ok(Listing {
            items,
            total: picked.total,
        })
    }

    /// The domains that an account deleted and has not added again, with the time of it.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deleted_domains(
        &self,
        account: &AccountId,
        span: Span,
    ) -> Result<Listing<(Pattern, Since)>, Fault> {
        let prefix = key::deleted_domains(account);
        let window = self.store.window(&prefix, span.skip, span.limit).await?;
        let items = window
            .entries
            .iter()
            .map(|entry| Ok((name_in(&prefix, &entry.key)?, record::decode(&entry.value)?)))
            .collect::<Result<_, Fault>>()?;
        Ok(Listing {
            items,
            total: window.total,
        })
    }

    /// One deleted between the two reads is left out.
    async fn domains_named(&self, names: &[Pattern]) -> Result<Vec<Domain>, Fault> {
        let mut domains = Vec::with_capacity(names.len());
        for name in names {
            domains.extend(self.domain(name).await?);
        }
        Ok(domains)
    }

    async fn scan<T: DeserializeOwned + Send>(
        &self,
        prefix: &str,
        mut visit: impl FnMut(&Key, T) -> Result<(), Fault> + Send,
    ) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let page = self.store.list(prefix, after.as_ref(), PAGE).await?;
            for entry in &page.entries {
                visit(&entry.key, record::decode_summary(&entry.value)?)?;
            }
            if !page.more {
                return Ok(());
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
        }
    }
}

fn name_in(prefix: &str, key: &Key) -> Result<Pattern, Fault> {
    let name = key.as_str().strip_prefix(prefix).unwrap_or_default();
    Pattern::parse(name).map_err(Fault::of("decode a domain's name"))
}

fn number_in(prefix: &str, key: &Key) -> Result<CertificateId, Fault> {
    let number = key.as_str().strip_prefix(prefix).unwrap_or_default();
    number.parse().map_err(Fault::of("decode a number"))
}
