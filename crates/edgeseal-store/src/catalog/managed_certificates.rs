//! Managed certificates: the state of their orders, and the private keys of orders in progress.
//!
//! [`Domain::managed`](edgeseal_core::domain::Domain) and these records change in one transaction:
//! there is a record exactly for the environments that the domain names.

use edgeseal_core::{
    DomainPattern, Secret,
    domain::{Domain, Environment},
    managed_certificate::{KeyType, ManagedCertificate},
};

use super::{Catalog, Draft};
use crate::{Fault, Key, record::OrderKeyRecord};

impl Catalog {
    /// The state of a domain's managed certificate; `None` if it is not managed.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn managed_certificate(
        &self,
        name: &DomainPattern,
        environment: Environment,
    ) -> Result<Option<ManagedCertificate>, Fault> {
        self.read(&Key::managed_certificate(name, environment))
            .await
    }

    /// The private key (PKCS#8 DER) of an order in progress.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the key does not open.
    pub async fn order_key(
        &self,
        managed: &ManagedCertificate,
        key_type: KeyType,
    ) -> Result<Option<Secret>, Fault> {
        let key = Key::order_key(&managed.domain, managed.environment, key_type);
        let Some(row) = self.read::<OrderKeyRecord>(&key).await? else {
            return Ok(None);
        };
        let opened = self.keyring.open_text(&row.sealed_key, &key);
        opened
            .map(Some)
            .map_err(Fault::of("unseal the key of an order"))
    }
}

impl Draft {
    /// Reads the state of a domain's managed certificate.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn managed_certificate(
        &mut self,
        name: &DomainPattern,
        environment: Environment,
    ) -> Result<Option<ManagedCertificate>, Fault> {
        self.get(&Key::managed_certificate(name, environment)).await
    }

    /// Writes the state of a managed certificate.
    ///
    /// # Errors
    /// Never in practice; see [`crate::record::encode`].
    pub fn put_managed_certificate(&mut self, managed: &ManagedCertificate) -> Result<(), Fault> {
        let key = Key::managed_certificate(&managed.domain, managed.environment);
        self.put(key, managed)
    }

    /// Stores the private key (PKCS#8 DER) of an order, sealed.
    ///
    /// # Errors
    /// Never in practice; see [`crate::record::encode`].
    pub fn put_order_key(
        &mut self,
        managed: &ManagedCertificate,
        key_type: KeyType,
        private_key: &Secret,
    ) -> Result<(), Fault> {
        let key = Key::order_key(&managed.domain, managed.environment, key_type);
        let sealed_key = self.catalog.keyring.seal_text(private_key, &key);
        self.put(key, &OrderKeyRecord { sealed_key })
    }

    /// Deletes the private keys of orders that are finished.
    pub fn delete_order_keys(&mut self, managed: &ManagedCertificate) {
        self.delete_order_keys_of(&managed.domain, managed.environment);
    }

    /// Ends the management of certificates that the domain no longer names, and moves that of a
    /// staged one that was published.
    pub(super) async fn reconcile_managed(
        &mut self,
        before: &Domain,
        after: Option<&Domain>,
    ) -> Result<(), Fault> {
        for environment in &before.managed {
            if after.is_some_and(|after| after.is_managed(*environment)) {
                continue;
            }
            if let Some(after) = after
                && *environment == Environment::Staging
                && is_published(before, after)
                && let Some(mut managed) =
                    self.managed_certificate(&before.name, *environment).await?
            {
                managed.environment = Environment::Production;
                managed.orders.clear();
                self.delete_order_keys(&managed);
                self.put_managed_certificate(&managed)?;
            }
            self.delete(Key::managed_certificate(&before.name, *environment));
            self.delete_order_keys_of(&before.name, *environment);
        }
        Ok(())
    }

    fn delete_order_keys_of(&mut self, name: &DomainPattern, environment: Environment) {
        for key_type in [KeyType::P256, KeyType::Rsa2048] {
            self.delete(Key::order_key(name, environment, key_type));
        }
    }
}

/// Whether the staged certificate has become the production certificate, and stays managed.
fn is_published(before: &Domain, after: &Domain) -> bool {
    let certificate = |binding: &Option<_>| {
        let binding: Option<&edgeseal_core::domain::Binding> = binding.as_ref();
        binding.map(|binding| binding.certificate)
    };
    after.is_managed(Environment::Production)
        && before.staging.is_some()
        && certificate(&before.staging) == certificate(&after.production)
}
