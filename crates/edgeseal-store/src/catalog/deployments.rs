//! Deployments: calls that bind certificates to many domains, and their results.

use std::collections::{BTreeSet, HashMap};

use edgeseal_core::AccountId;

use super::{Catalog, Draft, Pagination};
use crate::{
    Entry, Fault, Key, Listing, PAGE_MAX, key, record,
    record::{DeploymentCreator, DeploymentRecord},
};

/// Most deployments of an account; a new one replaces the oldest of the creator that has most.
pub const DEPLOYMENTS_MAX: usize = 100;
/// Longest stored reason why a domain does not have its certificate, in characters: a reason that
/// lists all names of a certificate would be repeated for each domain of a deployment.
const FAILURE_MAX: usize = 500;
/// How long a deployment is kept after its last change: 30 days.
const DEPLOYMENT_TTL_MS: i64 = 30 * 24 * 60 * 60 * 1000;

impl Catalog {
    /// Reads a deployment.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deployment(
        &self,
        account: &AccountId,
        id: i64,
    ) -> Result<Option<DeploymentRecord>, Fault> {
        let entry = self.store.get(&Key::deployment(account, id)).await?;
        entry.map(|entry| record::decode(&entry.value)).transpose()
    }

    /// A part of the deployments of an account, the newest first.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deployments(
        &self,
        account: &AccountId,
        span: Pagination,
    ) -> Result<Listing<DeploymentRecord>, Fault> {
        let prefix = key::deployments(account);
        let total = self.store.window(&prefix, 0, 0).await?.total;
        let (skip, limit) = from_the_end(total, span);
        let window = self.store.window(&prefix, skip, limit).await?;
        newest_first(&window.items, total)
    }

    /// As [`deployments`](Self::deployments), of those that `wanted` accepts. Reads all of them, page by
    /// page: they are removed after 30 days.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deployments_where(
        &self,
        account: &AccountId,
        wanted: impl Fn(&DeploymentRecord) -> bool + Send + Sync,
        span: Pagination,
    ) -> Result<Listing<DeploymentRecord>, Fault> {
        let prefix = key::deployments(account);
        let mut found = Listing::default();
        let mut before = None;
        loop {
            let page = self.store.list_reverse(&prefix, before.as_ref(), PAGE_MAX);
            let page = page.await?;
            for entry in &page.entries {
                let deployment = record::decode(&entry.value);
                // An undecodable deployment is included, so that it is reported and not lost.
                if deployment.as_ref().map_or(true, &wanted) {
                    found.add(span.offset, span.limit, || deployment)?;
                }
            }
            before = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.has_more {
                return Ok(found);
            }
        }
    }
}

/// Converts an offset and limit from the end of a listing to its opposite order.
fn from_the_end(total: usize, span: Pagination) -> (usize, usize) {
    let end = total.saturating_sub(span.offset);
    let skip = end.saturating_sub(span.limit);
    (skip, end - skip)
}

fn newest_first(oldest_first: &[Entry], total: usize) -> Result<Listing<DeploymentRecord>, Fault> {
    let entries = oldest_first.iter().rev();
    let items = entries.map(|entry| record::decode(&entry.value));
    Ok(Listing {
        items: items.collect::<Result<_, _>>()?,
        total,
    })
}

impl Draft {
    /// An ID for a new deployment.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn new_deployment_id(&self) -> Result<i64, Fault> {
        self.catalog.ids.deployment().await
    }

    /// Reads a deployment.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deployment(
        &mut self,
        account: &AccountId,
        id: i64,
    ) -> Result<Option<DeploymentRecord>, Fault> {
        self.get(&Key::deployment(account, id)).await
    }

    /// Adds a deployment. If the account has [`DEPLOYMENTS_MAX`], the oldest of the creator that
    /// has most is removed, so that one creator cannot displace those of another.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn add_deployment(
        &mut self,
        account: &AccountId,
        deployment: &DeploymentRecord,
    ) -> Result<(), Fault> {
        let prefix = key::deployments(account);
        // Concurrent calls may leave a few more, which later ones remove.
        let page = self.catalog.store.list(&prefix, None, 2 * DEPLOYMENTS_MAX);
        let page = page.await?;
        if page.entries.len() >= DEPLOYMENTS_MAX {
            let creators = page.entries.iter();
            let creators = creators.map(|entry| record::decode::<DeploymentCreator>(&entry.value));
            let creators: Vec<_> = creators.collect::<Result<_, _>>()?;
            let creators: Vec<&str> = creators.iter().map(|it| it.created_by.as_str()).collect();
            let gone = displaced(&creators, &deployment.created_by, DEPLOYMENTS_MAX);
            for (index, entry) in page.entries.into_iter().enumerate() {
                if gone.contains(&index) {
                    self.delete(entry.key);
                }
            }
        }
        self.put_deployment(account, deployment)
    }

    /// Writes a deployment. Reasons are cut to 500 characters.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn put_deployment(
        &mut self,
        account: &AccountId,
        deployment: &DeploymentRecord,
    ) -> Result<(), Fault> {
        let key = Key::deployment(account, deployment.id);
        let mut kept = deployment.clone();
        for failure in kept.domains.iter_mut().filter_map(|it| it.failure.as_mut()) {
            if let Some((end, _)) = failure.char_indices().nth(FAILURE_MAX) {
                failure.truncate(end);
                failure.push_str("...");
            }
        }
        self.put_until(key, &kept, deployment.changed.plus_ms(DEPLOYMENT_TTL_MS))
    }

    /// Deletes a deployment. What it bound stays bound.
    pub fn delete_deployment(&mut self, account: &AccountId, id: i64) {
        self.delete(Key::deployment(account, id));
    }
}

/// Which deployments by these creators, oldest first, a new one of `new` displaces if `most` are
/// kept: repeatedly the oldest of the creator that has most; on a tie the oldest of these.
fn displaced(creators: &[&str], new: &str, most: usize) -> BTreeSet<usize> {
    let mut counts = HashMap::from([(new, 1_usize)]);
    for creator in creators {
        *counts.entry(creator).or_default() += 1;
    }
    let mut gone = BTreeSet::new();
    while creators.len() + 1 - gone.len() > most {
        let kept = creators.iter().enumerate();
        let kept = kept.filter(|(index, _)| !gone.contains(index));
        let oldest_first = kept.rev();
        // On a tie `max_by_key` returns the last one, which is the oldest.
        let Some((index, creator)) = oldest_first.max_by_key(|(_, creator)| counts[**creator])
        else {
            break;
        };
        gone.insert(index);
        if let Some(count) = counts.get_mut(creator) {
            *count -= 1;
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_most_makes_room() {
        for (creators, new, most, gone) in [
            ("", "a", 1, &[][..]),
            ("aa", "a", 3, &[]),
            ("aaa", "a", 3, &[0]),
            ("baa", "a", 3, &[1]),
            ("abb", "a", 3, &[0]),
            ("abbb", "a", 4, &[1]),
            ("baac", "d", 4, &[1]),
            ("bac", "d", 3, &[0]),
            ("bac", "a", 3, &[1]),
            ("baaaa", "b", 3, &[0, 1, 2]),
            ("bbaaaa", "c", 3, &[0, 2, 3, 4]),
            ("ab", "c", 1, &[0, 1]),
        ] {
            let each: Vec<String> = creators.chars().map(String::from).collect();
            let each: Vec<&str> = each.iter().map(String::as_str).collect();
            let found: Vec<usize> = displaced(&each, new, most).into_iter().collect();
            assert_eq!(found, gone, "{new} comes to {creators:?}");
        }
    }
}
