//! Two processes on one store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use edgeseal_acme::{
    ChallengeSolver, EdgeSolver, OrderError, Settings,
    challenge::{Challenge, ChallengeMethod},
};
use edgeseal_core::{
    acme::reissue::{Reissue, ReissueScope},
    domain::Environment,
};
use edgeseal_store::{
    Key, SharedStore, Txn, Write,
    lease::{Lease, LeaseName},
};
use edgeseal_testing::{
    acme_proxy::{AcmeProxy, FINALIZE, NEW_ORDER},
    clock::now,
    pebble::PebbleOptions,
    wait::eventually,
};
use tokio::sync::Mutex;

use crate::harness::{Fixture, issuer, run_with, settings};

/// The path at which challenges are answered at pebble.
const CHALLENGE: &str = "/chalZ/";

/// The lease to order, of another process.
async fn other_process(store: &SharedStore) -> Lease {
    let ttl = Duration::from_secs(120);
    let lease = Lease::start(store.clone(), LeaseName::Orders, "other".to_owned(), ttl);
    let held = lease.is_held().wait_for(|held| *held).await.map(drop);
    held.unwrap();
    lease
}

#[tokio::test]
async fn a_process_orders_when_it_has_the_lease() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    let other = other_process(&fixture.store).await;
    let running = fixture
        .run(vec![issuer("proxied", proxy.directory())])
        .await;
    // It follows the store, and orders nothing.
    let scope = ReissueScope::Issuer("proxied".to_owned());
    let reissue = Reissue::new(scope, None, now(), now());
    assert!(running.orders.outlook(reissue).await.is_some());
    assert_eq!(proxy.requests(NEW_ORDER).len(), 0);
    other.release().await;
    fixture.success().await;
    // It gives the lease back when it ends.
    running.stop().await;
    other_process(&fixture.store).await;
}

/// Another process takes the lease while a challenge is provisioned.
struct Suspended {
    solver: EdgeSolver,
    store: SharedStore,
    other: Arc<Mutex<Option<Lease>>>,
}

#[async_trait]
impl ChallengeSolver for Suspended {
    fn method(&self) -> ChallengeMethod {
        self.solver.method()
    }

    async fn provision(
        &self,
        environment: Environment,
        challenges: &[Challenge],
    ) -> Result<(), OrderError> {
        // As if it had not been renewed for long.
        let name = LeaseName::Orders.as_str();
        let keys = [Key::lease(name), Key::lease_term(name)];
        let removed = keys.map(Write::Delete).to_vec();
        self.store
            .commit(Txn::new(Vec::new(), removed))
            .await
            .unwrap();
        *self.other.lock().await = Some(other_process(&self.store).await);
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
async fn a_process_that_was_suspended_changes_nothing_of_its_successor() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    let other = Arc::default();
    let solver = Suspended {
        solver: EdgeSolver::http_01(fixture.catalog.clone(), now),
        store: fixture.store.clone(),
        other: Arc::clone(&other),
    };
    let settings = Settings {
        solvers: vec![Arc::new(solver)],
        ..settings(&fixture.catalog, vec![issuer("proxied", proxy.directory())])
    };
    let running = run_with(fixture.catalog.clone(), settings).await;
    eventually("it goes on", async || {
        (proxy.requests(CHALLENGE).len() == 1).then_some(())
    })
    .await;
    // Its next step is to note that.
    running.stop().await;
    let managed = fixture.managed().await;
    assert_eq!((managed.orders[0].proved, managed.issued), (None, None));
    assert_eq!(proxy.requests(FINALIZE).len(), 0);
    let other = other.lock().await.take();
    assert!(
        other.unwrap().term().is_some(),
        "it was given back by another"
    );
}
