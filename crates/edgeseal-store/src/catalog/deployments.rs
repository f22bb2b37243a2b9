//! Deployments: certificates that were bound to many domains by one call, and how that ended.

use edgeseal_core::AccountId;

use super::{Catalog, Draft};
use crate::{Fault, Key, key, record, record::DeploymentRecord};

/// How many an account has at most; a new one takes the place of the oldest.
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

    /// Writes a new deployment; where the account has [`DEPLOYMENTS_MAX`], the oldest ones go.
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
        let many = (page.entries.len() + 1).saturating_sub(DEPLOYMENTS_MAX);
        for oldest in page.entries.into_iter().take(many) {
            self.delete(oldest.key);
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
