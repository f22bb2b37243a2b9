//! Issuers that are down or limit us.

use edgeseal_core::acme::IssuerHealth;
use edgeseal_store::key;
use edgeseal_testing::{
    acme_proxy::{AcmeProxy, Fault, NEW_ACCOUNT, NEW_ORDER},
    clock::now,
    pebble::PebbleOptions,
    port::free_address,
    wait::eventually,
};

use crate::harness::{Fixture, issuer};

#[tokio::test]
async fn the_second_issuer_takes_what_the_first_cannot() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let dead = issuer("dead", format!("https://{}/dir", free_address()));
    let running = fixture.run(vec![dead, fixture.issuer()]).await;
    let issued = fixture.success().await.issued.unwrap();
    assert_eq!(issued.issuer, "pebble");
    let health = fixture.catalog.issuer_health("dead").await.unwrap();
    assert!(health.health.pause(now()).is_some());
    assert!(
        health.reason.contains("cannot be reached"),
        "{}",
        health.reason
    );
    running.stop().await;
}

#[tokio::test]
async fn an_issuer_that_limits_us_is_left_alone_until_it_allows_more_also_after_a_restart() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    proxy.fail(Fault {
        path: NEW_ORDER,
        status: 429,
        retry_after: Some("3600".to_owned()),
        problem: Some(("rateLimited", "too many new orders recently")),
        times: 1,
    });
    let limited = issuer("limited", proxy.directory());
    let running = fixture.run(vec![limited.clone()]).await;
    let reason = fixture.failure().await;
    assert!(reason.contains("too many new orders recently"), "{reason}");
    eventually("the pause is stored", async || {
        let health = fixture.catalog.issuer_health("limited").await.unwrap();
        let (until, _) = health.health.pause(now())?;
        (until.since_ms(now()) > 3_500_000).then_some(())
    })
    .await;
    running.stop().await;
    let managed = fixture.managed().await;
    assert_eq!(managed.backoff.failures, 0, "the domain has not failed");

    // It would take orders now, but has said when.
    let running = fixture.run(vec![limited.clone()]).await;
    fixture.request_again().await;
    running.stop().await;
    assert_eq!(proxy.requests(NEW_ORDER).len(), 1);

    let running = fixture.run(vec![limited, fixture.issuer()]).await;
    let issued = fixture.success().await.issued.unwrap();
    assert_eq!(issued.issuer, "pebble");
    running.stop().await;
    assert_eq!(proxy.requests(NEW_ACCOUNT).len(), 1);
    assert_eq!(fixture.keys(key::ISSUER_ACCOUNTS).await.len(), 2);
}

#[tokio::test]
async fn a_limit_of_one_name_stops_no_other() {
    for text in [
        "too many certificates (50) already issued for \"example.com\" in the last 168h0m0s",
        "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
    ] {
        let health = health_after_limit(text).await;
        assert_eq!(health.pause(now()), None, "{text}");
    }
}

/// The health of the only issuer after it refused the order of a domain, which then waits.
async fn health_after_limit(text: &'static str) -> IssuerHealth {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    proxy.fail(Fault {
        path: NEW_ORDER,
        status: 429,
        retry_after: Some("7200".to_owned()),
        problem: Some(("rateLimited", text)),
        times: 1,
    });
    let running = fixture
        .run(vec![issuer("limited", proxy.directory())])
        .await;
    fixture.failure().await;
    running.stop().await;
    let next = fixture.managed().await.backoff.next_attempt;
    assert!(next.since_ms(now()) > 7_000_000, "{text}");
    fixture
        .catalog
        .issuer_health("limited")
        .await
        .unwrap()
        .health
}
