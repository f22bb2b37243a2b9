//! Whole calls, from the request to the answer, against a store in memory.

mod oidc;
mod roles;

use std::{collections::HashMap, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use edgeseal_core::{
    AccountId, Secret, Timestamp,
    account::Account,
    identity::{Policy, PolicyKind, PolicyName, PolicyRef, Role, RoleName, User, UserName},
};
use edgeseal_store::{
    Catalog, Keyring,
    catalog::{Deed, NewAccessKey, random_identity_id},
    memory::MemoryStore,
};
use serde_json::{Value, json};

use crate::{
    Context, Settings,
    canonical::{V3_ALGORITHM, v3_canonical_request, v3_sign, v3_string_to_sign},
    oidc_keys::OidcProviders,
    pipeline,
    request::{Params, RawRequest},
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_522_200);
const OWN: &str = "1000000000000001";
const OTHER: &str = "2000000000000002";

/// Who calls.
#[derive(Clone)]
struct Credentials {
    access_key: String,
    secret: Secret,
    token: Option<String>,
}

/// Two accounts: `OWN` with users and roles, `OTHER` with a user and a role.
struct World {
    context: Context,
    keys: HashMap<&'static str, Credentials>,
}

impl World {
    async fn new() -> Self {
        Self::with(OidcProviders::default()).await
    }

    async fn with(oidc_providers: OidcProviders) -> Self {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = Catalog::new(Arc::new(MemoryStore::new()), keyring);
        let settings = Settings {
            oidc_providers,
            ..Settings::default()
        };
        let mut world = Self {
            context: Context::new(catalog, || NOW, settings, None).0,
            keys: HashMap::new(),
        };
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

    fn deed(&self, account: &str) -> Deed {
        Deed {
            account: AccountId::parse(account).unwrap(),
            principal: String::new(),
            access_key: "-".to_owned(),
            source: "-".to_owned(),
            action: "Test".to_owned(),
            resource: String::new(),
            request: random_identity_id(),
            nonce: None,
            now: NOW,
        }
    }

    async fn account(&mut self, id: &str, name: &'static str) {
        let account = Account {
            id: AccountId::parse(id).unwrap(),
            name: name.to_owned(),
            root: false,
            created: NOW,
        };
        let key = NewAccessKey::generate(account.id.clone(), None, NOW);
        let deed = self.deed(id);
        let catalog = &self.context.catalog;
        catalog.create_account(&deed, &account, &key).await.unwrap();
        self.keys.insert(name, Credentials::of(&key));
    }

    async fn user(&mut self, account: &str, name: &'static str, policies: &[&str]) {
        let deed = self.deed(account);
        let user = User {
            id: format!("id-of-{name}"),
            name: UserName::parse(name).unwrap(),
            display_name: String::new(),
            comments: String::new(),
            email: String::new(),
            mobile: String::new(),
            created: NOW,
            updated: NOW,
            policies: Vec::new(),
        };
        let catalog = &self.context.catalog;
        let made = catalog.create_user(&deed, &deed.account, &user).await;
        made.unwrap();
        for (index, text) in policies.iter().enumerate() {
            let policy = self.policy(&deed, &format!("{name}-{index}"), text).await;
            let deed = self.deed(account);
            let attached = catalog.attach_to_user(&deed, &deed.account, &user.name, &policy);
            attached.await.unwrap();
        }
        let key = NewAccessKey::generate(deed.account.clone(), Some(user.name), NOW);
        let deed = self.deed(account);
        catalog.create_access_key(&deed, &key).await.unwrap();
        self.keys.insert(name, Credentials::of(&key));
    }

    async fn role(&self, account: &str, name: &str, trust: &str, max_s: u32, policy: Option<&str>) {
        let deed = self.deed(account);
        let role = Role {
            id: format!("id-of-{name}"),
            name: RoleName::parse(name).unwrap(),
            description: String::new(),
            trust: trust.to_owned(),
            max_session_s: max_s,
            created: NOW,
            updated: NOW,
            policies: Vec::new(),
        };
        let catalog = &self.context.catalog;
        let made = catalog.create_role(&deed, &deed.account, &role).await;
        made.unwrap();
        if let Some(text) = policy {
            let policy = self.policy(&deed, &format!("of-{name}"), text).await;
            let deed = self.deed(account);
            let attached = catalog.attach_to_role(&deed, &deed.account, &role.name, &policy);
            attached.await.unwrap();
        }
    }

    async fn policy(&self, deed: &Deed, name: &str, text: &str) -> PolicyRef {
        let name = PolicyName::parse(name).unwrap();
        let policy = Policy::new(name.clone(), String::new(), text.to_owned(), NOW);
        let deed = self.deed(deed.account.as_str());
        let made = self
            .context
            .catalog
            .create_policy(&deed, &deed.account, &policy);
        made.await.unwrap();
        PolicyRef::new(PolicyKind::Custom, name)
    }

    /// A signed call of `who`; the body of the answer.
    async fn call(
        &self,
        who: &Credentials,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Value {
        let raw = who.sign(version, action, params);
        let answer = pipeline::answer(&self.context, raw).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            answer.status.is_success(),
            body.get("Code").is_none(),
            "{body}"
        );
        body
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

impl Credentials {
    fn of(key: &NewAccessKey) -> Self {
        Self {
            access_key: key.key.id.clone(),
            secret: key.secret.clone(),
            token: None,
        }
    }

    /// The temporary key in an answer of STS.
    fn in_answer(answer: &Value) -> Self {
        let text = |name: &str| {
            answer["Credentials"][name]
                .as_str()
                .unwrap_or_else(|| panic!("{answer}"))
                .to_owned()
        };
        Self {
            access_key: text("AccessKeyId"),
            secret: Secret::from(text("AccessKeySecret")),
            token: Some(text("SecurityToken")),
        }
    }

    fn sign(&self, version: &str, action: &str, params: &[(&str, &str)]) -> RawRequest {
        let query = query(params);
        let nonce = random_identity_id();
        let mut signed = vec![
            ("host", "sts.example".to_owned()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", String::new()),
            ("x-acs-date", NOW.to_string()),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-version", version.to_owned()),
        ];
        let token = self.token.iter();
        signed.extend(token.map(|token| ("x-acs-security-token", token.clone())));
        let mut headers = HeaderMap::new();
        for (name, value) in &signed {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let decoded = Params::decode(query.as_bytes()).unwrap();
        let canonical = v3_canonical_request("POST", &decoded, &headers, &names, &[]);
        let signature = v3_sign(&self.secret, &v3_string_to_sign(&canonical));
        let authorization = format!(
            "{V3_ALGORITHM} Credential={},SignedHeaders={},Signature={signature}",
            self.access_key,
            names.join(";")
        );
        headers.insert("authorization", authorization.parse().unwrap());
        raw(query, headers)
    }
}

fn query(params: &[(&str, &str)]) -> String {
    let encode = crate::canonical::encode;
    let pairs = params
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn raw(query: String, headers: HeaderMap) -> RawRequest {
    RawRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query,
        headers,
        body: Some(Bytes::new()),
        source: [192, 0, 2, 1].into(),
        secure: false,
        id: random_identity_id(),
    }
}

fn statement(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "1", "Statement": statements}).to_string()
}

fn allow(action: &str, resource: &str) -> String {
    document(&[statement(action, resource)])
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

/// Code and message of a refusal.
fn refused(answer: &Value) -> (&str, &str) {
    let text = |name: &str| {
        answer[name]
            .as_str()
            .unwrap_or_else(|| panic!("not refused: {answer}"))
    };
    (text("Code"), text("Message"))
}
