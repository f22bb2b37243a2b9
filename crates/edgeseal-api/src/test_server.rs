//! Complete calls, from request to response, against a store in memory: the fixture for tests of
//! steps and operations.

use std::{collections::HashMap, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use edgeseal_core::{
    AccountId, Secret, Timestamp,
    account::Account,
    identity::{
        Policy, PolicyKind, PolicyName, PolicyRef, Role, RoleName, RoleProfile, User, UserName,
        UserProfile,
    },
    private_origins::PrivateOrigins,
};
use edgeseal_store::{
    Catalog, Keyring, PAGE_MAX, Pages, SharedStore,
    catalog::{AuditContext, AuditQuery, NewAccessKey, ROOT_ACCOUNT_NAME, random_identity_id},
    memory::MemoryStore,
    record::AuditRecord,
};
use serde_json::{Value, json};

use crate::{
    Context, Settings,
    canonical::{V3_ALGORITHM, v3_canonical_request, v3_sign, v3_string_to_sign},
    pipeline,
    request::{ParamMap, RawRequest},
};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_522_200);

/// The credentials of a caller.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<String>,
}

/// A server without accounts, until some are created.
pub(crate) struct TestServer {
    pub(crate) context: Context,
    /// By name of the account or user; the last one created if two have the same name.
    pub(crate) keys: HashMap<String, Credentials>,
}

impl TestServer {
    pub(crate) fn empty(settings: Settings) -> Self {
        Self::with_tasks(settings).0
    }

    /// Also returns the background task.
    pub(crate) fn with_tasks(
        settings: Settings,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::over(Arc::new(MemoryStore::new()), settings)
    }

    /// As [`with_tasks`](Self::with_tasks), over this store.
    pub(crate) fn over(
        store: SharedStore,
        settings: Settings,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = Catalog::new(store, keyring);
        // Tests use origins with addresses from the documentation blocks.
        let settings = Settings {
            private_origins: PrivateOrigins::All,
            ..settings
        };
        let (context, tasks) = Context::new(catalog, || NOW, settings, None);
        let keys = HashMap::new();
        (Self { context, keys }, tasks)
    }

    pub(crate) fn audit_context(&self, account: &str) -> AuditContext {
        AuditContext {
            account: AccountId::parse(account).unwrap(),
            principal: String::new(),
            access_key: "-".to_owned(),
            source: "-".to_owned(),
            action: "Test".to_owned(),
            resource: String::new(),
            request_id: random_identity_id(),
            nonce: None,
            now: NOW,
        }
    }

    pub(crate) async fn account(&mut self, id: &str, name: &str) {
        self.make_account(id, name, false).await;
    }

    /// Creates the root account.
    pub(crate) async fn root_account(&mut self, id: &str) {
        self.make_account(id, ROOT_ACCOUNT_NAME, true).await;
    }

    async fn make_account(&mut self, id: &str, name: &str, root: bool) {
        let account = Account {
            id: AccountId::parse(id).unwrap(),
            name: name.to_owned(),
            root,
            created: NOW,
            private_origins: None,
            quotas: Default::default(),
        };
        let key = NewAccessKey::generate(account.id.clone(), None, NOW);
        let audit = self.audit_context(id);
        let catalog = &self.context.catalog;
        catalog
            .create_account(&audit, &account, &key)
            .await
            .unwrap();
        self.keys.insert(name.to_owned(), Credentials::of(&key));
    }

    pub(crate) async fn user(&mut self, account: &str, name: &str, policies: &[&str]) {
        let audit = self.audit_context(account);
        let user = User::new(
            format!("id-of-{name}"),
            UserName::parse(name).unwrap(),
            UserProfile::default(),
            NOW,
        );
        let catalog = &self.context.catalog;
        let made = catalog.create_identity(&audit, &audit.account, &user).await;
        made.unwrap();
        for (index, text) in policies.iter().enumerate() {
            let policy = self.policy(&audit, &format!("{name}-{index}"), text).await;
            let audit = self.audit_context(account);
            let attached = catalog.attach_policy(&audit, &audit.account, &user.name, &policy);
            attached.await.unwrap();
        }
        let key = NewAccessKey::generate(audit.account.clone(), Some(user.name), NOW);
        let audit = self.audit_context(account);
        catalog.create_access_key(&audit, &key).await.unwrap();
        self.keys.insert(name.to_owned(), Credentials::of(&key));
    }

    pub(crate) async fn role(
        &self,
        account: &str,
        name: &str,
        trust: &str,
        max_s: u32,
        policy: Option<&str>,
    ) {
        let audit = self.audit_context(account);
        let role = Role::new(
            format!("id-of-{name}"),
            RoleName::parse(name).unwrap(),
            RoleProfile {
                description: String::new(),
                trust_policy: trust.to_owned(),
                trusted_identities: Vec::new(),
                max_session_s: max_s,
            },
            NOW,
        );
        let catalog = &self.context.catalog;
        let made = catalog.create_identity(&audit, &audit.account, &role).await;
        made.unwrap();
        if let Some(text) = policy {
            let policy = self.policy(&audit, &format!("of-{name}"), text).await;
            let audit = self.audit_context(account);
            let attached = catalog.attach_policy(&audit, &audit.account, &role.name, &policy);
            attached.await.unwrap();
        }
    }

    pub(crate) async fn policy(&self, audit: &AuditContext, name: &str, text: &str) -> PolicyRef {
        let name = PolicyName::parse(name).unwrap();
        let policy = Policy::new(name.clone(), String::new(), text.to_owned(), NOW);
        let audit = self.audit_context(audit.account.as_str());
        let made = self
            .context
            .catalog
            .create_policy(&audit, &audit.account, &policy);
        made.await.unwrap();
        PolicyRef::new(PolicyKind::Custom, name)
    }

    /// The audit log of an account, oldest first.
    pub(crate) async fn audit(&self, account: &str) -> Vec<AuditRecord> {
        let span = AuditQuery {
            from: None,
            until: None,
            newest_first: false,
            after: None,
        };
        let account = AccountId::parse(account).unwrap();
        let page = self.context.catalog.audit(&account, span, 1000).await;
        let records = page.unwrap().records.into_iter();
        records.filter_map(|(_, record)| record).collect()
    }

    /// Every entry of the store with its revision, and the store's revision.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let store = self.context.catalog.store();
        let mut pages = Pages::new(&**store, "", PAGE_MAX);
        let entries = pages.collect().await.unwrap();
        let entries = entries.iter().map(|entry| format!("{entry:?}"));
        entries.chain([format!("{:?}", pages.revision())]).collect()
    }

    /// Makes a signed call as `who`; returns the body of the response.
    pub(crate) async fn call(
        &self,
        who: &Credentials,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Value {
        let raw = who.sign(version, action, params);
        let response = pipeline::handle_request(&self.context, raw).await;
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            response.status.is_success(),
            body.get("Code").is_none(),
            "{body}"
        );
        body
    }
}

impl Credentials {
    pub(crate) fn of(key: &NewAccessKey) -> Self {
        Self {
            access_key: key.key.id.clone(),
            secret: key.secret.clone(),
            token: None,
        }
    }

    /// The temporary key in a response of STS.
    pub(crate) fn from_reply(response: &Value) -> Self {
        let text = |name: &str| {
            response["Credentials"][name]
                .as_str()
                .unwrap_or_else(|| panic!("{response}"))
                .to_owned()
        };
        Self {
            access_key: text("AccessKeyId"),
            secret: Secret::from(text("AccessKeySecret")),
            token: Some(text("SecurityToken")),
        }
    }

    pub(crate) fn sign(&self, version: &str, action: &str, params: &[(&str, &str)]) -> RawRequest {
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
        let decoded = ParamMap::decode(query.as_bytes()).unwrap();
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

pub(crate) fn query(params: &[(&str, &str)]) -> String {
    let encode = crate::canonical::encode;
    let pairs = params
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

pub(crate) fn raw(query: String, headers: HeaderMap) -> RawRequest {
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

pub(crate) fn statement(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

pub(crate) fn document(statements: &[Value]) -> String {
    json!({"Version": "1", "Statement": statements}).to_string()
}

pub(crate) fn allow(action: &str, resource: &str) -> String {
    document(&[statement(action, resource)])
}

/// Code and message of an error.
pub(crate) fn error_of(response: &Value) -> (&str, &str) {
    let text = |name: &str| {
        response[name]
            .as_str()
            .unwrap_or_else(|| panic!("not refused: {response}"))
    };
    (text("Code"), text("Message"))
}
