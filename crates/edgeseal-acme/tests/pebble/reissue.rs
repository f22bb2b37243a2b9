//! The replacement of many certificates: it is planned, runs, stops and survives a restart.

use edgeseal_acme::Outlook;
use edgeseal_core::acme::reissue::{Reissue, ReissueScope};
use edgeseal_store::catalog::ChangeError;
use edgeseal_testing::{clock::now, pebble::PebbleOptions, wait::eventually};

use crate::harness::{Fixture, Running, audit, issuer};

fn of_issuer(name: &str) -> Reissue {
    let scope = ReissueScope::Issuer(name.to_owned());
    Reissue::new(scope, None, now(), now().plus_ms(24 * 60 * 60 * 1000))
}

async fn put(fixture: &Fixture, reissue: &Reissue) {
    let audit = audit();
    let stored = fixture.catalog.transact(&audit, async |mut draft| {
        draft.put_reissue(reissue)?;
        Ok::<_, ChangeError<()>>((draft, ()))
    });
    stored.await.unwrap();
}

/// What the task says once it has heard of what is in the store.
async fn outlook(running: &Running, reissue: &Reissue, left: u64) -> Outlook {
    eventually("the task knows what is left", async || {
        let outlook = running.orders.outlook(reissue.clone()).await.unwrap();
        Some(outlook).filter(|outlook| outlook.left == left)
    })
    .await
}

#[tokio::test]
async fn a_batch_replaces_before_its_time_and_goes_on_after_a_restart() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let first = fixture.success().await.issued.unwrap();

    let planned = outlook(&running, &of_issuer("pebble"), 1).await;
    assert_eq!(
        (planned.failing, planned.forecast.issuers[0].domains),
        (0, 1)
    );
    let other = outlook(&running, &of_issuer("other"), 0).await;
    assert_eq!(other.forecast.issuers[0].domains, 0);
    // Excluded as a source, and there is no other.
    let mut without = of_issuer("pebble");
    without.not_from = Some("pebble".to_owned());
    assert_eq!(outlook(&running, &without, 1).await.forecast.never, 1);

    // Stopped, nothing starts; the next start of the task knows it from the store.
    let mut reissue = of_issuer("pebble");
    reissue.stop(now());
    put(&fixture, &reissue).await;
    running.stop().await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    outlook(&running, &reissue, 1).await;
    let managed = fixture.managed().await;
    assert!(managed.orders.is_empty());
    assert_eq!(managed.issued.unwrap().certificate, first.certificate);

    // Resumed, and killed at once: it goes on.
    reissue.resume(now());
    put(&fixture, &reissue).await;
    running.kill().await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    let renewed = fixture.managed_when("the certificate is replaced", |managed| {
        let issued = managed.issued.as_ref();
        issued.is_some_and(|issued| issued.certificate != first.certificate)
    });
    let renewed = renewed.await.issued.unwrap();
    let binding = fixture.domain().await.production.unwrap();
    assert_eq!(binding.certificate, renewed.certificate);
    // Once: the replacement is not replaced again.
    assert!(!reissue.concerns(&renewed));
    outlook(&running, &reissue, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_replacement_comes_from_another_issuer_when_its_own_is_left_out() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let second = issuer("second", fixture.pebble.directory());
    let running = fixture.run(vec![fixture.issuer(), second]).await;
    assert_eq!(fixture.success().await.issued.unwrap().issuer, "pebble");
    let mut reissue = of_issuer("pebble");
    reissue.not_from = Some("pebble".to_owned());
    put(&fixture, &reissue).await;
    fixture
        .managed_when("another issuer replaces it", |managed| {
            let issued = managed.issued.as_ref();
            issued.is_some_and(|issued| issued.issuer == "second")
        })
        .await;
    running.stop().await;
}
