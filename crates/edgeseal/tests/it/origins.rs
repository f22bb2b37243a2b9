//! Origin addresses that a tenant cannot make the edge connect to.

use serde_json::Value;

use crate::harness::{ApiClient, CDN_VERSION, EDGESEAL, Origin, Server, add_params};

const NAME: &str = "www.origins.example";

fn source(kind: &str, address: &str, port: u16) -> String {
    format!(r#"[{{"content":"{address}","type":"{kind}","port":"{port}"}}]"#)
}

/// Asserts that neither a new domain nor one that is there gets this origin; the reason.
async fn assert_refused(api: &ApiClient, there: &str, sources: &str) -> String {
    let modified = [("DomainName", there), ("Sources", sources)];
    let named = add_params("new.origins.example", sources);
    let mut told = String::new();
    for (action, params) in [
        ("AddCdnDomain", &named[..]),
        ("BatchAddCdnDomain", &named),
        ("ModifyCdnDomain", &modified),
    ] {
        let refusal = api.refused(CDN_VERSION, action, params).await;
        assert_eq!(refusal.code, "InvalidSources.Malformed", "{sources}");
        told = refusal.detail;
    }
    told
}

async fn update(root: &ApiClient, account: &str, to: &str) {
    let params = [("AccountId", account), ("PrivateOrigins", to)];
    root.ok(EDGESEAL, "UpdateAccount", &params).await;
}

async fn chosen(root: &ApiClient, account: &str) -> String {
    let listed = root.ok(EDGESEAL, "ListAccounts", &[]).await;
    let mut rows = listed["Accounts"].as_array().unwrap().iter();
    let found = rows.find(|row| row["AccountId"] == account).unwrap();
    found["PrivateOrigins"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_need_the_operators_permission() {
    let server = Server::start_with("origin_private_addresses = \"root\"\n");
    let (root, bob) = (server.root_client(), server.create_account("bob").await);
    let origin = Origin::start().await;
    root.add(NAME, &origin).await;
    let public = source("ipaddr", "198.41.0.4", 80);
    bob.ok(
        CDN_VERSION,
        "AddCdnDomain",
        &add_params("bob.origins.example", &public),
    )
    .await;
    let inside = origin.sources();
    for private in [
        inside.clone(),
        source("ipaddr", "10.0.0.1", 80),
        source("ipaddr", "::ffff:127.0.0.1", 80),
        source("ipaddr", "fd00::1", 80),
    ] {
        let told = assert_refused(&bob, "bob.origins.example", &private).await;
        assert!(told.contains("the operator can allow"), "{told}");
    }

    update(&root, &bob.account, "allowed").await;
    assert_eq!(chosen(&root, &bob.account).await, "allowed");
    bob.add("in.origins.example", &origin).await;
    update(&root, &bob.account, "default").await;
    assert_eq!(chosen(&root, &bob.account).await, "default");
    assert_refused(&bob, "in.origins.example", &inside).await;
    // Root may be refused as well.
    update(&root, &root.account, "refused").await;
    assert_refused(&root, NAME, &inside).await;
    // Nobody but the operator decides.
    let refusal = bob
        .refused(EDGESEAL, "UpdateAccount", &[("PrivateOrigins", "allowed")])
        .await;
    assert_eq!(refusal.code, "NoPermission");
    for (account, to, code) in [
        ("1234567890123456", "allowed", "EntityNotExist.Account"),
        ("12", "allowed", "InvalidAccountId"),
        (bob.account.as_str(), "perhaps", "InvalidPrivateOrigins"),
    ] {
        let params = [("AccountId", account), ("PrivateOrigins", to)];
        let refusal = root.refused(EDGESEAL, "UpdateAccount", &params).await;
        assert_eq!(refusal.code, code);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn some_addresses_are_always_refused() {
    let server = Server::start_with("origin_private_addresses = \"all\"\n");
    let (root, origin) = (server.root_client(), Origin::start().await);
    root.add(NAME, &origin).await;
    for (kind, address) in [
        ("ipaddr", "169.254.169.254"),
        ("ipaddr", "100.100.100.200"),
        ("ipaddr", "fe80::1"),
        ("ipaddr", "0.0.0.0"),
        ("ipaddr", "::"),
        ("ipaddr", "224.0.0.1"),
        ("ipaddr", "255.255.255.255"),
        ("domain", "localhost"),
        ("domain", "metadata.localhost"),
    ] {
        let told = assert_refused(&root, NAME, &source(kind, address, 80)).await;
        assert!(told.contains(address), "{told}");
    }
    // Nor is Edgeseal itself, which trusts this machine.
    let own = server.addresses();
    for listener in [own.api, own.admin, own.https, own.http] {
        let sources = source("ipaddr", "127.0.0.1", listener.port());
        let told = assert_refused(&root, NAME, &sources).await;
        assert!(told.contains("listener of this very process"), "{told}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_of_everybodys_names_is_the_operators_alone() {
    let server = Server::start();
    let (root, bob) = (server.root_client(), server.create_account("bob").await);
    let sources = Origin::start().await.sources();
    for name in [".co.uk", "*.github.io"] {
        let refusal = bob
            .refused(CDN_VERSION, "AddCdnDomain", &add_params(name, &sources))
            .await;
        assert_eq!(refusal.code, "InvalidDomainName.Malformed", "{name}");
        assert!(refusal.detail.contains("public suffixes"), "{refusal:?}");
    }
    bob.ok(
        CDN_VERSION,
        "AddCdnDomain",
        &add_params(".bobs.co.uk", &sources),
    )
    .await;
    let added: Value = root
        .ok(
            CDN_VERSION,
            "AddCdnDomain",
            &add_params("*.github.io", &sources),
        )
        .await;
    assert!(added["RequestId"].is_string());
    server.stop();
}
