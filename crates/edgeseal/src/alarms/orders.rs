//! Managed certificates whose orders fail.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use edgeseal_core::{alarm::FailedOrder, managed_certificate::ManagedCertificate};
use edgeseal_store::{Catalog, EntryFilter, Fault, Key, key::MANAGED_CERTIFICATES, record::decode};

use super::pace::Pace;

/// Most failed orders with an alarm of their own; an issuer that is down fails all.
const FAILED_MAX: usize = 1000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct FailedOrders {
    failed: Vec<FailedOrder>,
    pace: Pace,
}

impl FailedOrders {
    /// Reads all managed certificates if the last pass is long enough ago, else those that failed.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        interval: Duration,
    ) -> Result<(), Fault> {
        if !self.pace.is_due() {
            let keys = self.failed.iter();
            let keys = keys.map(|it| Key::managed_certificate(&it.domain, it.environment));
            let keys: Vec<Key> = keys.collect();
            let entries = catalog.store().get_many(&keys).await?;
            let entries = entries.into_iter().flatten();
            self.failed = entries.filter_map(|entry| failed(&entry.value)).collect();
            return Ok(());
        }
        let began = Instant::now();
        let found = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&found);
        let visit: EntryFilter = Arc::new(move |_, value| {
            let mut found = collected.lock().unwrap_or_else(PoisonError::into_inner);
            if found.len() < FAILED_MAX {
                found.extend(failed(value));
            }
            false
        });
        catalog
            .store()
            .select(MANAGED_CERTIFICATES, visit, 0, 0)
            .await?;
        self.failed = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        self.pace.passed(began.elapsed(), interval);
        Ok(())
    }

    /// The failed orders.
    pub(super) fn failed(&self) -> Vec<FailedOrder> {
        self.failed.clone()
    }
}

/// The order, if it failed.
fn failed(value: &[u8]) -> Option<FailedOrder> {
    let managed: ManagedCertificate = decode(value).ok()?;
    let failure = managed.failure?;
    let issuer = match failure.issuer.as_str() {
        "" => String::new(),
        issuer => format!("{issuer}: "),
    };
    Some(FailedOrder {
        domain: managed.domain,
        account: managed.account,
        environment: managed.environment,
        reason: format!("{issuer}{}", failure.reason),
    })
}

#[cfg(test)]
mod tests {
    use edgeseal_core::{
        AccountId, DomainPattern, Timestamp,
        domain::Environment,
        managed_certificate::{OrderFailure, OrderRequest},
    };
    use edgeseal_store::{Keyring, Txn, Write, memory::MemoryStore, record::encode};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const INTERVAL: Duration = Duration::from_secs(60);

    async fn write(catalog: &Catalog, name: &str, issuer: &str, reason: Option<&str>) {
        let request = OrderRequest {
            at: NOW,
            access_key: "key".to_owned(),
            action: "SetCdnDomainSSLCertificate".to_owned(),
            request_id: "1".to_owned(),
        };
        let name = DomainPattern::parse(name).unwrap();
        let account = AccountId::from_random(1);
        let environment = Environment::Production;
        let mut managed = ManagedCertificate::requested((name, 1), account, environment, request);
        managed.failure = reason.map(|reason| OrderFailure {
            at: NOW,
            issuer: issuer.to_owned(),
            reason: reason.to_owned(),
        });
        let key = Key::managed_certificate(&managed.domain, environment);
        let write = vec![Write::put(key, encode(&managed).unwrap())];
        let expect = Vec::new();
        catalog.store().commit(Txn { expect, write }).await.unwrap();
    }

    #[tokio::test]
    async fn orders_that_fail_are_found_until_one_succeeds() {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = &Catalog::new(Arc::new(MemoryStore::new()), keyring);
        write(catalog, "good.example", "", None).await;
        write(catalog, "bad.example", "ca", Some("rate limited")).await;
        write(catalog, "none.example", "", Some("no issuer is configured")).await;
        let mut orders = FailedOrders::default();
        orders.refresh(catalog, INTERVAL).await.unwrap();
        let mut reasons: Vec<String> = orders.failed().into_iter().map(|it| it.reason).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["ca: rate limited", "no issuer is configured"]);
        // Seen without another pass.
        write(catalog, "bad.example", "ca", None).await;
        assert!(!orders.pace.is_due());
        orders.refresh(catalog, INTERVAL).await.unwrap();
        let left: Vec<String> = orders
            .failed()
            .iter()
            .map(|it| it.domain.to_string())
            .collect();
        assert_eq!(left, ["none.example"]);
    }
}
