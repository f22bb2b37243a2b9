//! Orders that go on from the store, in a world that has changed meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use edgeseal_acme::{
    CertificateSettings, ChallengeSolver, EdgeSolver, IssuedKeys, OrderError, Settings,
    challenge::{Challenge, ChallengeMethod},
};
use edgeseal_core::{
    Secret,
    domain::Environment,
    managed_certificate::{KeyType, ManagedCertificate, Order},
    quota::{Quota, Quotas},
};
use edgeseal_store::{Catalog, CommitError, Fault, Keyring, SharedStore, Txn, Write, key, record};
use edgeseal_testing::{
    acme_proxy::{AcmeProxy, FINALIZE, NEW_ORDER, ORDER},
    clock::now,
    observed_store::{Observe, ObservedStore, Operation},
    pebble::PebbleOptions,
    wait::eventually,
};

use http::header::RETRY_AFTER;

use crate::harness::{Fixture, domain_name, issuer, order_at, run_on, run_with, settings};

#[tokio::test]
async fn an_order_at_another_directory_of_that_name_is_given_up() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let staging = issuer("ca", "https://127.0.0.1/staging".to_owned());
    let order = Order {
        chain: Some("signed by a test authority".to_owned()),
        finalizing: true,
        ..order_at(&staging)
    };
    fixture.put_orders(&[order]).await;
    let production = issuer("ca", fixture.pebble.directory());
    let running = fixture.run(vec![production]).await;
    let reason = fixture.failure().await;
    assert!(reason.contains("no longer configured"), "{reason}");
    fixture.request_again().await;
    let issued = fixture.success().await.issued.unwrap();
    assert_eq!(issued.directory, fixture.pebble.directory());
    running.stop().await;
}

#[tokio::test]
async fn an_order_whose_key_does_not_open_is_given_up() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let other = Keyring::parse(&Keyring::generate()).unwrap();
    let other = Catalog::new(Arc::clone(&fixture.store), other);
    let of = (&fixture.name, Environment::Production, 1);
    let keys = [(KeyType::P256, Secret::new(b"sealed otherwise".to_vec()))];
    let order = order_at(&fixture.issuer());
    let put = |managed: &mut ManagedCertificate| managed.orders = vec![order.clone()];
    let updated = other.update_managed_certificate(of, &keys, put).await;
    assert!(updated.unwrap().is_some());
    let running = fixture.run(vec![fixture.issuer()]).await;
    let reason = fixture.failure().await;
    assert_eq!(reason, "the key of the order cannot be read");
    fixture.request_again().await;
    fixture.success().await;
    running.stop().await;
}

/// Sees that the orders of a domain are stored at once.
#[derive(Default)]
struct StoredAtOnce {
    has_orders: AtomicBool,
}

impl Observe for StoredAtOnce {
    fn before(&self, _: Operation<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn before_commit(&self, txn: &Txn) -> Result<(), CommitError> {
        for write in &txn.write {
            if let Write::Put { key, value, .. } = write
                && key.as_str().starts_with(key::MANAGED_CERTIFICATES)
            {
                let managed: ManagedCertificate = record::decode(value).unwrap();
                let orders = managed.orders.len();
                assert!(
                    orders == 0 || orders == 2,
                    "{orders} of 2 orders are stored"
                );
                self.has_orders.fetch_or(orders == 2, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_orders_of_both_keys_are_stored_at_once() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let observed = ObservedStore::over(Arc::clone(&fixture.store), StoredAtOnce::default());
    let catalog = Catalog::new(
        Arc::clone(&observed) as SharedStore,
        fixture.keyring.clone(),
    );
    let mut config = fixture.issuer();
    config.key = IssuedKeys::Both;
    let running = run_on(catalog, vec![config]).await;
    fixture.success().await;
    assert!(observed.has_orders.load(Ordering::SeqCst));
    running.stop().await;
}

#[tokio::test]
async fn a_certificate_for_which_there_is_no_room_is_bound_once_there_is() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    let config = issuer("proxied", proxy.directory());
    let full = Settings {
        certificates: CertificateSettings {
            quotas: Quotas {
                certificates: Quota::AtMost(0),
                ..Quotas::default()
            },
            region: "region",
        },
        ..settings(&fixture.catalog, vec![config.clone()])
    };
    let running = run_with(fixture.catalog.clone(), full).await;
    fixture.failure().await;
    let again = fixture.managed_when("it is tried again", |managed| managed.backoff.failures > 0);
    assert!(again.await.orders[0].chain.is_some());
    fixture.request_again().await;
    running.stop().await;
    let running = fixture.run(vec![config]).await;
    fixture.request_again().await;
    fixture.success().await;
    running.stop().await;
    assert_eq!(proxy.requests(FINALIZE).len(), 1, "it is issued once");
    assert_eq!(fixture.keys(key::ORDER_KEYS).await, []);
}

/// Does something while challenges are provisioned, and counts how often they are.
struct Meddling {
    solver: EdgeSolver,
    provisions: Arc<AtomicUsize>,
    /// Whether it goes on for ever then.
    hangs: bool,
    catalog: Option<Catalog>,
}

impl Meddling {
    fn new(fixture: &Fixture) -> Self {
        Self {
            solver: EdgeSolver::http_01(fixture.catalog.clone(), now),
            provisions: Arc::default(),
            hangs: false,
            catalog: None,
        }
    }

    /// Runs with this as the only solver.
    async fn run(self, fixture: &Fixture, proxy: &AcmeProxy) -> crate::harness::Running {
        let config = issuer("proxied", proxy.directory());
        let settings = Settings {
            solvers: vec![Arc::new(self)],
            ..settings(&fixture.catalog, vec![config])
        };
        run_with(fixture.catalog.clone(), settings).await
    }
}

#[async_trait]
impl ChallengeSolver for Meddling {
    fn method(&self) -> ChallengeMethod {
        self.solver.method()
    }

    async fn provision(
        &self,
        environment: Environment,
        challenges: &[Challenge],
    ) -> Result<(), OrderError> {
        let earlier = self.provisions.fetch_add(1, Ordering::SeqCst);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(catalog) = &self.catalog
            && earlier == 0
        {
            // As HTTPS that is switched off, and on again with another order.
            let of = (&domain_name(), Environment::Production, 1);
            let anew = |managed: &mut ManagedCertificate| managed.orders.clear();
            let updated = catalog.update_managed_certificate(of, &[], anew).await;
            assert!(updated.unwrap().is_some());
        }
        self.solver.provision(environment, challenges).await
    }

    async fn clean_up(
        &self,
        environment: Environment,
        challenges: &[Challenge],
    ) -> Result<(), OrderError> {
        self.solver.clean_up(environment, challenges).await
    }
}

#[tokio::test]
async fn an_order_that_was_given_up_meanwhile_binds_nothing() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    let solver = Meddling {
        catalog: Some(fixture.catalog.clone()),
        ..Meddling::new(&fixture)
    };
    let running = solver.run(&fixture, &proxy).await;
    let issued = fixture.success().await.issued.unwrap();
    assert_eq!(issued.issuer, "proxied");
    running.stop().await;
    assert_eq!(proxy.requests(NEW_ORDER).len(), 2);
    assert_eq!(proxy.requests(FINALIZE).len(), 1, "the first is not signed");
}

#[tokio::test]
async fn a_challenge_whose_method_is_no_longer_configured_is_left() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let left = Challenge {
        method: ChallengeMethod::Dns01,
        name: domain_name().to_string(),
        wildcard: false,
        token: "of-an-earlier-order".to_owned(),
        key_authorization: "of-an-earlier-order.thumbprint".to_owned(),
        dns_value: "value".to_owned(),
    };
    let (name, environment) = (&fixture.name, Environment::Production);
    let put = vec![left.clone()];
    let noted = fixture
        .catalog
        .put_provisioned_challenges(name, environment, put, None);
    noted.await.unwrap();
    let running = fixture.run(vec![fixture.issuer()]).await;
    fixture.success().await;
    eventually("its own challenges are cleaned up", async || {
        let noted = fixture.catalog.provisioned_challenges(name, environment);
        (noted.await.unwrap() == [left.clone()]).then_some(())
    })
    .await;
    running.stop().await;
}

/// An order that the authority was told to validate so long ago, and has not validated.
async fn proved(fixture: &Fixture, proxy: &AcmeProxy, ago_ms: i64) {
    let solver = Meddling {
        hangs: true,
        ..Meddling::new(fixture)
    };
    let running = solver.run(fixture, proxy).await;
    let placed = fixture.managed_when("the order is placed", |managed| {
        let order = managed.orders.first();
        order.is_some_and(|order| order.url.is_some())
    });
    placed.await;
    running.kill().await;
    let of = (&domain_name(), Environment::Production, 1);
    let at = Some(now().plus_ms(-ago_ms));
    let change = |managed: &mut ManagedCertificate| managed.orders[0].proved = at;
    let updated = fixture.catalog.update_managed_certificate(of, &[], change);
    assert!(updated.await.unwrap().is_some());
}

#[tokio::test]
async fn an_order_that_is_being_validated_is_not_proved_again() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    proved(&fixture, &proxy, 0).await;
    let before = proxy.requests(ORDER).len();
    let solver = Meddling::new(&fixture);
    let provisions = Arc::clone(&solver.provisions);
    let running = solver.run(&fixture, &proxy).await;
    eventually("the order is looked at", async || {
        (proxy.requests(ORDER).len() >= before + 3).then_some(())
    })
    .await;
    assert_eq!(provisions.load(Ordering::SeqCst), 0);
    running.kill().await;
}

#[tokio::test]
async fn an_order_that_was_proved_long_ago_is_proved_again() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    proved(&fixture, &proxy, 60 * 60 * 1000).await;
    let running = Meddling::new(&fixture).run(&fixture, &proxy).await;
    fixture.success().await;
    running.stop().await;
    assert_eq!(proxy.requests(NEW_ORDER).len(), 1);
}

#[tokio::test]
async fn an_order_is_looked_at_again_when_the_authority_wants_that() {
    const MINUTE_MS: i64 = 60 * 1000;
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    proved(&fixture, &proxy, 0).await;
    proxy.set_header(ORDER, RETRY_AFTER, "3600");
    let running = Meddling::new(&fixture).run(&fixture, &proxy).await;
    let waits = |managed: &ManagedCertificate| {
        managed.backoff.next_attempt.since_ms(now()) > 50 * MINUTE_MS
    };
    let managed = fixture.managed_when("the order waits", waits).await;
    assert!(managed.backoff.next_attempt.since_ms(now()) <= 60 * MINUTE_MS);
    assert_eq!((managed.orders.len(), managed.failure), (1, None));
    running.stop().await;
}
