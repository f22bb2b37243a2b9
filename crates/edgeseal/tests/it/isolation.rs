//! Isolation: an account can neither see nor change anything of another account.

mod all_actions;
mod members;
mod rows;

use serde_json::Value;

use crate::harness::{
    ApiClient, CDN_VERSION, EDGESEAL, Origin, SET, Scheme, Server, SignedCall,
    api::upload_params,
    pki::AUTHORITY,
    raw::{self, RawResponse},
};

const OWNER_DOMAIN: &str = "hers.example.com";
const UNKNOWN_DOMAIN: &str = "none.example.com";

/// Status and body of a response without what must differ: the request ID and the requested name.
fn shape(answer: &RawResponse, domain: &str) -> (u16, Value) {
    let mut body: Value = serde_json::from_str(&answer.body.replace(domain, "{domain}")).unwrap();
    let id = body.as_object_mut().unwrap().remove("RequestId");
    assert!(id.is_some());
    (answer.status, body)
}

async fn call(
    server: &Server,
    api: &ApiClient,
    action: &str,
    params: &[(&str, &str)],
) -> RawResponse {
    let attempt = SignedCall::new(Scheme::V3, api.access_key(), (CDN_VERSION, action), params);
    raw::send_raw(server.addresses().api, &attempt.to_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_domain_is_one_that_does_not_exist() {
    let server = Server::start();
    let (alice, bob) = (
        server.create_account("alice").await,
        server.create_account("bob").await,
    );
    alice.add(OWNER_DOMAIN, &Origin::start().await).await;
    let pem = AUTHORITY.issue(&[OWNER_DOMAIN, UNKNOWN_DOMAIN]);
    alice.set(OWNER_DOMAIN, &pem).await.unwrap();

    let nothing: [(&str, &str); 0] = [];
    let off = [("SSLProtocol", "off")];
    let on = &upload_params("", &pem)[1..];
    let wrong = [("SSLProtocol", "neither")];
    let calls: [(&str, &[(&str, &str)]); 11] = [
        (SET, on),
        (SET, &off),
        (SET, &wrong),
        ("DescribeDomainCertificateInfo", &nothing),
        ("DescribeCdnDomainDetail", &nothing),
        ("ModifyCdnDomain", &nothing),
        ("StopCdnDomain", &nothing),
        ("StartCdnDomain", &nothing),
        ("DeleteCdnDomain", &nothing),
        ("PublishStagingConfigToProduction", &nothing),
        ("RollbackStagingConfig", &nothing),
    ];
    for (action, further) in calls {
        let mut answers = Vec::new();
        for domain in [OWNER_DOMAIN, UNKNOWN_DOMAIN] {
            let params = [&[("DomainName", domain)], further].concat();
            let answer = call(&server, &bob, action, &params).await;
            assert_eq!(
                answer.code(),
                "InvalidDomain.NotFound",
                "{action}: {}",
                answer.body
            );
            assert_eq!(answer.status, 404, "{action}");
            answers.push(shape(&answer, domain));
        }
        assert_eq!(answers[0], answers[1], "{action}");
    }
    server
        .assert_serves(OWNER_DOMAIN, &pem.leaf, "after the other account's calls")
        .await;
    assert_eq!(alice.bound_leaf(OWNER_DOMAIN).await, pem.leaf);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_certificates_are_an_accounts_own() {
    let server = Server::start();
    let (alice, bob) = (
        server.create_account("alice").await,
        server.create_account("bob").await,
    );
    let origin = Origin::start().await;
    alice.add(OWNER_DOMAIN, &origin).await;
    bob.add("his.example.com", &origin).await;
    let pem = AUTHORITY.issue(&[OWNER_DOMAIN, "his.example.com"]);
    alice.set(OWNER_DOMAIN, &pem).await.unwrap();

    let listed = bob
        .call(CDN_VERSION, "DescribeUserDomains", &[])
        .await
        .unwrap()
        .body;
    let names: Vec<&Value> = listed["Domains"]["PageData"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["DomainName"])
        .collect();
    assert_eq!(names, ["his.example.com"]);

    // Another account's certificate cannot be bound, neither by ID nor by name.
    let info = alice.info(OWNER_DOMAIN).await;
    for by in ["CertId", "CertName"] {
        let value = info[by].as_str().unwrap();
        let params = [
            ("DomainName", "his.example.com"),
            ("SSLProtocol", "on"),
            (by, value),
        ];
        let refusal = bob.refused(CDN_VERSION, SET, &params).await;
        assert_eq!(refusal.code, "Certificate.NotFind", "{by}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_root_account_operates_edgeseal() {
    let server = Server::start();
    let bob = server.create_account("bob").await;
    bob.add("his.example.com", &Origin::start().await).await;
    for (action, params) in [
        ("CreateAccount", vec![("AccountName", "eve")]),
        ("ListAccounts", vec![]),
        ("CreateAccessKey", vec![]),
        (
            "UpdateAccessKey",
            vec![("UserAccessKeyId", bob.key.as_str()), ("Status", "Active")],
        ),
        (
            "DeleteAccessKey",
            vec![("UserAccessKeyId", bob.key.as_str())],
        ),
        (
            "SetDomainMode",
            vec![("DomainName", "his.example.com"), ("Mode", "safe")],
        ),
        ("UpdateAccount", vec![("PrivateOrigins", "allowed")]),
    ] {
        let attempt = SignedCall::new(Scheme::V3, bob.access_key(), (EDGESEAL, action), &params);
        let answer = raw::send_raw(server.addresses().api, &attempt.to_bytes()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "NoPermission"),
            "{action}"
        );
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let denied = &body["AccessDeniedDetail"];
        assert_eq!(denied["AuthAction"], format!("edgeseal:{action}"));
        assert_eq!(denied["AuthPrincipalOwnerId"], bob.account);
        assert_eq!(denied["AuthPrincipalDisplayName"], "bob");
        assert_eq!(denied["NoPermissionType"], "ImplicitDeny");
    }
    server.stop();
}
