//! What a call with `CertType=free` refuses, begins and ends.

use bytes::Bytes;
use edgeseal_core::{
    DomainPattern,
    domain::Environment,
    managed_certificate::{ManagedCertificate, OrderFailure, OrderStatus},
};
use edgeseal_store::{Txn, Write, catalog::ChangeError, key::MANAGED_CERTIFICATES};
use serde_json::Value;

use crate::{
    Settings,
    context::CertificateOrders,
    test_server::{NOW, TestServer, error_of},
};

const ACCOUNT: &str = "1000000000000001";
const CDN: &str = "2018-05-10";
const SET: &str = "SetCdnDomainSSLCertificate";
const DOMAIN: &str = "a.example.com";

/// An account with a domain and a wildcard domain.
async fn world(has_issuers: bool) -> TestServer {
    let orders = CertificateOrders {
        has_issuers,
        has_dns_challenge: false,
    };
    let settings = Settings {
        orders,
        ..Settings::default()
    };
    let mut world = TestServer::empty(settings);
    world.account(ACCOUNT, "own").await;
    for name in [DOMAIN, ".example.com"] {
        let sources = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;
        let add = [
            ("DomainName", name),
            ("CdnType", "web"),
            ("Sources", sources),
        ];
        ok(&world, "AddCdnDomain", &add).await;
    }
    world
}

async fn call(world: &TestServer, action: &str, params: &[(&str, &str)]) -> Value {
    world.call(&world.keys["own"], CDN, action, params).await
}

async fn ok(world: &TestServer, action: &str, params: &[(&str, &str)]) -> Value {
    let response = call(world, action, params).await;
    assert_eq!(
        response.get("Code"),
        None,
        "{action} {params:?}: {response}"
    );
    response
}

fn order<'a>(name: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let order = [
        ("DomainName", name),
        ("SSLProtocol", "on"),
        ("CertType", "free"),
    ];
    [&order, more].concat()
}

/// The first entry of `DescribeDomainCertificateInfo`.
async fn shown(world: &TestServer) -> Value {
    let name = [("DomainName", DOMAIN)];
    let reply = ok(world, "DescribeDomainCertificateInfo", &name).await;
    reply["CertInfos"]["CertInfo"][0].clone()
}

async fn managed(world: &TestServer, environment: Environment) -> Option<ManagedCertificate> {
    let name = DomainPattern::parse(DOMAIN).unwrap();
    let catalog = &world.context.catalog;
    catalog
        .managed_certificate(&name, environment)
        .await
        .unwrap()
}

/// Lets the order fail.
async fn fail(world: &TestServer, mut managed: ManagedCertificate) {
    managed.status = OrderStatus::Failed;
    managed.backoff.failures = 3;
    managed.backoff.next_attempt = NOW.plus_ms(3_600_000);
    managed.failure = Some(OrderFailure {
        at: NOW,
        issuer: "pebble".to_owned(),
        reason: "the authority could not connect to a.example.com".to_owned(),
    });
    let audit = world.audit_context(ACCOUNT);
    let catalog = &world.context.catalog;
    let changed = catalog.transact(&audit, async |mut draft| {
        draft.put_managed_certificate(&managed)?;
        Ok::<_, ChangeError<()>>((draft, ()))
    });
    changed.await.unwrap();
}

#[tokio::test]
async fn an_order_that_cannot_be_made_is_refused() {
    const CODE: &str = "SetDomainCertificate.ParameterError";
    for (has_issuers, name, more, code, detail) in [
        (false, DOMAIN, [("Env", "")], CODE, "there is no issuer"),
        (true, ".example.com", [("Env", "")], CODE, "dns-01"),
        (true, DOMAIN, [("Companion", "true")], CODE, "[[acme]]"),
        (true, DOMAIN, [("CertName", "a\nb")], CODE, "CertName"),
        (
            true,
            "b.example.com",
            [("Env", "")],
            "InvalidDomain.NotFound",
            "b.example.com",
        ),
    ] {
        let world = world(has_issuers).await;
        let response = call(&world, SET, &order(name, &more)).await;
        assert_eq!(error_of(&response).0, code, "{name} {more:?}");
        let given = response["Detail"].as_str().unwrap();
        assert!(given.contains(detail), "{name} {more:?}: {given}");
        assert_eq!(managed(&world, Environment::Production).await, None);
    }
}

#[tokio::test]
async fn an_order_is_shown_until_it_ends() {
    let world = world(true).await;
    ok(&world, SET, &order(DOMAIN, &[])).await;
    let info = shown(&world).await;
    assert_eq!(info["ServerCertificateStatus"], "off");
    assert_eq!(info["Status"], "applying");
    assert_eq!(info["CertType"], "free");
    assert_eq!(info.get("OrderFailure"), None);
    let first = managed(&world, Environment::Production).await.unwrap();
    assert_eq!(first.status, OrderStatus::Applying);
    assert!(first.backoff.next_attempt <= NOW);

    // The same call again neither doubles nor restarts it.
    ok(&world, SET, &order(DOMAIN, &[])).await;
    let again = managed(&world, Environment::Production).await.unwrap();
    assert_eq!(again, first);

    fail(&world, first).await;
    let info = shown(&world).await;
    assert_eq!(info["Status"], "failed");
    let reason = info["OrderFailure"].as_str().unwrap();
    assert!(reason.contains("could not connect"), "{reason}");

    // After a failure it is tried again soon; the failures still count.
    ok(&world, SET, &order(DOMAIN, &[])).await;
    let again = managed(&world, Environment::Production).await.unwrap();
    assert_eq!(again.status, OrderStatus::Applying);
    assert_eq!(again.backoff.next_attempt, NOW.plus_ms(10_000));
    assert_eq!(again.backoff.failures, 3);
    assert_eq!(shown(&world).await["Status"], "applying");
}

#[tokio::test]
async fn other_settings_leave_an_order_alone() {
    let world = world(true).await;
    ok(&world, SET, &order(DOMAIN, &[])).await;
    let functions =
        r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
    let configure = [("DomainNames", DOMAIN), ("Functions", functions)];
    ok(&world, "BatchSetCdnDomainConfig", &configure).await;
    let managed = managed(&world, Environment::Production).await;
    assert_eq!(managed.unwrap().status, OrderStatus::Applying);
}

#[tokio::test]
async fn off_an_upload_and_deletion_end_an_order() {
    let made = rcgen::generate_simple_self_signed([DOMAIN.to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let name = ("DomainName", DOMAIN);
    let upload = [
        name,
        ("SSLProtocol", "on"),
        ("SSLPub", &*chain),
        ("SSLPri", &*key),
    ];
    for (action, params) in [
        (SET, &[name, ("SSLProtocol", "off")][..]),
        (SET, &upload[..]),
        ("DeleteCdnDomain", &[name][..]),
    ] {
        let world = world(true).await;
        ok(&world, SET, &order(DOMAIN, &[])).await;
        ok(&world, action, params).await;
        let managed = managed(&world, Environment::Production).await;
        assert_eq!(managed, None, "{action} {params:?}");
    }
}

#[tokio::test]
async fn an_order_beside_an_upload_leaves_it_served() {
    let world = world(true).await;
    let made = rcgen::generate_simple_self_signed([DOMAIN.to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let upload = [
        ("DomainName", DOMAIN),
        ("SSLProtocol", "on"),
        ("SSLPub", &*chain),
        ("SSLPri", &*key),
    ];
    ok(&world, SET, &upload).await;
    let before = shown(&world).await;
    ok(&world, SET, &order(DOMAIN, &[])).await;
    let after = shown(&world).await;
    assert_eq!(after["CertId"], before["CertId"]);
    assert_eq!(after["ServerCertificateStatus"], "on");
    assert_eq!(
        (&after["Status"], &after["CertType"]),
        (&"applying".into(), &"upload".into())
    );
}

/// A dry run makes the decision of the real call: here it finds a record that cannot be read.
#[tokio::test]
async fn a_dry_order_says_what_the_order_does_then() {
    let world = world(true).await;
    let dry = order(DOMAIN, &[("DryRun", "true")]);
    let before = world.dump().await;
    ok(&world, SET, &dry).await;
    assert_eq!(world.dump().await, before);
    ok(&world, SET, &order(DOMAIN, &[])).await;
    let store = world.context.catalog.store();
    let managed = store.list(MANAGED_CERTIFICATES, None, 1).await.unwrap();
    let damage = Txn {
        write: vec![Write::Put {
            key: managed.entries[0].key.clone(),
            value: Bytes::from_static(b"{"),
            expires: None,
        }],
        ..Txn::default()
    };
    store.commit(damage).await.unwrap();
    for params in [dry, order(DOMAIN, &[])] {
        let response = call(&world, SET, &params).await;
        assert_eq!(error_of(&response).0, "CertStorage.failed", "{params:?}");
    }
}
