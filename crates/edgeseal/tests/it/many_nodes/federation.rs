//! Sessions of OIDC tokens, at several nodes.

use std::{fs, path::Path};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Cluster, at};
use crate::harness::{ApiClient, CDN_VERSION, RAM, Server, now, raw, secrets, unlimited};

const ISSUER: &str = "https://issuer.example";
const READ: (&str, &str) = (CDN_VERSION, "DescribeUserDomains");
const RIGHT: [(&str, &str); 3] = [
    ("PolicyType", "System"),
    ("PolicyName", "AliyunCDNReadOnlyAccess"),
    ("RoleName", "ci"),
];

/// A key of the provider, with its ID.
struct SigningKey(EcdsaKeyPair, &'static str);

impl SigningKey {
    fn new(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self(pair, id)
    }

    /// Makes it the only key of the provider.
    fn publish(&self, file: &Path) {
        let point = self.0.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        let key = json!({"kty": "EC", "crv": "P-256", "kid": self.1, "x": x, "y": y});
        let new = file.with_extension("new");
        fs::write(&new, json!({ "keys": [key] }).to_string()).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// A token for this subject, which ends after so many seconds.
    fn token(&self, subject: &str, seconds: i64) -> String {
        let issued = now().unix_seconds() - 600;
        let claims = json!({
            "iss": ISSUER, "aud": "edgeseal", "sub": subject,
            "iat": issued, "exp": issued + 600 + seconds,
        });
        let header = json!({"alg": "ES256", "kid": self.1});
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = parts.join(".");
        let signature = self
            .0
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        secrets::register_secret(&token);
        token
    }
}

/// Which tokens the role accepts.
fn trust(account: &str, subject: &str) -> String {
    json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Federated": [format!("acs:ram::{account}:oidc-provider/ci")]},
        "Condition": {"StringEquals": {
            "oidc:iss": ISSUER, "oidc:aud": "edgeseal", "oidc:sub": subject,
        }},
    }]})
    .to_string()
}

/// `AssumeRoleWithOIDC` at a node: the key of the session, or the code of the refusal.
async fn assume(node: &Server, account: &str, token: &str) -> Result<Value, String> {
    let path = format!(
        "/?Action=AssumeRoleWithOIDC&Version=2015-04-01&Format=JSON&RoleSessionName=ci\
         &OIDCProviderArn=acs:ram::{account}:oidc-provider/ci&RoleArn=acs:ram::{account}:role/ci\
         &OIDCToken={token}"
    );
    let reply = raw::get(node.addresses().api, "localhost", &path).await;
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    match reply.status {
        200 => Ok(body["Credentials"].clone()),
        _ => Err(reply.code()),
    }
}

/// Two nodes with a provider for an account, which has the role `ci`.
async fn start(cluster: &Cluster, keys: &Path) -> ([Server; 2], ApiClient) {
    let [mut one] = cluster.start();
    let account = one.create_account("alice").await;
    let number = &account.account;
    let role = [
        ("RoleName", "ci"),
        ("AssumeRolePolicyDocument", &*trust(number, "main")),
    ];
    account.ok(RAM, "CreateRole", &role).await;
    account.ok(RAM, "AttachPolicyToRole", &RIGHT).await;
    let provider = format!(
        "[[oidc_provider]]\naccount = \"{number}\"\nname = \"ci\"\nissuer = \"{ISSUER}\"\n\
         client_ids = [\"edgeseal\"]\njwks = \"{}\"\n",
        keys.display()
    );
    let file = one.home().join("edgeseal.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{config}{provider}")).unwrap();
    one.terminate();
    one.launch();
    let two = Server::start_with(&cluster.config(&format!("{}{provider}", unlimited())));
    let account = at(&one, &account);
    ([one, two], account)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_session_is_one_at_every_node() {
    let (cluster, folder) = (Cluster::new("federation"), tempfile::tempdir().unwrap());
    let keys = folder.path().join("jwks.json");
    let first = SigningKey::new("first");
    first.publish(&keys);
    let ([one, two], account) = start(&cluster, &keys).await;
    let (nodes, number) = ([&one, &two], &account.account);
    let there = at(&two, &account);
    let session = |node: &Server, key: &Value| at(node, &account).as_user(key);

    // Begun at one node, used at both; a token counts until it expires, at each of them.
    let token = first.token("main", 600);
    let key = assume(&one, number, &token).await.unwrap();
    for node in nodes {
        session(node, &key).ok(READ.0, READ.1, &[]).await;
        assume(node, number, &token).await.unwrap();
    }
    // What one refuses, the other one refuses for the same reason.
    for (token, code) in [
        (
            first.token("main", -120),
            "AuthenticationFail.OIDCToken.Expired",
        ),
        (
            SigningKey::new("first").token("main", 600),
            "AuthenticationFail.OIDCToken.InvalidSignature",
        ),
        (first.token("fork", 600), "AuthenticationFail.NoPermission"),
    ] {
        for node in [&one, &two, &one] {
            let refused = assume(node, number, &token).await.unwrap_err();
            assert_eq!(refused, code);
        }
    }

    // Another trust, set at one node, holds at the other one with the next call.
    for (changed_at, used_at) in [(&there, &one), (&account, &two)] {
        for (subject, is_trusted) in [("release", false), ("main", true)] {
            let changed = [
                ("RoleName", "ci"),
                ("NewAssumeRolePolicyDocument", &*trust(number, subject)),
            ];
            changed_at.ok(RAM, "UpdateRole", &changed).await;
            let assumed = assume(used_at, number, &token).await;
            assert_eq!(assumed.is_ok(), is_trusted, "{subject}: {assumed:?}");
        }
    }
    // So does another key of the provider.
    let second = SigningKey::new("second");
    second.publish(&keys);
    for node in nodes {
        let refused = assume(node, number, &token).await.unwrap_err();
        assert_eq!(refused, "AuthenticationFail.OIDCToken.InvalidSignature");
        assume(node, number, &second.token("main", 600))
            .await
            .unwrap();
    }

    // Rights that the role loses at one node, and the role.
    there.ok(RAM, "DetachPolicyFromRole", &RIGHT).await;
    let refused = session(&one, &key).refused(READ.0, READ.1, &[]).await;
    assert_eq!(refused.code, "NoPermission");
    account.ok(RAM, "DeleteRole", &RIGHT[2..]).await;
    for node in nodes {
        let refused = session(node, &key).refused(READ.0, READ.1, &[]).await;
        assert!(
            refused.code.starts_with("InvalidSecurityToken."),
            "{refused:?}"
        );
        let refused = assume(node, number, &second.token("main", 600)).await;
        assert_eq!(refused.unwrap_err(), "AuthenticationFail.NoPermission");
    }
    one.stop();
    two.stop();
}
