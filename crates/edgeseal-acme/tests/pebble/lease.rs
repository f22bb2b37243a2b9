//! Two processes on one store.

use edgeseal_store::catalog::{LeaseHolder, LeaseName};
use edgeseal_testing::{clock::now, pebble::PebbleOptions};

use crate::harness::Fixture;

#[tokio::test]
async fn a_process_orders_when_it_has_the_lease() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let other = LeaseHolder {
        lease: LeaseName::Orders,
        owner: "another process".to_owned(),
    };
    // It has ended without a word.
    let until = now().plus_ms(2_000);
    let held = fixture.catalog.hold_lease(&other, until, now()).await;
    assert!(held.unwrap().is_some());
    let running = fixture.run(vec![fixture.issuer()]).await;
    let issued = fixture.success().await.issued.unwrap();
    running.stop().await;
    assert!(issued.ordered_at >= until);
    let held = fixture
        .catalog
        .hold_lease(&other, now().plus_ms(2_000), now())
        .await;
    assert_eq!(held.unwrap(), None);
}
