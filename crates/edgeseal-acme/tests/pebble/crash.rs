//! A process that ends at any moment of an order.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use edgeseal_store::{Catalog, Fault, SharedStore, key};
use edgeseal_testing::{
    acme_proxy::{AcmeProxy, FINALIZE, NEW_ORDER},
    observed_store::{Observe, ObservedStore, Operation},
    pebble::PebbleOptions,
    wait::eventually,
};

use crate::harness::{Fixture, issuer, run_on};

/// The store of a process that ends before its n-th operation for orders.
pub(crate) struct Ends {
    pub(crate) left: AtomicUsize,
}

impl Observe for Ends {
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
        // The feed waits for changes all the time.
        if matches!(operation, Operation::Changes) {
            return Ok(());
        }
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match left {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::new("the process has ended")),
        }
    }
}

#[tokio::test]
async fn an_order_survives_a_crash_before_each_operation_of_the_store() {
    let mut placed_twice = 0;
    for operations in 3.. {
        let fixture = Fixture::start(PebbleOptions::default()).await;
        let proxy = AcmeProxy::start().await;
        proxy.pass_to(fixture.pebble.address);
        let config = issuer("proxied", proxy.directory());
        let ends = Ends {
            left: AtomicUsize::new(operations),
        };
        let dying = ObservedStore::over(Arc::clone(&fixture.store), ends);
        let catalog = Catalog::new(Arc::clone(&dying) as SharedStore, fixture.keyring.clone());
        let running = run_on(catalog, vec![config.clone()]).await;
        let ended = eventually("the process ends, or the order", async || {
            let bound = fixture.domain().await.production.is_some();
            let clean = bound && fixture.keys(key::PROVISIONED_CHALLENGES).await.is_empty();
            match dying.left.load(Ordering::SeqCst) {
                0 => Some(true),
                _ => clean.then_some(false),
            }
        })
        .await;
        running.kill().await;
        if !ended {
            assert!(operations > 20, "an order takes more operations");
            break;
        }

        let running = fixture.run(vec![config]).await;
        fixture.success().await;
        eventually("the challenges are cleaned up", async || {
            let left = fixture.keys(key::PROVISIONED_CHALLENGES).await;
            left.is_empty().then_some(())
        })
        .await;
        running.stop().await;
        let placed = proxy.requests(NEW_ORDER).len();
        // Only if it ended between the authority's answer and the commit of the URL.
        placed_twice += placed - 1;
        assert!(placed <= 2, "{operations}: {placed} orders");
        let finalized = proxy.requests(FINALIZE).into_iter();
        let issued = finalized.filter(|request| request.status == 200).count();
        // The process may have ended before the authority's answer.
        assert!(issued <= 1, "{operations}: {issued} certificates");
        for prefix in [key::CHALLENGES, key::ORDER_KEYS] {
            assert_eq!(fixture.keys(prefix).await, [], "{operations}: {prefix}");
        }
    }
    assert!(
        placed_twice <= 1,
        "{placed_twice} orders were placed in vain"
    );
}
