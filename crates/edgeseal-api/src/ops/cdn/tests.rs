//! What an owner cannot do to a domain that the operator has protected, and what a key of one
//! domain cannot do to the certificates of others.

use serde_json::{Value, json};

use crate::{
    Settings,
    context::NameMismatchPolicy,
    test_server::{Credentials, TestServer, allow, document, statement},
};

const ROOT: &str = "1000000000000001";
const TENANT: &str = "2000000000000002";
const CDN: &str = "2018-05-10";
const CDN_2014: &str = "2014-11-11";
const SOURCES: &str = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;

async fn ok(world: &TestServer, who: &Credentials, call: (&str, &str), params: &[(&str, &str)]) {
    let response = world.call(who, call.0, call.1, params).await;
    assert_eq!(
        response.get("Code"),
        None,
        "{call:?} {params:?}: {response}"
    );
}

async fn code(
    world: &TestServer,
    who: &Credentials,
    call: (&str, &str),
    params: &[(&str, &str)],
) -> Option<String> {
    let response = world.call(who, call.0, call.1, params).await;
    response["Code"].as_str().map(str::to_owned)
}

/// A tenant with two domains.
async fn world() -> TestServer {
    let mut world = TestServer::empty(Settings {
        name_mismatch: NameMismatchPolicy::Accept,
        ..Settings::default()
    });
    world.root_account(ROOT).await;
    world.account(TENANT, "tenant").await;
    for name in ["a.example.com", "b.example.com"] {
        let params = [
            ("DomainName", name),
            ("CdnType", "web"),
            ("Sources", SOURCES),
        ];
        ok(
            &world,
            &world.keys["tenant"],
            (CDN, "AddCdnDomain"),
            &params,
        )
        .await;
    }
    world
}

#[tokio::test]
async fn a_protected_domain_cannot_be_deleted_and_re_added() {
    let world = world().await;
    let (root, tenant) = (&world.keys["root"], &world.keys["tenant"]);
    let name = ("DomainName", "a.example.com");
    let mode = |mode| [name, ("Mode", mode)];
    let delete = (CDN, "DeleteCdnDomain");
    let own_mode = ("2026-12-01", "SetDomainMode");
    for held in ["protected", "safe"] {
        ok(&world, root, own_mode, &mode(held)).await;
        let response = world.call(tenant, delete.0, delete.1, &[name]).await;
        assert_eq!(response["Code"], "OperationDenied", "{held}");
        let detail = response["Detail"].as_str().unwrap();
        assert!(detail.contains(held), "{detail}");
        // Stopping and starting the domain does not lift the protection.
        ok(&world, tenant, (CDN, "StopCdnDomain"), &[name]).await;
        assert_eq!(
            code(&world, tenant, delete, &[name]).await.as_deref(),
            Some("OperationDenied")
        );
        ok(
            &world,
            tenant,
            (CDN, "BatchStartCdnDomain"),
            &[("DomainNames", name.1)],
        )
        .await;
        let (chain, key) = certificate();
        let put = [
            ("SSLProtocol", "on"),
            ("SSLPub", &*chain),
            ("SSLPri", &*key),
            name,
        ];
        for call in [
            (CDN, "SetCdnDomainSSLCertificate"),
            ("2018-01-15", "SetDcdnDomainSSLCertificate"),
            (CDN, "BatchSetCdnDomainServerCertificate"),
        ] {
            let refused = code(&world, tenant, call, &put).await.unwrap();
            assert!(refused.ends_with("Mode"), "{call:?}: {refused}");
        }
    }
    ok(&world, root, own_mode, &mode("normal")).await;
    ok(&world, tenant, delete, &[name]).await;
}

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Uploads a new certificate under this name with `ForceSet`, through the legacy action.
async fn force(world: &TestServer, who: &Credentials, domain: &str, name: &str) -> Value {
    let (chain, key) = certificate();
    let params = [
        ("DomainName", domain),
        ("CertName", name),
        ("ServerCertificateStatus", "on"),
        ("ServerCertificate", &chain),
        ("PrivateKey", &key),
        ("ForceSet", "1"),
    ];
    world
        .call(who, CDN_2014, "SetDomainServerCertificate", &params)
        .await
}

#[tokio::test]
async fn force_set_replaces_only_the_domains_own_certificate() {
    let mut world = world().await;
    let one = allow(
        "cdn:SetDomainServerCertificate",
        "acs:cdn:*:*:domain/a.example.com",
    );
    world.user(TENANT, "one", &[&one]).await;
    let set = statement("cdn:*", "*");
    let may_delete = document(&[set, statement("yundun-cert:DeleteUserCertificate", "*")]);
    world.user(TENANT, "deletes", &[&may_delete]).await;
    let (tenant, one) = (&world.keys["tenant"], &world.keys["one"]);
    // The domain's own certificate, repeatedly.
    for _ in 0..2 {
        let response = force(&world, one, "a.example.com", "mine").await;
        assert_eq!(response.get("Code"), None, "{response}");
    }
    // Another domain's certificate, one that both have bound, and an unbound one.
    force(&world, tenant, "b.example.com", "others").await;
    let (chain, key) = certificate();
    let upload = [("Name", "unbound"), ("Cert", &*chain), ("Key", &*key)];
    ok(
        &world,
        tenant,
        ("2020-04-07", "UploadUserCertificate"),
        &upload,
    )
    .await;
    force(&world, tenant, "a.example.com", "both").await;
    let by_name = [
        ("DomainName", "b.example.com"),
        ("CertName", "both"),
        ("SSLProtocol", "on"),
    ];
    ok(
        &world,
        tenant,
        (CDN, "SetCdnDomainSSLCertificate"),
        &by_name,
    )
    .await;
    // A CAS certificate bound to this domain alone still belongs to CAS.
    let own = [
        ("DomainName", "a.example.com"),
        ("CertName", "unbound"),
        ("SSLProtocol", "on"),
    ];
    ok(&world, tenant, (CDN, "SetCdnDomainSSLCertificate"), &own).await;
    for name in ["others", "unbound", "both"] {
        let response = force(&world, one, "a.example.com", name).await;
        assert_eq!(
            response["Code"], "Certificate.Duplicated",
            "{name}: {response}"
        );
        let detail = response["Detail"].as_str().unwrap();
        assert!(
            detail.contains("yundun-cert:DeleteUserCertificate"),
            "{detail}"
        );
    }
    for name in ["others", "unbound", "both"] {
        let response = force(&world, &world.keys["deletes"], "a.example.com", name).await;
        assert_eq!(response.get("Code"), None, "{name}: {response}");
    }
}

#[tokio::test]
async fn the_tags_of_an_account_are_listed_by_key() {
    let mut world = world().await;
    world
        .user(TENANT, "reader", &[&allow("cdn:DescribeUserTags", "*")])
        .await;
    world
        .user(TENANT, "other", &[&allow("cdn:ListTagResources", "*")])
        .await;
    let list = (CDN, "DescribeUserTags");
    let tenant = &world.keys["tenant"];
    let none = world.call(tenant, list.0, list.1, &[]).await;
    assert_eq!(none["Tags"], json!([]));
    for (name, tags) in [
        ("a.example.com", [("team", "web"), ("env", "")]),
        ("b.example.com", [("team", "shop"), ("env", "")]),
    ] {
        let mut params = vec![("ResourceType", "DOMAIN"), ("ResourceId.1", name)];
        let names = [("Tag.1.Key", "Tag.1.Value"), ("Tag.2.Key", "Tag.2.Value")];
        for ((key_param, value_param), (key, value)) in names.into_iter().zip(tags) {
            params.extend([(key_param, key), (value_param, value)]);
        }
        ok(&world, tenant, (CDN, "TagResources"), &params).await;
    }
    let all = json!([
        { "Key": "env", "Value": [""] },
        { "Key": "team", "Value": ["shop", "web"] },
    ]);
    for who in ["tenant", "reader"] {
        let listed = world.call(&world.keys[who], list.0, list.1, &[]).await;
        assert_eq!(listed["Tags"], all, "{who}");
    }
    let denied = code(&world, &world.keys["other"], list, &[]).await;
    assert_eq!(denied.as_deref(), Some("NoPermission"));
    let others = world.call(&world.keys["root"], list.0, list.1, &[]).await;
    assert_eq!(others["Tags"], json!([]), "of another account");
}
