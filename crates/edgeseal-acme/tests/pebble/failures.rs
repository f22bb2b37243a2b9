//! What the authority refuses, and what becomes of it.

use edgeseal_core::managed_certificate::OrderStatus;
use edgeseal_store::key;
use edgeseal_testing::{acme_proxy::AcmeProxy, pebble::PebbleOptions};

use crate::harness::{Fixture, account, issuer};

#[tokio::test]
async fn a_bad_challenge_fails_with_the_authority_s_reason_and_is_tried_again() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    *fixture.answer.lock().unwrap() = Some("not this\n".repeat(100));
    let running = fixture.run(vec![fixture.issuer()]).await;
    let reason = fixture.failure().await;
    assert!(
        reason.contains("http-01 for www.example.com failed"),
        "{reason}"
    );
    assert!(reason.contains("(unauthorized)"), "{reason}");
    assert!(!reason.contains('\n') && reason.len() < 600, "{reason}");
    let managed = fixture.managed().await;
    assert_eq!(managed.status, OrderStatus::Failed);
    assert_eq!(managed.backoff.failures, 1);
    assert!(managed.orders.is_empty());
    let audit = fixture.keys(&key::account_audit(&account())).await;
    assert_eq!(audit.len(), 2, "the request and the failure: {audit:?}");

    *fixture.answer.lock().unwrap() = None;
    fixture.request_again().await;
    fixture.success().await;
    running.stop().await;
    for prefix in [
        key::CHALLENGES,
        key::PROVISIONED_CHALLENGES,
        key::ORDER_KEYS,
    ] {
        assert_eq!(fixture.keys(prefix).await, [], "{prefix}");
    }
}

#[tokio::test]
async fn an_account_that_the_authority_forgot_is_made_again() {
    let mut fixture = Fixture::start(PebbleOptions::default()).await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    fixture.success().await;
    running.stop().await;
    fixture.pebble.stop();
    fixture.pebble.start_again().await;
    let at = fixture.domain().await.production.unwrap().certificate;
    let of = (
        &crate::harness::domain_name(),
        edgeseal_core::domain::Environment::Production,
        1,
    );
    let forget = |managed: &mut edgeseal_core::managed_certificate::ManagedCertificate| {
        managed.issued = None;
        managed.status = OrderStatus::Applying;
    };
    let updated = fixture.catalog.update_managed_certificate(of, None, forget);
    updated.await.unwrap();
    let running = fixture.run(vec![fixture.issuer()]).await;
    fixture.failure().await;
    fixture.request_again().await;
    fixture.success().await;
    assert_ne!(fixture.domain().await.production.unwrap().certificate, at);
    running.stop().await;
}

#[tokio::test]
async fn terms_and_external_accounts_are_asked_for_in_plain_words() {
    let fixture = Fixture::start(PebbleOptions {
        external_account: Some((
            "kid-1".to_owned(),
            "c2VjcmV0LWtleS1vZi10aGUtb3BlcmF0b3I".into(),
        )),
        ..PebbleOptions::default()
    })
    .await;
    let mut config = fixture.issuer();
    config.accept_terms = false;
    let running = fixture.run(vec![config]).await;
    let reason = fixture.failure().await;
    assert!(reason.contains("set accept_terms = true"), "{reason}");
    running.stop().await;

    fixture.request_again().await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let asked = |reason: &str| reason.contains("set external_account");
    fixture
        .managed_when("an external account is wanted", |managed| {
            managed.failure.as_ref().is_some_and(|it| asked(&it.reason))
        })
        .await;
    running.stop().await;

    fixture.request_again().await;
    let mut config = fixture.issuer();
    config.external_account = Some(edgeseal_acme::ExternalAccount {
        key_id: "kid-1".to_owned(),
        hmac_key: edgeseal_core::Secret::new(b"secret-key-of-the-operator".to_vec()),
    });
    let running = fixture.run(vec![config]).await;
    fixture.success().await;
    running.stop().await;
}

#[tokio::test]
async fn a_profile_that_the_authority_lacks_is_named() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    let mut config = issuer("proxied", proxy.directory());
    config.profile = Some("shortlived".to_owned());
    let running = fixture.run(vec![config]).await;
    let reason = fixture.failure().await;
    assert!(reason.contains("no profile \"shortlived\""), "{reason}");
    running.stop().await;
}
