//! Unsigned calls.

use std::fs;

use edgeseal_core::{oidc::Provider, rate::RateLimit};

use ::http::HeaderMap;
use edgeseal_core::AccountId;

use super::*;
use crate::oidc_providers::{
    KeySource,
    tests::{Key, key_set},
};

const ISSUER: &str = "https://issuer.example";

/// A server with an identity provider, `ci` of `OWN`.
struct Federation {
    world: TestServer,
    key: Key,
    folder: tempfile::TempDir,
}

impl Federation {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new("k");
        let jwks = folder.path().join("jwks.json");
        fs::write(&jwks, key_set(&[&key])).unwrap();
        let provider = Provider {
            account: AccountId::parse(OWN).unwrap(),
            name: "ci".to_owned(),
            issuer: ISSUER.to_owned(),
            client_ids: vec!["edgeseal".to_owned()],
            max_token_age_ms: 12 * 3_600_000,
        };
        let providers = OidcProviders::new([(provider, KeySource::File(jwks))]);
        let world = TestServer::with(providers).await;
        let federated = json!({ "Federated": provider_arn(OWN, "ci") });
        let of_the_repository = json!({
            "StringEquals": {"oidc:iss": ISSUER, "oidc:aud": "edgeseal"},
            "StringLike": {"oidc:sub": "repo:a/b:*"},
        });
        let trust = trust(&federated, &of_the_repository);
        for account in [OWN, OTHER] {
            world.role(account, "ci", &trust, 3600, None).await;
        }
        Self { world, key, folder }
    }

    fn claims(&self) -> Value {
        let seconds = NOW.unix_seconds();
        json!({"iss": ISSUER, "aud": "edgeseal", "sub": "repo:a/b:main", "iat": seconds, "exp": seconds + 300})
    }

    /// The call as `alibabacloud_sts20150401` 1.2.0 sends it, with changed parameters.
    async fn call(&self, change: &[(&str, &str)]) -> (u16, Value) {
        let token = self.key.sign(&self.claims());
        let (role, provider) = (role_arn(OWN, "ci"), provider_arn(OWN, "ci"));
        let time = NOW.to_string();
        let mut params = vec![
            ("Action", "AssumeRoleWithOIDC"),
            ("Format", "json"),
            ("Version", "2015-04-01"),
            ("Timestamp", &time),
            ("SignatureNonce", "n"),
            ("DurationSeconds", "900"),
            ("OIDCProviderArn", &provider),
            ("OIDCToken", &token),
            ("RoleArn", &role),
            ("RoleSessionName", "ci"),
        ];
        params.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
        params.extend(change);
        let response =
            pipeline::handle_request(&self.world.context, raw(query(&params), HeaderMap::new()));
        let response = response.await;
        (
            response.status.as_u16(),
            serde_json::from_slice(&response.body).unwrap(),
        )
    }
}

fn provider_arn(account: &str, name: &str) -> String {
    format!("acs:ram::{account}:oidc-provider/{name}")
}

#[tokio::test]
async fn a_good_token_opens_a_role_that_trusts_it() {
    let federation = Federation::new().await;
    let (status, opened) = federation.call(&[]).await;
    assert_eq!(status, 200, "{opened}");
    assert_eq!(
        opened["OIDCTokenInfo"],
        json!({"Subject": "repo:a/b:main", "Issuer": ISSUER, "ClientIds": "edgeseal",
            "IssuanceTime": NOW.to_string(), "ExpirationTime": NOW.plus_ms(300_000).to_string(),
            "VerificationInfo": "Success"})
    );
    let identity = federation
        .world
        .identity(&Credentials::from_reply(&opened))
        .await;
    assert_eq!(
        identity["Arn"],
        format!("acs:ram::{OWN}:assumed-role/ci/ci")
    );
    // The SDKs' credential providers send neither a nonce nor a fresh timestamp, and one token is
    // valid for several calls.
    let (status, _) = federation
        .call(&[("SignatureNonce", ""), ("Timestamp", "")])
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn what_is_refused_and_how() {
    let federation = Federation::new().await;
    let sign = |change: &[(&str, Value)]| {
        let mut claims = federation.claims();
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        federation.key.sign(&claims)
    };
    let past = NOW.unix_seconds() - 61;
    let expired = sign(&[("exp", json!(past)), ("iat", json!(past - 60))]);
    let audience = sign(&[("aud", json!("another"))]);
    let issuer = sign(&[("iss", json!("https://another.example"))]);
    let fork = sign(&[("sub", json!("repo:fork/b:main"))]);
    let foreign = Key::new("k").sign(&federation.claims());
    let unknown_key = Key::new("x").sign(&federation.claims());
    let none = "eyJhbGciOiJub25lIiwia2lkIjoiayJ9.e30.";
    let hmac = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.e30.AAAA";
    let (other_role, no_role) = (role_arn(OTHER, "ci"), role_arn(OWN, "nothing"));
    let unsuited = role_arn(OWN, "reader");
    let (other_provider, no_provider) = (provider_arn(OTHER, "ci"), provider_arn(OWN, "ci2"));
    let invalid = "AuthenticationFail.OIDCToken.Invalid";
    let unpermitted = ("AuthenticationFail.NoPermission", "There is no permission");
    let unregistered = (
        "AuthenticationFail.NoPermission",
        "No such OIDC Provider registered.",
    );
    let signature = (
        "AuthenticationFail.OIDCToken.InvalidSignature",
        "OIDC token validate failed: invalid signature.",
    );
    let content = (
        invalid,
        "The Jwt content is invalid that cannot be recognized.",
    );
    for (param, value, error) in [
        ("OIDCToken", "", (invalid, "The OIDCToken can not empty.")),
        (
            "OIDCToken",
            "a.b",
            (
                invalid,
                "The number of Jwt field should be divided into 3 parts with '.' .",
            ),
        ),
        (
            "OIDCToken",
            "!.b.c",
            (
                invalid,
                "Cannot decode base64 encoded response(format invalided).",
            ),
        ),
        ("OIDCToken", "e30.e30.e30", content),
        (
            "OIDCToken",
            none,
            (
                invalid,
                "The algorithm none that be specified in Jwt header is unknown.",
            ),
        ),
        (
            "OIDCToken",
            hmac,
            (
                invalid,
                "The algorithm HS256 that be specified in Jwt header is unknown.",
            ),
        ),
        ("OIDCToken", &foreign, signature),
        ("OIDCToken", &unknown_key, signature),
        ("OIDCToken", &issuer, content),
        (
            "OIDCToken",
            &audience,
            (
                "AuthenticationFail.OIDCToken.AudienceNotMatch",
                "Invalid audience.",
            ),
        ),
        (
            "OIDCToken",
            &expired,
            (
                "AuthenticationFail.OIDCToken.Expired",
                "This JsonWebToken is expired.",
            ),
        ),
        ("OIDCToken", &fork, unpermitted),
        ("RoleArn", &no_role, unpermitted),
        ("RoleArn", &unsuited, unpermitted),
        ("RoleArn", &other_role, unpermitted),
        ("OIDCProviderArn", &other_provider, unregistered),
        ("OIDCProviderArn", &no_provider, unregistered),
    ] {
        let (status, response) = federation.call(&[(param, value)]).await;
        assert_eq!(
            (status, error_of(&response)),
            (401, error),
            "{param}={value}"
        );
    }
    for (param, value, code) in [
        ("OIDCProviderArn", "", "MissingOIDCProviderArn"),
        ("OIDCProviderArn", "ci", "InvalidParameter.OIDCProviderArn"),
        ("RoleArn", "", "MissingRoleArn"),
        ("RoleSessionName", "", "MissingRoleSessionName"),
        (
            "DurationSeconds",
            "3601",
            "InvalidParameter.DurationSeconds",
        ),
        ("Policy", "{}", "InvalidParameter.PolicyGrammar"),
    ] {
        let (status, response) = federation.call(&[(param, value)]).await;
        assert_eq!(
            (status, error_of(&response).0),
            (400, code),
            "{param}={value}"
        );
    }
}

#[tokio::test]
async fn guesses_count_against_the_address_and_never_against_the_account() {
    let mut federation = Federation::new().await;
    let limit = RateLimit {
        calls: 2,
        per_ms: 60_000,
    };
    federation.world.context.auth_failures = crate::rate_limit::AuthFailureLimiter::new(limit);
    let code = |(_, response): (u16, Value)| response["Code"].as_str().map(str::to_owned);
    for expected in [
        "AuthenticationFail.OIDCToken.Invalid",
        "AuthenticationFail.OIDCToken.Invalid",
        "Throttling",
    ] {
        let response = federation.call(&[("OIDCToken", "a.b")]).await;
        assert_eq!(code(response).as_deref(), Some(expected));
    }
    assert_eq!(
        code(federation.call(&[]).await).as_deref(),
        Some("Throttling")
    );
}

#[tokio::test]
async fn valid_tokens_count_against_the_account_rate() {
    let federation = Federation::new().await;
    let mut answers = Vec::new();
    for _ in 0..31 {
        answers.push(federation.call(&[]).await.0);
    }
    assert_eq!(answers.pop(), Some(400));
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
}

#[tokio::test]
async fn unavailable_provider_keys_are_a_503_and_no_auth_failure() {
    let federation = Federation::new().await;
    fs::remove_file(federation.folder.path().join("jwks.json")).unwrap();
    let (status, response) = federation.call(&[]).await;
    assert_eq!((status, error_of(&response).0), (503, "ServiceUnavailable"));
    let path = federation.folder.path().display().to_string();
    assert!(!response.to_string().contains(&path), "{response}");
}
