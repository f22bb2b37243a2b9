//! The history of a domain, as its owner reads it.

use edgeseal_core::{DomainPattern, domain::Environment, managed_certificate::OrderFailure};
use serde_json::Value;

use crate::{
    Settings,
    context::CertificateOrders,
    test_server::{NOW, TestServer, error_of},
};

const ACCOUNT: &str = "1000000000000001";
const EDGESEAL: &str = "2026-12-01";
const CDN: &str = "2018-05-10";
const DOMAIN: &str = "a.example.com";

/// A domain whose certificate is ordered.
async fn world() -> TestServer {
    let orders = CertificateOrders {
        has_issuers: true,
        has_dns_challenge: false,
    };
    let settings = Settings {
        orders,
        ..Settings::default()
    };
    let mut world = TestServer::empty(settings);
    world.account(ACCOUNT, "own").await;
    world.account("1000000000000002", "other").await;
    let sources = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;
    let add = [("CdnType", "web"), ("Sources", sources)];
    call(&world, "own", (CDN, "AddCdnDomain"), &add).await;
    let order = [("SSLProtocol", "on"), ("CertType", "free")];
    let set = (CDN, "SetCdnDomainSSLCertificate");
    call(&world, "own", set, &order).await;
    world
}

async fn call(
    world: &TestServer,
    key: &str,
    (version, action): (&str, &str),
    params: &[(&str, &str)],
) -> Value {
    let params = [&[("DomainName", DOMAIN)], params].concat();
    world.call(&world.keys[key], version, action, &params).await
}

async fn history(world: &TestServer, params: &[(&str, &str)]) -> Value {
    call(world, "own", (EDGESEAL, "DescribeDomainHistory"), params).await
}

/// Lets the order fail, so many hours from now.
async fn fail(world: &TestServer, hours: i64, reason: &str) {
    let name = DomainPattern::parse(DOMAIN).unwrap();
    let catalog = &world.context.catalog;
    let id = catalog.domain(&name).await.unwrap().unwrap().id;
    let of = (&name, Environment::Production, id);
    let changed = catalog.update_managed_certificate(of, &[], |managed| {
        managed.note_failed_order(OrderFailure {
            at: NOW.plus_ms(hours * 3_600_000),
            issuer: "pebble".to_owned(),
            reason: reason.to_owned(),
        });
    });
    changed.await.unwrap().unwrap();
}

#[tokio::test]
async fn failed_orders_are_told_with_their_reason_and_repeats_are_counted() {
    let world = world().await;
    let reply = history(&world, &[]).await;
    let before = reply["Entries"].as_array().unwrap();
    // The clock stands still: both are of the same moment.
    assert_eq!(before.len(), 2);
    let by_action = |action: &str| before.iter().find(|entry| entry["Action"] == action);
    assert!(by_action("AddCdnDomain").is_some());
    let asked = by_action("SetCdnDomainSSLCertificate").unwrap();

    for hours in 1..=1000 {
        fail(&world, hours, "a.example.com has no address record").await;
    }
    fail(&world, 1001, "CAA of example.com allows nobody to issue").await;
    let reply = history(&world, &[]).await;
    let entries = reply["Entries"].as_array().unwrap();
    assert_eq!(entries.len(), before.len() + 2);
    let latest = "CAA of example.com allows nobody to issue";
    assert_eq!(entries[0]["OrderFailure"], latest);
    let failed = &entries[1];
    assert_eq!(failed["Action"], "OrderCertificate");
    assert_eq!(
        failed["OrderFailure"],
        "a.example.com has no address record"
    );
    assert_eq!(
        (&failed["Issuer"], &failed["Env"]),
        (&"pebble".into(), &"production".into())
    );
    assert_eq!(failed["Times"], 1000);
    assert_eq!(failed["EventTime"], NOW.plus_ms(3_600_000).to_string());
    assert_eq!(failed["LastTime"], NOW.plus_ms(3_600_000_000).to_string());
    assert_eq!(failed["RequestId"], asked["RequestId"]);
    assert_eq!(failed.get("AfterSha256"), None);
    assert_eq!(entries[2..], *before);
    // The request is that of the call all the same.
    let id = asked["RequestId"].as_str().unwrap();
    let name = DomainPattern::parse(DOMAIN).unwrap();
    let catalog = &world.context.catalog;
    let revision = catalog.revision_of_request(&name, id).await.unwrap();
    let all = catalog.history(&name).await.unwrap();
    let asked = all.iter().find(|(_, it)| it.action.starts_with("Set"));
    assert_eq!(revision, asked.map(|(revision, _)| *revision));
}

#[tokio::test]
async fn pages_follow_each_other_and_are_the_owners() {
    let world = world().await;
    fail(&world, 1, "first").await;
    fail(&world, 2, "second").await;
    let whole = history(&world, &[]).await;
    let mut entries = Vec::new();
    let mut token = String::new();
    loop {
        let params = [("MaxResults", "1"), ("NextToken", &token)];
        let mut page = history(&world, &params).await;
        let rows = page["Entries"].as_array_mut().unwrap();
        assert_eq!(rows.len(), 1);
        entries.append(rows);
        match page["NextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(whole["Entries"].as_array(), Some(&entries));
    assert_eq!(whole.get("NextToken"), None);

    let action = (EDGESEAL, "DescribeDomainHistory");
    let denied = call(&world, "other", action, &[]).await;
    assert_eq!(error_of(&denied).0, "InvalidDomain.NotFound");
    for (name, value, code) in [
        ("MaxResults", "0", "InvalidMaxResults"),
        ("MaxResults", "501", "InvalidMaxResults"),
        ("NextToken", "x", "InvalidNextToken"),
    ] {
        let refused = history(&world, &[(name, value)]).await;
        assert_eq!(error_of(&refused).0, code, "{name}={value}");
    }
}
