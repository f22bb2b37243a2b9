use edgeseal_core::domain::Environment;

use super::Catalog;
use crate::{
    CommitError, Fault, Revision, Txn, Write, key,
    record::{self, EdgeRecord},
};

/// The group whose edges serve staged certificates.
pub(crate) const STAGING_GROUP: &str = "staging";

impl Catalog {
    /// What each edge reported last.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn edges(&self) -> Result<Vec<EdgeRecord>, Fault> {
        let page = self.store.list(key::EDGES, None, usize::MAX).await?;
        page.entries
            .iter()
            .map(|entry| record::decode(&entry.value))
            .collect()
    }

    /// Forgets all reports of edges: for a process that owns the store alone and has not started its
    /// edge yet, whatever stands there is of an earlier life.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn forget_edges(&self) -> Result<(), Fault> {
        let page = self.store.list(key::EDGES, None, usize::MAX).await?;
        let write: Vec<Write> = page
            .entries
            .into_iter()
            .map(|entry| Write::Delete(entry.key))
            .collect();
        if write.is_empty() {
            return Ok(());
        }
        match self
            .store
            .commit(Txn {
                expect: Vec::new(),
                write,
            })
            .await
        {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict { .. }) => {
                Err(Fault::new("forget edges: nothing was expected"))
            }
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }

    /// How many of the edges of `environment` serve `revision`, and how many there are.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn served(
        &self,
        environment: Environment,
        revision: Revision,
    ) -> Result<(usize, usize), Fault> {
        let edges = self.edges().await?;
        let of_environment = edges
            .iter()
            .filter(|edge| edge.environment() == environment);
        let (served, total) = of_environment.fold((0, 0), |(served, total), edge| {
            (served + usize::from(edge.revision >= revision.0), total + 1)
        });
        Ok((served, total))
    }
}

impl EdgeRecord {
    /// Which certificates this edge serves.
    #[must_use]
    pub fn environment(&self) -> Environment {
        if self.group == STAGING_GROUP {
            Environment::Staging
        } else {
            Environment::Production
        }
    }
}
