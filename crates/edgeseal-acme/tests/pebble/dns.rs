//! Wildcards by dns-01, at a real name server that takes updates.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_acme::{
    Settings,
    dns01::{DnsPublisher, DnsSettings, DnsSolver, DynamicUpdate, TsigAlgorithm, TsigKey},
};
use edgeseal_core::Secret;
use edgeseal_store::{Catalog, key};
use edgeseal_testing::{
    bind::{NameServer, UpdateKey},
    clock::now,
    pebble::PebbleOptions,
};

use crate::harness::{Fixture, run_with, settings};

const KEY: UpdateKey = UpdateKey {
    name: "edgeseal",
    algorithm: "hmac-sha512",
    secret: b"the key of server and client, for updates only",
};

/// dns-01 by updates at `server`, and nothing else.
fn dns_settings(catalog: &Catalog, fixture: &Fixture, server: SocketAddr) -> Settings {
    let key = TsigKey {
        name: KEY.name.to_owned(),
        algorithm: TsigAlgorithm::HmacSha512,
        secret: Secret::new(KEY.secret.to_vec()),
    };
    let update = DynamicUpdate::new(server.to_string(), None, Some(key)).unwrap();
    let dns = DnsSettings {
        publisher: DnsPublisher::Update(update),
        dns: None,
        resolver: Some(server),
        propagation_timeout: Duration::from_secs(20),
        delegated_to: Vec::new(),
    };
    Settings {
        solvers: vec![Arc::new(DnsSolver::new(catalog.clone(), dns, now))],
        ..settings(catalog, vec![fixture.issuer()])
    }
}

/// Orders for `*.example.com`; `records` are those of the zone example.com.
async fn ordered(records: &str) {
    let zones = [("example.com", records), ("challenges.test", "")];
    let server = NameServer::start(&zones, &[KEY]).await;
    let options = PebbleOptions {
        name_server: Some(server.address),
        ..PebbleOptions::default()
    };
    let fixture = Fixture::start_for("*.example.com", options).await;
    let settings = dns_settings(&fixture.catalog, &fixture, server.address);
    let running = run_with(fixture.catalog.clone(), settings).await;
    let managed = fixture.success().await;
    running.stop().await;
    let certificate = managed.issued.unwrap().certificate;
    let row = fixture.catalog.certificate(certificate).await.unwrap();
    assert!(row.unwrap().info.names.contains(&fixture.name));
    for prefix in [key::DNS_CHALLENGES, key::PROVISIONED_CHALLENGES] {
        assert_eq!(fixture.keys(prefix).await, [], "{prefix}");
    }
}

#[tokio::test]
async fn a_wildcard_is_ordered_by_dynamic_updates() {
    ordered("").await;
}

#[tokio::test]
async fn a_wildcard_is_ordered_where_its_challenge_is_delegated() {
    ordered("_acme-challenge CNAME example.com.challenges.test.").await;
}

#[tokio::test]
async fn a_wildcard_without_dns_01_says_so() {
    let fixture = Fixture::start_for("*.example.com", PebbleOptions::default()).await;
    let running = fixture.run(vec![fixture.issuer()]).await;
    assert!(fixture.failure().await.contains("dns-01"));
    running.stop().await;
}
