//! An order from the request to the binding.

use edgeseal_acme::IssuedKeys;
use edgeseal_core::{
    certificate::KeyAlgorithm,
    domain::{DomainMode, DomainState, Environment},
    managed_certificate::OrderStatus,
};
use edgeseal_store::{key, record::CertificateSource};
use edgeseal_testing::pebble::PebbleOptions;

use crate::harness::{DOMAIN, Fixture, domain_name};

#[tokio::test]
async fn a_certificate_is_ordered_and_bound_and_nothing_is_left_over() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let managed = fixture.success().await;
    let issued = managed.issued.unwrap();
    assert_eq!((issued.issuer.as_str(), issued.companion), ("pebble", None));
    assert!(issued.renewal_id.is_some());
    assert!(managed.orders.is_empty() && managed.failure.is_none());
    running.stop().await;

    let domain = fixture.domain().await;
    let binding = domain.production.as_ref().unwrap();
    assert!(binding.enabled && binding.covers);
    assert!(domain.is_managed(Environment::Production));
    assert_eq!(binding.certificate, issued.certificate);
    let row = fixture.catalog.certificate(binding.certificate).await;
    let row = row.unwrap().unwrap();
    assert_eq!(row.source, CertificateSource::Issued);
    assert_eq!(row.uploaded_for, Some(domain_name()));
    assert_eq!(
        (row.info.key, row.info.key_bits),
        (KeyAlgorithm::Ecdsa, 256)
    );
    assert!(row.info.names.contains(&domain_name()));

    let history = fixture.catalog.history(&domain_name()).await.unwrap();
    let (_, entry) = history.first().unwrap();
    assert_eq!(entry.action, "IssueCertificate");
    assert_eq!(entry.after.as_ref(), Some(&row.info.sha256));
    let audit = fixture.audit().await;
    assert_eq!(audit.len(), 2, "the request and the binding: {audit:?}");
    for prefix in [
        key::CHALLENGES,
        key::PROVISIONED_CHALLENGES,
        key::ORDER_KEYS,
    ] {
        assert_eq!(fixture.keys(prefix).await, [], "{prefix}");
    }
    assert_eq!(fixture.keys(key::ISSUER_ACCOUNTS).await.len(), 1);
}

#[tokio::test]
async fn both_keys_are_bound_together_although_half_of_the_nonces_are_rejected() {
    let fixture = Fixture::start(PebbleOptions {
        rejected_nonces: 50,
        ..PebbleOptions::default()
    })
    .await;
    let mut issuer = fixture.issuer();
    issuer.key = IssuedKeys::Both;
    let running = fixture.run(vec![issuer]).await;
    fixture.success().await;
    running.stop().await;
    let binding = fixture.domain().await.production.unwrap();
    let companion = binding.companion.unwrap();
    assert_eq!(companion.key, KeyAlgorithm::Rsa);
    for id in [binding.certificate, companion.certificate] {
        let row = fixture.catalog.certificate(id).await.unwrap().unwrap();
        assert!(row.info.covers(&domain_name()));
    }
    assert_eq!(fixture.keys(key::ORDER_KEYS).await, []);
}

#[tokio::test]
async fn nothing_is_ordered_for_a_domain_whose_certificate_is_locked() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let locked = |state: DomainState, mode: DomainMode| {
        move |domain: &mut edgeseal_core::domain::Domain| {
            (domain.state, domain.mode) = (state, mode);
        }
    };
    fixture
        .change_domain(locked(DomainState::Offline, DomainMode::Normal))
        .await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    assert!(fixture.failure().await.contains("stopped"));
    fixture
        .change_domain(locked(DomainState::Online, DomainMode::Protected))
        .await;
    fixture.request_again().await;
    fixture
        .managed_when("the mode refuses it", |managed| {
            let failure = managed.failure.as_ref();
            failure.is_some_and(|failure| failure.reason.contains("protected"))
        })
        .await;
    assert_eq!(fixture.managed().await.status, OrderStatus::Failed);
    assert_eq!(fixture.keys(key::ORDER_KEYS).await, []);
    fixture
        .change_domain(locked(DomainState::Online, DomainMode::Normal))
        .await;
    fixture.request_again().await;
    fixture.success().await;
    running.stop().await;
}

#[tokio::test]
async fn an_order_ends_when_the_domain_is_no_longer_managed() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    // The authority never gets the right answer, and DNS has no such name any more.
    *fixture.answer.lock().unwrap() = Some("wrong".to_owned());
    let running = fixture.run(vec![fixture.issuer()]).await;
    fixture.failure().await;
    let now = edgeseal_testing::clock::now();
    fixture
        .change_domain(|domain| domain.disable_https(Environment::Production, now))
        .await;
    let prefix = key::MANAGED_CERTIFICATES;
    assert_eq!(fixture.keys(prefix).await, [], "{DOMAIN} is managed");
    *fixture.answer.lock().unwrap() = None;
    running.stop().await;
    // Nothing is ordered by a later start either.
    let running = fixture.run(vec![fixture.issuer()]).await;
    running.stop().await;
    assert_eq!(fixture.domain().await.production, None);
    for prefix in [
        key::CHALLENGES,
        key::PROVISIONED_CHALLENGES,
        key::ORDER_KEYS,
    ] {
        assert_eq!(fixture.keys(prefix).await, [], "{prefix}");
    }
}
