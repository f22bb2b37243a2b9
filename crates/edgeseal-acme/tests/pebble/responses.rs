//! Responses of an authority that are odd, or mean harm.

use edgeseal_core::DomainPattern;
use edgeseal_store::key;
use edgeseal_testing::{
    acme_proxy::{AcmeProxy, Fault, NEW_ACCOUNT, NEW_ORDER, RENEWAL_INFO, RenewalWindow},
    clock::now,
    origin::listener,
    pebble::PebbleOptions,
};
use http::header::{LOCATION, RETRY_AFTER};
use serde_json::Value;

use crate::harness::{Fixture, issuer, order_at};

/// A fixture whose pebble is behind a proxy.
async fn proxied() -> (Fixture, AcmeProxy) {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    (fixture, proxy)
}

#[tokio::test]
async fn any_retry_after_of_renewal_information_is_survived() {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    for (retry_after, hours) in [("18446744073709551615", 24), ("", 6)] {
        let (fixture, proxy) = proxied().await;
        proxy.suggest(RenewalWindow {
            start: "2100-01-01T00:00:00Z".to_owned(),
            end: "2100-01-02T00:00:00Z".to_owned(),
            retry_after_s: 0,
        });
        proxy.set_header(RENEWAL_INFO, RETRY_AFTER, retry_after);
        let config = issuer("proxied", proxy.directory());
        let running = fixture.run(vec![config]).await;
        let asked = |managed: &edgeseal_core::managed_certificate::ManagedCertificate| {
            let issued = managed.issued.as_ref();
            issued.is_some_and(|issued| issued.renewal_info.is_some())
        };
        let managed = fixture.managed_when("the window is known", asked).await;
        let again = managed.issued.unwrap().poll.next.since_ms(now());
        let expected = hours * HOUR_MS;
        // Spread, as all of them are.
        assert!((expected / 2..=expected * 2).contains(&again), "{again}");
        running.stop().await;
    }
}

#[tokio::test]
async fn an_authority_has_no_other_server_asked() {
    for (location, expected) in [
        ("https://127.0.0.2/order/1".to_owned(), "another host"),
        (
            format!("https://127.0.0.1/{}", "1".repeat(4000)),
            "too long",
        ),
    ] {
        let (fixture, proxy) = proxied().await;
        proxy.set_header(NEW_ORDER, LOCATION, &location);
        let config = issuer("proxied", proxy.directory());
        let running = fixture.run(vec![config]).await;
        let reason = fixture.failure().await;
        assert!(reason.contains(expected), "{reason}");
        running.stop().await;
    }
}

#[tokio::test]
async fn an_order_that_wants_many_proofs_is_given_up() {
    let (fixture, proxy) = proxied().await;
    proxy.edit(NEW_ORDER, |order| {
        let authorization = order["authorizations"][0].clone();
        order["authorizations"] = Value::Array(vec![authorization; 1000]);
    });
    let running = fixture
        .run(vec![issuer("proxied", proxy.directory())])
        .await;
    let reason = fixture.failure().await;
    assert_eq!(reason, "the order wants 1000 authorizations for one name");
    assert!(fixture.managed().await.orders.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn an_account_is_not_forgotten_because_of_one_response() {
    let (fixture, proxy) = proxied().await;
    let config = issuer("proxied", proxy.directory());
    proxy.fail(Fault {
        path: NEW_ORDER,
        status: 400,
        retry_after: None,
        problem: Some(("accountDoesNotExist", "unknown account")),
        times: 1,
    });
    let running = fixture.run(vec![config]).await;
    fixture.failure().await;
    let account = async || {
        let accounts = fixture.store.list(key::ISSUER_ACCOUNTS, None, 2).await;
        let entries = accounts.unwrap().entries;
        let [entry] = <[_; 1]>::try_from(entries).unwrap();
        (entry.key, entry.revision)
    };
    let before = account().await;
    fixture.request_again().await;
    fixture.success().await;
    running.stop().await;
    assert_eq!(account().await, before);
    let requests = proxy.requests(NEW_ACCOUNT).into_iter();
    let looked_up: Vec<_> = requests
        .map(|request| request.payload["onlyReturnExisting"].clone())
        .collect();
    assert_eq!(looked_up.len(), 2, "{looked_up:?}");
    assert_eq!(looked_up[1], true);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_holds_up_no_other() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    // Connects, but responds nothing.
    let (_listener, address) = listener().await;
    let silent = issuer("silent", format!("https://{address}/dir"));
    let first = DomainPattern::parse("a.example.com").unwrap();
    fixture.manage_also(&first).await;
    let at_silent = order_at(&silent);
    fixture.put_orders_of((&first, 2), &[at_silent]).await;
    fixture.put_orders(&[order_at(&fixture.issuer())]).await;
    let running = fixture.run(vec![silent, fixture.issuer()]).await;
    let before = tokio::time::Instant::now();
    let reason = fixture.failure().await;
    assert!(reason.starts_with("the order is gone"), "{reason}");
    assert!(before.elapsed().as_secs() < 25, "it waited for the other");
    running.kill().await;
}
