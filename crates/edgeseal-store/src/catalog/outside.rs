//! What visitors of domains find.

use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::Digest,
    domain::{Domain, Environment},
    outside::Observation,
};

use super::Catalog;
use crate::{Fault, Key, Write, record, write_all};

impl Catalog {
    /// What visitors of a domain have found last; `None` if nobody has looked, or long ago.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn observation(&self, domain: &Domain) -> Result<Option<Observation>, Fault> {
        let entry = self.store.get(&Key::observation(&domain.name)).await?;
        let found = entry
            .map(|entry| record::decode::<Observation>(&entry.value))
            .transpose()?;
        Ok(found.filter(|found| found.domain_id == domain.id))
    }

    /// Records what was found, until `expires`. Neither audited nor counted.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn write_observations(
        &self,
        found: &[(DomainPattern, Observation)],
        expires: Timestamp,
    ) -> Result<(), Fault> {
        let put = |(domain, observation): &(DomainPattern, Observation)| {
            Ok(Write::Put {
                key: Key::observation(domain),
                value: record::encode(observation)?,
                expires: Some(expires),
            })
        };
        let write: Result<Vec<Write>, Fault> = found.iter().map(put).collect();
        write_all(&*self.store, write?).await?;
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
