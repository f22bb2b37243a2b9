//! Certificates are returned exactly as uploaded; private keys only with `return_private_keys`.

use serde_json::{Value, json};

use super::{CasFixture, NAME, upload};
use crate::harness::{
    ApiClient, CAS, CDN_VERSION, EDGESEAL, RAM, SET, TestCertificate, pki::AUTHORITY,
};

const DETAIL: &str = "GetUserCertificateDetail";
const RETURN_KEYS: &str = "return_private_keys = true\n";

/// The same chain and key in another form: text before the blocks, a root, CRLF, no final line
/// break.
fn reformatted(pem: &TestCertificate) -> TestCertificate {
    let chain = format!("# the shop\n{}{}", pem.chain, AUTHORITY.root.pem());
    TestCertificate {
        chain: chain.trim_end().replace('\n', "\r\n"),
        key: pem.key.trim_end().replace('\n', "\r\n"),
        leaf: pem.leaf.clone(),
    }
}

async fn detail(api: &ApiClient, id: i64) -> Value {
    let number = id.to_string();
    let called = api.call(CAS, DETAIL, &[("CertId", number.as_str())]).await;
    called.unwrap().body
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_come_back_as_they_were_written() {
    let centre = CasFixture::with_domain("").await;
    let plain = AUTHORITY.issue(&[NAME]);
    let odd = reformatted(&plain);

    let id = centre.upload("shop", &odd).await;
    assert_eq!(detail(&centre.api, id).await["Cert"], odd.chain);
    assert_eq!(detail(&centre.api, id).await["Key"], "");
    centre.bind(NAME, id).await;
    centre.assert_serves(&plain, "bound").await;
    let info = centre.api.info(NAME).await;
    assert_eq!(info["ServerCertificate"], odd.chain);

    // The latest form of the same content replaces the earlier one, also in the call that binds it.
    assert_eq!(centre.upload("shop", &plain).await, id);
    assert_eq!(detail(&centre.api, id).await["Cert"], plain.chain);
    let again = [
        ("DomainName", NAME),
        ("SSLProtocol", "on"),
        ("CertType", "cas"),
        ("CertName", "shop"),
        ("SSLPub", odd.chain.as_str()),
        ("SSLPri", odd.key.as_str()),
    ];
    centre.api.ok(CDN_VERSION, SET, &again).await;
    assert_eq!(detail(&centre.api, id).await["Cert"], odd.chain);

    // The texts are deleted with their certificate.
    centre
        .api
        .ok(CDN_VERSION, "DeleteCdnDomain", &[("DomainName", NAME)])
        .await;
    centre.delete(CAS, id).await;
    let stored = centre.into_store_dump().await;
    assert!(stored.keys("chaintext/").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_back_only_where_they_are_given_back() {
    let centre = CasFixture::start(RETURN_KEYS).await;
    let tenant = centre.server.create_account("keeper").await;
    let plain = AUTHORITY.issue(&[NAME]);
    let odd = reformatted(&plain);

    let id = upload(&tenant, "plain", &plain).await;
    assert_eq!(detail(&tenant, id).await["Key"], plain.key);
    let id = upload(&tenant, "odd", &odd).await;
    assert_eq!(detail(&tenant, id).await["Key"], odd.key);
    let filtered = [("CertId", &*id.to_string()), ("CertFilter", "true")];
    let reply = tenant.ok(CAS, DETAIL, &filtered).await;
    assert!(reply["Key"].is_null(), "{reply}");

    // Neither the permission to read certificates nor administrator access suffices.
    let user = user(&tenant, "reader", "AdministratorAccess").await;
    assert_eq!(detail(&user, id).await["Key"], "");
    let allowed = json!({ "Version": "1", "Statement": [
        { "Effect": "Allow", "Action": "edgeseal:GetPrivateKey", "Resource": "*" }
    ] });
    let policy = [
        ("PolicyName", "keys"),
        ("PolicyDocument", &*allowed.to_string()),
    ];
    tenant.ok(RAM, "CreatePolicy", &policy).await;
    attach(&tenant, "reader", "Custom", "keys").await;
    assert_eq!(detail(&user, id).await["Key"], odd.key);

    // The audit log records that each key was returned, and not the key.
    let audit = tenant
        .ok(EDGESEAL, "DescribeAuditRecords", &[("ActionName", DETAIL)])
        .await;
    let text = audit.to_string();
    assert_eq!(text.matches("the private key was given back").count(), 3);
    assert!(!text.contains("PRIVATE KEY"), "{text}");
    assert!(centre.server.log().contains("return_private_keys"));
    centre.server.stop();
}

async fn user(tenant: &ApiClient, name: &str, policy: &str) -> ApiClient {
    let named = [("UserName", name)];
    tenant.ok(RAM, "CreateUser", &named).await;
    let made = tenant.ok(RAM, "CreateAccessKey", &named).await;
    attach(tenant, name, "System", policy).await;
    tenant.as_user(&made["AccessKey"])
}

async fn attach(tenant: &ApiClient, user: &str, kind: &str, policy: &str) {
    let attached = [
        ("UserName", user),
        ("PolicyType", kind),
        ("PolicyName", policy),
    ];
    tenant.ok(RAM, "AttachPolicyToUser", &attached).await;
}
