//! Users of an account, written to the store of a stopped server.

use std::{fs, sync::Arc};

use edgeseal_core::{
    AccountId, Secret,
    account::AccessKey,
    identity::{PolicyKind, PolicyName, PolicyRef, User, UserName, UserProfile},
};
use edgeseal_store::{
    Catalog, Keyring,
    catalog::{AuditContext, NewAccessKey},
    open::{StoreUrl, open},
};

use crate::harness::{ApiClient, Server, now};

/// Adds a user with an access key and, optionally, a system policy to the account; the key works
/// once the server runs again.
pub(crate) async fn join(
    server: &Server,
    owner: &ApiClient,
    name: &str,
    policy: Option<&str>,
) -> Key {
    let path = server.data().join("store.db");
    let store = open(&StoreUrl::Sqlite(path), now).await;
    let keys = fs::read_to_string(server.data().join("kek")).unwrap();
    let catalog = Catalog::new(Arc::clone(&store.unwrap()), Keyring::parse(&keys).unwrap());
    let account = AccountId::parse(&owner.account).unwrap();
    let audit = AuditContext {
        account: account.clone(),
        principal: String::new(),
        access_key: owner.key.clone(),
        source: "127.0.0.1".to_owned(),
        action: "Join".to_owned(),
        resource: name.to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
        nonce: None,
        now: now(),
    };
    let user = User::new(
        "2".repeat(18),
        UserName::parse(name).unwrap(),
        UserProfile::default(),
        now(),
    );
    catalog
        .create_identity(&audit, &account, &user)
        .await
        .unwrap();
    let key = Key {
        account: owner.account.clone(),
        id: format!("LTAI{}", uuid::Uuid::new_v4().simple()),
        secret: uuid::Uuid::new_v4().simple().to_string(),
    };
    let new = NewAccessKey {
        key: AccessKey {
            id: key.id.clone(),
            account: account.clone(),
            user: Some(user.name.clone()),
            active: true,
            created: now(),
        },
        secret: Secret::from(key.secret.clone()),
    };
    catalog.create_access_key(&audit, &new).await.unwrap();
    if let Some(policy) = policy {
        let policy = PolicyRef {
            kind: PolicyKind::System,
            name: PolicyName::parse(policy).unwrap(),
        };
        let attached = catalog.attach_policy(&audit, &account, &user.name, &policy);
        attached.await.unwrap();
    }
    key
}

/// A user's access key.
pub(crate) struct Key {
    account: String,
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Key {
    /// A client that signs with the key.
    pub(crate) fn client(&self, server: &Server) -> ApiClient {
        server.client_for(&self.account, &self.id, &self.secret)
    }
}
