//! What the authority refuses, and what becomes of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use edgeseal_acme::{
    ChallengeSolver, EdgeSolver, OrderError, Settings,
    challenge::{Challenge, ChallengeMethod},
};
use edgeseal_core::{
    Secret,
    domain::Environment,
    managed_certificate::{ManagedCertificate, Order, OrderStatus},
};
use edgeseal_store::key;
use edgeseal_testing::{
    acme_proxy::{AcmeProxy, Fault},
    clock::now,
    pebble::PebbleOptions,
    wait::eventually,
};

use crate::harness::{Fixture, issuer, order_at, run_with, settings};

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
    let failed = managed.failed.unwrap();
    assert_eq!((failed.times, failed.last.reason), (1, reason));
    let audit = fixture.audit().await;
    assert_eq!(audit.len(), 2, "the request and the failure: {audit:?}");

    *fixture.answer.lock().unwrap() = None;
    fixture.request_again().await;
    fixture.success().await;
    assert_eq!(fixture.managed().await.failed, None);
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
    let of = (&crate::harness::domain_name(), Environment::Production, 1);
    let forget = |managed: &mut ManagedCertificate| {
        managed.issued = None;
        managed.status = OrderStatus::Applying;
    };
    let updated = fixture.catalog.update_managed_certificate(of, &[], forget);
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
        hmac_key: Secret::new(b"secret-key-of-the-operator".to_vec()),
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

#[tokio::test]
async fn an_order_that_is_gone_is_given_up() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let proxy = AcmeProxy::start().await;
    proxy.pass_to(fixture.pebble.address);
    let gone = "/my-order/gone";
    // Without a problem document, as a proxy before the authority answers.
    proxy.fail(Fault {
        path: gone,
        status: 404,
        retry_after: None,
        problem: None,
        times: 1,
    });
    let config = issuer("proxied", proxy.directory());
    let order = Order {
        url: Some(format!("https://{}{gone}", proxy.address)),
        finalizing: true,
        ..order_at(&config)
    };
    fixture.put_orders(&[order]).await;
    let running = fixture.run(vec![config]).await;
    let reason = fixture.failure().await;
    assert!(reason.starts_with("the order is gone"), "{reason}");
    assert!(fixture.managed().await.orders.is_empty());
    fixture.request_again().await;
    fixture.success().await;
    running.stop().await;
}

/// Panics the first time.
struct PanicsOnce {
    solver: EdgeSolver,
    has_panicked: Arc<AtomicBool>,
}

#[async_trait]
impl ChallengeSolver for PanicsOnce {
    fn method(&self) -> ChallengeMethod {
        self.solver.method()
    }

    async fn provision(
        &self,
        environment: Environment,
        challenges: &[Challenge],
    ) -> Result<(), OrderError> {
        assert!(
            self.has_panicked.swap(true, Ordering::SeqCst),
            "the panic of this test"
        );
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
async fn a_panic_leaves_no_domain_behind() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let has_panicked = Arc::new(AtomicBool::new(false));
    let solver = PanicsOnce {
        solver: EdgeSolver::http_01(fixture.catalog.clone(), now),
        has_panicked: Arc::clone(&has_panicked),
    };
    let settings = Settings {
        solvers: vec![Arc::new(solver)],
        concurrent: 1,
        ..settings(&fixture.catalog, vec![fixture.issuer()])
    };
    let running = run_with(fixture.catalog.clone(), settings).await;
    eventually("the panic", async || {
        has_panicked.load(Ordering::SeqCst).then_some(())
    })
    .await;
    // A change of the domain is seen, and its order goes on: the only place is free again.
    eventually("the certificate is issued", async || {
        let of = (&fixture.name, Environment::Production, 1);
        let touch = |managed: &mut ManagedCertificate| managed.requested.at = now();
        let updated = fixture.catalog.update_managed_certificate(of, &[], touch);
        let managed = updated.await.unwrap().unwrap();
        (managed.status == OrderStatus::Success).then_some(())
    })
    .await;
    running.stop().await;
}
