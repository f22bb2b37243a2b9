//! Renewals: by age, by renewal information, and what a failed one leaves.

use edgeseal_core::managed_certificate::IssuedCertificate;
use edgeseal_testing::{
    acme_proxy::{AcmeProxy, NEW_ORDER, RenewalWindow},
    clock::now,
    pebble::PebbleOptions,
};

use crate::harness::{Fixture, issuer};

#[tokio::test]
async fn a_certificate_is_renewed_by_its_age_with_a_new_key() {
    let fixture = Fixture::start(PebbleOptions {
        validity_s: 16,
        ..PebbleOptions::default()
    })
    .await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let first = fixture.success().await.issued.unwrap();
    let renewed = fixture.managed_when("the certificate is renewed", |managed| {
        let issued = managed.issued.as_ref();
        issued.is_some_and(|issued| issued.certificate != first.certificate)
    });
    let renewed = renewed.await.issued.unwrap();
    running.stop().await;
    let binding = fixture.domain().await.production.unwrap();
    assert_eq!(binding.certificate, renewed.certificate);
    assert!(renewed.not_after > first.not_after);
    let keys = [first.certificate, renewed.certificate].map(async |id| {
        let row = fixture.catalog.certificate(id).await.unwrap().unwrap();
        let material = fixture.catalog.material(&row.material).await;
        let holder = edgeseal_store::Key::material(&row.material);
        let sealed = material.unwrap().unwrap().sealed_key;
        let opened = fixture.keyring.open(&sealed, &holder).unwrap();
        hex::encode(opened.expose())
    });
    let [before, after] = keys;
    assert_ne!(before.await, after.await);
}

/// An authority, by a proxy, that wants each certificate to be renewed at once.
async fn at_an_authority_that_wants_renewals() -> (Fixture, AcmeProxy) {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    proxy.suggest(RenewalWindow {
        start: "2020-01-01T00:00:00Z".to_owned(),
        end: "2020-01-02T00:00:00Z".to_owned(),
        retry_after_s: 21_600,
    });
    (fixture, proxy)
}

/// Orders a certificate at the proxy and has it renewed; returns the first one.
async fn renewed_by(fixture: &Fixture, proxy: &AcmeProxy) -> IssuedCertificate {
    let running = fixture
        .run(vec![issuer("proxied", proxy.directory())])
        .await;
    let first = fixture.success().await.issued.unwrap();
    let renewed = fixture.managed_when("the certificate is renewed", |managed| {
        let issued = managed.issued.as_ref();
        issued.is_some_and(|issued| issued.certificate != first.certificate)
    });
    renewed.await;
    running.stop().await;
    first
}

#[tokio::test]
async fn renewal_information_decides_and_the_order_names_what_it_replaces() {
    let (fixture, proxy) = at_an_authority_that_wants_renewals().await;
    let first = renewed_by(&fixture, &proxy).await;
    let orders = proxy.requests(NEW_ORDER);
    assert_eq!(orders[0].payload.get("replaces"), None);
    let replaced = orders[1].payload["replaces"].as_str();
    assert_eq!(replaced, first.renewal_id.as_deref());
}

#[tokio::test]
async fn an_authority_that_does_not_confirm_what_is_replaced_renews_all_the_same() {
    let (fixture, proxy) = at_an_authority_that_wants_renewals().await;
    proxy.edit(NEW_ORDER, |order| {
        order.as_object_mut().unwrap().remove("replaces");
    });
    renewed_by(&fixture, &proxy).await;
    let health = fixture.catalog.issuer_health("proxied").await.unwrap();
    assert_eq!(health.health.pause(now()), None);
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_what_is_served() {
    let mut fixture = Fixture::start(PebbleOptions {
        validity_s: 16,
        ..PebbleOptions::default()
    })
    .await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let first = fixture.success().await;
    fixture.pebble.stop();
    let failed = fixture.managed_when("the renewal fails", |managed| managed.failure.is_some());
    let failed = failed.await;
    running.stop().await;
    assert_eq!(
        failed.status,
        edgeseal_core::managed_certificate::OrderStatus::Success
    );
    assert_eq!(failed.issued, first.issued);
    let noted = failed.failed.unwrap();
    assert_eq!(Some(noted.last), failed.failure);
    let history = fixture.catalog.history(&fixture.name).await.unwrap();
    assert!(history.len() > 1, "the order and the failure: {history:?}");
    let binding = fixture.domain().await.production.unwrap();
    assert_eq!(binding.certificate, first.issued.unwrap().certificate);
    assert!(binding.enabled);
}
