//! Revocations: the authority says that a certificate is revoked, and the domain has another one.

use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};

use edgeseal_acme::IssuerConfig;
use edgeseal_core::{
    acme::RetryState,
    managed_certificate::{IssuedCertificate, KeyType},
    revocation::{Revocation, RevocationReason, RevocationState},
};
use edgeseal_store::{Catalog, SharedStore};
use edgeseal_testing::{
    clock::now, observed_store::ObservedStore, pebble::PebbleOptions, wait::eventually,
};

use crate::{
    crash::Ends,
    harness::{Fixture, account, run_on},
};

/// A request as the call makes it, for the certificate that was issued.
async fn request(fixture: &Fixture, issued: &IssuedCertificate, reason: RevocationReason) {
    let revocation = revocation(fixture, issued, reason).await;
    fixture
        .catalog
        .put_revocation(&revocation, None)
        .await
        .unwrap();
}

async fn revocation(
    fixture: &Fixture,
    issued: &IssuedCertificate,
    reason: RevocationReason,
) -> Revocation {
    let catalog = &fixture.catalog;
    let row = catalog.certificate(issued.certificate).await;
    let row = row.unwrap().unwrap();
    let material = catalog.material(&row.material).await.unwrap().unwrap();
    Revocation {
        certificate: row.id,
        domain: fixture.name.clone(),
        account: account(),
        issuer: issued.issuer.clone(),
        reason,
        leaf: material.leaf.to_vec(),
        not_after: row.info.not_after,
        after_replacement: reason == RevocationReason::KeyCompromise,
        served_by: vec![fixture.name.clone()],
        requested_at: now(),
        state: RevocationState::Pending,
        failure: String::new(),
        retry: RetryState::default(),
    }
}

async fn state(fixture: &Fixture) -> Revocation {
    let found = fixture.catalog.revocations_of(&fixture.name).await;
    found.unwrap().remove(0)
}

async fn ended(fixture: &Fixture) -> Revocation {
    eventually("the revocation ends", async || {
        Some(state(fixture).await).filter(|it| it.state != RevocationState::Pending)
    })
    .await
}

/// What the authority says about a certificate.
async fn status(fixture: &Fixture, issued: &IssuedCertificate) -> (String, i64) {
    let row = fixture.catalog.certificate(issued.certificate).await;
    let serial = row.unwrap().unwrap().info.serial;
    let status = fixture.pebble.certificate_status(&serial).await;
    let reason = status["Reason"].as_i64().unwrap_or_default();
    (status["Status"].as_str().unwrap().to_owned(), reason)
}

async fn replaced(fixture: &Fixture, first: &IssuedCertificate) -> IssuedCertificate {
    let managed = fixture.managed_when("the certificate is replaced", |managed| {
        let issued = managed.issued.as_ref();
        issued.is_some_and(|issued| issued.certificate != first.certificate)
    });
    managed.await.issued.unwrap()
}

async fn key(fixture: &Fixture) -> Vec<u8> {
    let managed = fixture.managed().await;
    let key = fixture.catalog.issued_key(&managed, KeyType::P256).await;
    key.unwrap().unwrap().expose().to_vec()
}

#[tokio::test]
async fn a_compromised_key_is_replaced_on_all_edges_before_the_revocation() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let issuer = IssuerConfig {
        keep_key: true,
        ..fixture.issuer()
    };
    let running = fixture.run(vec![issuer]).await;
    let first = fixture.success().await.issued.unwrap();
    let compromised = key(&fixture).await;

    // An edge that has not applied the replacement yet.
    fixture.report_of("slow", 0).await;
    request(&fixture, &first, RevocationReason::KeyCompromise).await;
    let second = replaced(&fixture, &first).await;
    assert_ne!(key(&fixture).await, compromised, "the key is not kept");
    assert_eq!(state(&fixture).await.state, RevocationState::Pending);
    assert_eq!(status(&fixture, &first).await.0, "Valid");

    fixture.report_of("slow", u64::MAX).await;
    let revoked = ended(&fixture).await;
    assert_eq!(revoked.state, RevocationState::Revoked, "{revoked:?}");
    assert_eq!(status(&fixture, &first).await, ("Revoked".to_owned(), 1));
    assert_eq!(status(&fixture, &second).await.0, "Valid");
    let row = fixture.catalog.certificate(first.certificate).await;
    assert!(row.unwrap().unwrap().revoked);
    // The replacement is not replaced.
    assert!(!revoked.replaces(&fixture.managed().await));
    running.stop().await;
}

#[tokio::test]
async fn for_other_reasons_it_is_revoked_at_once_and_replaced() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let first = fixture.success().await.issued.unwrap();
    // Its issuer is not known any more: all are asked.
    let mut revocation = revocation(&fixture, &first, RevocationReason::Superseded).await;
    revocation.issuer.clear();
    fixture
        .catalog
        .put_revocation(&revocation, None)
        .await
        .unwrap();
    assert_eq!(ended(&fixture).await.state, RevocationState::Revoked);
    assert_eq!(status(&fixture, &first).await, ("Revoked".to_owned(), 4));
    replaced(&fixture, &first).await;
    running.stop().await;
}

#[tokio::test]
async fn what_the_issuer_refuses_has_failed() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let first = fixture.success().await.issued.unwrap();
    let mut revocation = revocation(&fixture, &first, RevocationReason::Superseded).await;
    revocation.issuer = "gone".to_owned();
    fixture
        .catalog
        .put_revocation(&revocation, None)
        .await
        .unwrap();
    let failed = ended(&fixture).await;
    assert_eq!(failed.state, RevocationState::Failed);
    assert_eq!(failed.failure, "its issuer is no longer configured");

    revocation.issuer.clear();
    revocation.leaf = b"no certificate".to_vec();
    fixture
        .catalog
        .put_revocation(&revocation, None)
        .await
        .unwrap();
    let failed = eventually("the issuer refuses", async || {
        let ended = ended(&fixture).await;
        Some(ended.failure).filter(|failure| failure.contains("(malformed)"))
    });
    failed.await;
    running.stop().await;
}

#[tokio::test]
async fn a_revocation_survives_a_crash_at_each_of_its_steps() {
    for operations in (0..).step_by(6) {
        let fixture = Fixture::start(PebbleOptions::default()).await;
        let running = fixture.run(vec![fixture.issuer()]).await;
        let first = fixture.success().await.issued.unwrap();
        running.stop().await;
        request(&fixture, &first, RevocationReason::KeyCompromise).await;

        let ends = Ends {
            left: AtomicUsize::new(3 + operations),
        };
        let dying = ObservedStore::over(Arc::clone(&fixture.store), ends);
        let catalog = Catalog::new(Arc::clone(&dying) as SharedStore, fixture.keyring.clone());
        let running = run_on(catalog, vec![fixture.issuer()]).await;
        let is_done = eventually("the process ends, or the revocation", async || match dying
            .left
            .load(Ordering::SeqCst)
        {
            0 => Some(false),
            _ => (state(&fixture).await.state == RevocationState::Revoked).then_some(true),
        })
        .await;
        running.kill().await;
        if is_done {
            assert!(operations > 20, "it takes more operations");
            return;
        }

        let running = fixture.run(vec![fixture.issuer()]).await;
        let second = replaced(&fixture, &first).await;
        assert_eq!(ended(&fixture).await.state, RevocationState::Revoked);
        assert_eq!(status(&fixture, &first).await.0, "Revoked");
        assert_eq!(status(&fixture, &second).await.0, "Valid");
        running.stop().await;
    }
}
