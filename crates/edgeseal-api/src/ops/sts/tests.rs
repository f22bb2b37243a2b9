//! Whole calls, from the request to the response, against an in-memory store.

mod oidc;
mod roles;

use serde_json::{Value, json};

use crate::{
    Settings,
    oidc_providers::OidcProviders,
    pipeline,
    test_server::{Credentials, NOW, TestServer, allow, document, error_of, query, raw, statement},
};

const OWN: &str = "1000000000000001";
const OTHER: &str = "2000000000000002";

/// Two accounts: `OWN` with users and roles, `OTHER` with a user and a role.
impl TestServer {
    async fn new() -> Self {
        Self::with(OidcProviders::default()).await
    }

    async fn with(oidc_providers: OidcProviders) -> Self {
        let settings = Settings {
            oidc_providers,
            ..Settings::default()
        };
        let mut world = Self::empty(settings);
        world.account(OWN, "own").await;
        world.account(OTHER, "other").await;
        let any_role = allow("sts:AssumeRole", "acs:ram:*:*:role/*");
        world.user(OWN, "dev", &[&any_role]).await;
        world.user(OWN, "nobody", &[]).await;
        let deny =
            json!({"Effect": "Deny", "Action": "sts:*", "Resource": role_arn(OWN, "reader")});
        let barred = document(&[statement("sts:AssumeRole", "*"), deny]);
        world.user(OWN, "barred", &[&barred]).await;
        world.user(OTHER, "stranger", &[&any_role]).await;
        let reads = document(&[
            statement("cdn:Describe*", "*"),
            statement("sts:AssumeRole", "*"),
        ]);
        let own_users = trusting(&format!("acs:ram::{OWN}:root"), &json!({}));
        world
            .role(OWN, "reader", &own_users, 7200, Some(&reads))
            .await;
        world.role(OWN, "next", &own_users, 7200, None).await;
        let dev = trusting(&format!("acs:ram::{OWN}:user/dev"), &json!({}));
        world.role(OTHER, "shared", &dev, 3600, None).await;
        let own_only = trusting(&format!("acs:ram::{OTHER}:root"), &json!({}));
        world.role(OTHER, "closed", &own_only, 3600, None).await;
        let with_id = json!({"StringEquals": {"sts:ExternalId": "secret-7"}});
        let with_id = trusting(&format!("acs:ram::{OWN}:root"), &with_id);
        world.role(OWN, "external", &with_id, 3600, None).await;
        world
    }

    async fn assume(&self, who: &str, params: &[(&str, &str)]) -> Value {
        self.assume_as(&self.keys[who], params).await
    }

    async fn assume_as(&self, who: &Credentials, params: &[(&str, &str)]) -> Value {
        let mut all = vec![("RoleSessionName", "ci")];
        all.extend(params);
        self.call(who, "2015-04-01", "AssumeRole", &all).await
    }

    async fn identity(&self, who: &Credentials) -> Value {
        self.call(who, "2015-04-01", "GetCallerIdentity", &[]).await
    }
}

fn trusting(who: &str, condition: &Value) -> String {
    trust(&json!({ "RAM": who }), condition)
}

fn trust(principal: &Value, condition: &Value) -> String {
    let mut statement =
        json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal});
    if condition
        .as_object()
        .is_some_and(|conditions| !conditions.is_empty())
    {
        statement["Condition"] = condition.clone();
    }
    document(&[statement])
}

fn role_arn(account: &str, name: &str) -> String {
    format!("acs:ram::{account}:role/{name}")
}
