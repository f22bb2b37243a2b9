//! Managed certificates whose orders fail.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use edgeseal_core::{
    alarm::{Alarm, AlarmId, Code, FailedOrder},
    managed_certificate::ManagedCertificate,
};
use edgeseal_store::{
    Catalog, Fault, Key, PAGE_MAX, Pages, key::MANAGED_CERTIFICATES, record::decode,
};

use super::{fair_share::FairShare, others_with_alarm, pace::Pace};

/// Most failed orders that are kept, besides those that have an alarm; an issuer that is down fails
/// all.
const FAILED_MAX: usize = 1000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct FailedOrders {
    failed: Vec<FailedOrder>,
    /// How many failed in the last pass and are not kept.
    left_out: u64,
    pace: Pace,
}

impl FailedOrders {
    /// Reads all managed certificates if the last pass is long enough ago, else those that failed.
    /// What has an alarm is kept in any case.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; what was known stays.
    pub(super) async fn refresh(
        &mut self,
        catalog: &Catalog,
        alarms: &BTreeMap<AlarmId, Alarm>,
        interval: Duration,
    ) -> Result<(), Fault> {
        if !self.pace.is_due() {
            let orders = self.failed.iter();
            let keys = orders.map(|it| Key::managed_certificate(&it.domain, it.environment));
            self.failed = read_failed(catalog, keys.collect()).await?;
            return Ok(());
        }
        let began = Instant::now();
        let mut found = FairShare::new(FAILED_MAX);
        let mut pages = Pages::new(&**catalog.store(), MANAGED_CERTIFICATES, PAGE_MAX);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                if let Some(order) = failed(&entry.value) {
                    found.add(&order.account.to_string(), entry.key.to_string(), order);
                }
            }
        }
        let left_out = found.left_out();
        let mut kept: Vec<FailedOrder> = found.into_values().collect();
        if left_out > 0 {
            // An alarm ends with its condition, not because others have failed as well.
            let known = kept.iter().map(|it| (&it.domain, it.environment));
            let others = others_with_alarm(alarms, Code::OrderFailed, known).into_iter();
            let keys = others.map(|(domain, _, it)| Key::managed_certificate(&domain, it));
            let others = read_failed(catalog, keys.collect()).await?;
            kept.extend(others);
        }
        self.failed = kept;
        self.left_out = left_out;
        self.pace.passed(began.elapsed(), interval);
        Ok(())
    }

    /// The failed orders.
    pub(super) fn failed(&self) -> Vec<FailedOrder> {
        self.failed.clone()
    }

    /// How many failed orders are not among them.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }
}

async fn read_failed(catalog: &Catalog, keys: Vec<Key>) -> Result<Vec<FailedOrder>, Fault> {
    let mut orders = Vec::new();
    for keys in keys.chunks(FAILED_MAX) {
        let entries = catalog.store().get_many(keys).await?;
        let entries = entries.into_iter().flatten();
        orders.extend(entries.filter_map(|entry| failed(&entry.value)));
    }
    Ok(orders)
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
    use std::sync::Arc;

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
        catalog
            .store()
            .commit(Txn::new(expect, write))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn orders_that_fail_are_found_until_one_succeeds() {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = &Catalog::new(Arc::new(MemoryStore::new()), keyring);
        write(catalog, "good.example", "", None).await;
        write(catalog, "bad.example", "ca", Some("rate limited")).await;
        write(catalog, "none.example", "", Some("no issuer is configured")).await;
        let mut orders = FailedOrders::default();
        orders
            .refresh(catalog, &BTreeMap::new(), INTERVAL)
            .await
            .unwrap();
        let mut reasons: Vec<String> = orders.failed().into_iter().map(|it| it.reason).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["ca: rate limited", "no issuer is configured"]);
        // Seen without another pass.
        write(catalog, "bad.example", "ca", None).await;
        assert!(!orders.pace.is_due());
        orders
            .refresh(catalog, &BTreeMap::new(), INTERVAL)
            .await
            .unwrap();
        let left: Vec<String> = orders
            .failed()
            .iter()
            .map(|it| it.domain.to_string())
            .collect();
        assert_eq!(left, ["none.example"]);
    }
}
