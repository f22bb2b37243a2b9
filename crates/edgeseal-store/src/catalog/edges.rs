use edgeseal_core::domain::Environment;

use super::Catalog;
use crate::{
    Fault, Revision, key,
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
