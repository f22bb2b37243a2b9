//! Managed certificates: the state of their orders, and the private keys of orders in progress.
//!
//! [`Domain::managed`](edgeseal_core::domain::Domain) and these records change in one transaction:
//! there is a record exactly for the environments that the domain names.

use edgeseal_core::{
    DomainPattern, Secret,
    domain::{Domain, Environment},
    managed_certificate::{FailedOrders, KeyType, ManagedCertificate},
};

use super::{ATTEMPTS, Catalog, Draft};
use crate::{
    CommitError, Expect, Fault, Key, LogWrite, Txn, Write,
    lease::Term,
    record::{self, HistoryRecord, OrderKeyRecord},
};

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

    /// The private key (PKCS#8 DER) of an order in progress; `None` also if it does not open, since
    /// the order cannot go on then either.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
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
        let opened = opened.inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::error!(key = %key, error, "the key of an order does not open");
        });
        Ok(opened.ok())
    }

    /// Changes the state of a managed certificate, and stores the private keys of orders (PKCS#8
    /// DER), sealed; deletes keys that no order has any more. Returns the new state, or `None` if
    /// there is none or it is another domain's. Not audited: what was asked for is. Failed orders
    /// are in the history of the domain.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn update_managed_certificate(
        &self,
        (name, environment, domain_id): (&DomainPattern, Environment, i64),
        keys: &[(KeyType, Secret)],
        change: impl Fn(&mut ManagedCertificate) + Send + Sync,
    ) -> Result<Option<ManagedCertificate>, Fault> {
        let of = (name, environment, domain_id);
        self.go_on_with_order(of, keys, change, None).await
    }

    /// As [`update_managed_certificate`](Self::update_managed_certificate), under a lease.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or the term of the lease is over.
    pub async fn go_on_with_order(
        &self,
        (name, environment, domain_id): (&DomainPattern, Environment, i64),
        keys: &[(KeyType, Secret)],
        change: impl Fn(&mut ManagedCertificate) + Send + Sync,
        term: Option<Term>,
    ) -> Result<Option<ManagedCertificate>, Fault> {
        let holder = Key::managed_certificate(name, environment);
        for _ in 0..ATTEMPTS {
            // Held until the store has committed: see `seal::RetiredKeys`.
            let _sealing = self.keyring.seal_guard();
            let Some(entry) = self.store.get(&holder).await? else {
                return Ok(None);
            };
            let before: ManagedCertificate = record::decode(&entry.value)?;
            if before.domain_id != domain_id {
                return Ok(None);
            }
            let mut after = before.clone();
            change(&mut after);
            let mut txn = Txn {
                expect: vec![Expect::same_as(holder.clone(), Some(&entry))],
                write: vec![Write::put(holder.clone(), record::encode(&after)?)],
                ..Txn::default()
            };
            txn.expect.extend(term.map(|term| term.guard()));
            for (key_type, private_key) in keys {
                let key = Key::order_key(name, environment, *key_type);
                let sealed_key = self.keyring.seal_text(private_key, &key);
                let value = record::encode(&OrderKeyRecord { sealed_key })?;
                txn.write.push(Write::put(key, value));
            }
            if let Some(failed) = after
                .failed
                .as_ref()
                .filter(|_| after.failed != before.failed)
            {
                txn.log.push(failed_orders(&after, failed)?);
            }
            for order in &before.orders {
                if !after.orders.iter().any(|kept| kept.key == order.key) {
                    let key = Key::order_key(name, environment, order.key);
                    txn.write.push(Write::Delete(key));
                }
            }
            match self.store.commit(txn).await {
                Ok(_) => return Ok(Some(after)),
                Err(CommitError::Conflict { key }) if term.is_some_and(|it| it.key() == key) => {
                    return Err(Fault::new("go on with an order: the lease was lost"));
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
        Err(Fault::new(
            "change a managed certificate: it changed all the time",
        ))
    }

    /// The private key of the certificate that was issued last, of the type given.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the key does not open.
    pub async fn issued_key(
        &self,
        managed: &ManagedCertificate,
        key_type: KeyType,
    ) -> Result<Option<Secret>, Fault> {
        let Some(issued) = &managed.issued else {
            return Ok(None);
        };
        for id in std::iter::once(issued.certificate).chain(issued.companion) {
            let row = self.certificate(id).await?;
            let Some(row) = row.filter(|row| KeyType::of(&row.info) == Some(key_type)) else {
                continue;
            };
            let Some(material) = self.material(&row.material).await? else {
                continue;
            };
            let holder = Key::material(&row.material);
            let opened = self.keyring.open(&material.sealed_key, &holder);
            return opened
                .map(Some)
                .map_err(Fault::of("unseal the key of a certificate"));
        }
        Ok(None)
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

/// The history entry of orders that failed. Its name does not end with the ID of the call that asked for
/// the certificate, which has an entry of its own.
fn failed_orders(managed: &ManagedCertificate, failed: &FailedOrders) -> Result<LogWrite, Fault> {
    let entry = HistoryRecord {
        at: failed.first,
        access_key: String::new(),
        action: "OrderCertificate".to_owned(),
        environment: Some(managed.environment),
        before: None,
        after: None,
        before_companion: None,
        after_companion: None,
        certificate: None,
        companion: None,
        failed: Some(failed.clone()),
        request_id: managed.requested.request_id.clone(),
    };
    let environment = managed.environment.as_str();
    let tail = format!("{}-{environment}", entry.request_id);
    let value = record::encode(&entry)?;
    Ok(LogWrite::history(
        &managed.domain,
        failed.first,
        &tail,
        value,
    ))
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
