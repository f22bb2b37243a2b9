//! What visitors of domains find.

use std::collections::BTreeMap;

use edgeseal_core::{
    DomainPattern,
    certificate::Digest,
    domain::{Domain, Environment},
    outside::Observation,
};

use super::Catalog;
use crate::{Fault, Key, Write, record, write_all};

/// How long an observation is kept without another one: 30 days, during which this process may have
/// been stopped. A check that ends after its domain was deleted leaves it behind until then.
const KEEP_MS: i64 = 30 * 24 * 60 * 60 * 1000;

impl Catalog {
    /// What visitors of a domain have found last, however long ago; `None` if it was never checked.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn observation(&self, domain: &Domain) -> Result<Option<Observation>, Fault> {
        let entry = self.store.get(&Key::observation(&domain.name)).await?;
        // One that cannot be read is replaced soon, and must not break the reads of the domain.
        let found = entry.and_then(|entry| record::decode::<Observation>(&entry.value).ok());
        Ok(found.filter(|found| found.domain_id == domain.id))
    }

    /// Records what was found. Neither audited nor counted.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn write_observations(
        &self,
        found: &BTreeMap<DomainPattern, Observation>,
    ) -> Result<(), Fault> {
        let put = |(domain, observation): (&DomainPattern, &Observation)| {
            Ok(Write::Put {
                key: Key::observation(domain),
                value: record::encode(observation)?,
                expires: Some(observation.at.plus_ms(KEEP_MS)),
            })
        };
        let write: Vec<Write> = found.iter().map(put).collect::<Result<_, Fault>>()?;
        if !write.is_empty() {
            write_all(&*self.store, write).await?;
        }
        Ok(())
    }

    /// SHA-256 of the leaves that the production edges serve for a domain: none, one, or one for
    /// each kind of key.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn served_leaves(&self, domain: &Domain) -> Result<Vec<Digest>, Fault> {
        let mut leaves = Vec::new();
        let binding = domain.binding(Environment::Production);
        let Some(binding) = binding.filter(|binding| binding.enabled) else {
            return Ok(leaves);
        };
        for (id, _) in binding.certificates() {
            let certificate = self.certificate(id).await?;
            leaves.extend(certificate.and_then(|it| Digest::parse(&it.info.sha256)));
        }
        Ok(leaves)
    }
}
