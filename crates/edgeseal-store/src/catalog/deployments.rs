//! Deployments: certificates that were bound to many domains by one call, and how that ended.

use std::collections::{BTreeSet, HashMap};

use edgeseal_core::AccountId;

use super::{Catalog, Draft};
use crate::{
    Fault, Key, key, record,
    record::{DeploymentCreator, DeploymentRecord},
};

/// How many an account has at most; a new one takes the place of the oldest of whoever has most.
pub const DEPLOYMENTS_MAX: usize = 100;
/// How long one is shown after its last change: 30 days.
const SHOWN_MS: i64 = 30 * 24 * 60 * 60 * 1000;

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

    /// All deployments of an account, the newest first.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deployments(&self, account: &AccountId) -> Result<Vec<DeploymentRecord>, Fault> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let prefix = key::deployments(account);
            let page = self.store.list(&prefix, after.as_ref(), DEPLOYMENTS_MAX);
            let page = page.await?;
            for entry in &page.entries {
                found.push(record::decode::<DeploymentRecord>(&entry.value)?);
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.more {
                break;
            }
        }
        found.sort_by_key(|deployment| std::cmp::Reverse(deployment.id));
        Ok(found)
    }
}

impl Draft {
    /// A number for a new deployment.
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

    /// Writes a new deployment; where the account has [`DEPLOYMENTS_MAX`], the oldest of whoever has
    /// most goes: nobody's last ones are pushed out by many of another.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn add_deployment(
        &mut self,
        account: &AccountId,
        deployment: &DeploymentRecord,
    ) -> Result<(), Fault> {
        let prefix = key::deployments(account);
        // Calls at the same moment may leave some more, which later ones take away.
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

    /// Writes a deployment.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn put_deployment(
        &mut self,
        account: &AccountId,
        deployment: &DeploymentRecord,
    ) -> Result<(), Fault> {
        let key = Key::deployment(account, deployment.id);
        self.put_until(key, deployment, deployment.changed.plus_ms(SHOWN_MS))
    }

    /// Forgets a deployment. What it bound stays bound.
    pub fn delete_deployment(&mut self, account: &AccountId, id: i64) {
        self.delete(Key::deployment(account, id));
    }
}

/// Which deployments of these creators, the oldest first, make room for another one of `new` where
/// `most` are kept: one after the other the oldest of whoever has most, of several such the oldest.
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
        // Of equals the last is taken, which is the oldest.
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
