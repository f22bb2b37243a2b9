//! What would fail is not asked for.

use std::{sync::Arc, time::Duration};

use edgeseal_acme::{
    EdgeSolver, IssuerConfig, Settings, challenge::ChallengeMethod, preflight::PreflightSettings,
};
use edgeseal_core::{acme::IssuerLimits, rate::RateLimit};
use edgeseal_testing::{clock::now, origin::dead_port, pebble::PebbleOptions};

use crate::harness::{DOMAIN, Fixture, Running, run_with, settings};

/// Checks that read at `http_port`.
fn checks(fixture: &Fixture, http_port: u16) -> PreflightSettings {
    PreflightSettings {
        resolver: Some(fixture.pebble.dns.address),
        http_port,
        https_port: 443,
        timeout: Duration::from_secs(20),
    }
}

/// With checks before an order is placed, at an issuer that allows one order a week.
async fn run(fixture: &Fixture, http_port: u16) -> Running {
    let orders = Some(RateLimit {
        calls: 1,
        per_ms: 7 * 24 * 60 * 60 * 1000,
    });
    let issuer = IssuerConfig {
        limits: IssuerLimits {
            orders,
            ..IssuerLimits::UNKNOWN
        },
        ..fixture.issuer()
    };
    let settings = Settings {
        preflight: Some(checks(fixture, http_port)),
        ..settings(&fixture.catalog, vec![issuer])
    };
    run_with(fixture.catalog.clone(), settings).await
}

#[tokio::test]
async fn a_domain_that_does_not_serve_the_token_is_not_ordered_for() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let running = run(&fixture, dead_port().await).await;
    let failure = fixture.failure().await;
    assert!(
        failure.starts_with(DOMAIN) && failure.contains("cannot be reached"),
        "{failure}"
    );
    let managed = fixture.managed().await;
    // The authority knows nothing of it, so it is not long until the next attempt.
    assert!(managed.orders.is_empty());
    let counted = fixture.keys(edgeseal_store::key::ISSUER_USAGE).await;
    assert_eq!(counted, []);
    assert!(managed.backoff.next_attempt.since_ms(now()) <= 10 * 60 * 1000);
    running.stop().await;

    let running = run(&fixture, fixture.http_port).await;
    fixture.request_again().await;
    fixture.success().await;
    running.stop().await;
    assert_eq!(fixture.keys(edgeseal_store::key::CHALLENGES).await, []);
}

#[tokio::test]
async fn only_the_challenges_of_the_issuer_are_checked() {
    let fixture = Fixture::start(PebbleOptions::default()).await;
    let http_port = dead_port().await;
    let issuer = IssuerConfig {
        challenges: vec![ChallengeMethod::TlsAlpn01],
        ..fixture.issuer()
    };
    let settings = Settings {
        preflight: Some(checks(&fixture, http_port)),
        solvers: vec![
            Arc::new(EdgeSolver::http_01(fixture.catalog.clone(), now)),
            Arc::new(EdgeSolver::tls_alpn_01(fixture.catalog.clone(), now)),
        ],
        ..settings(&fixture.catalog, vec![issuer])
    };
    let running = run_with(fixture.catalog.clone(), settings).await;
    // Nothing answers it here: the authority says so, and not the check of port 80.
    let failure = fixture.failure().await;
    assert!(failure.starts_with("tls-alpn-01 for"), "{failure}");
    running.stop().await;
}

#[tokio::test]
async fn a_domain_without_an_address_is_not_ordered_for() {
    let fixture = Fixture::start_for("nowhere.example.com", PebbleOptions::default()).await;
    let running = run(&fixture, fixture.http_port).await;
    let failure = fixture.failure().await;
    assert_eq!(failure, "nowhere.example.com has no address record");
    running.stop().await;
}
