use std::sync::Arc;

use edgeseal_core::{
    Timestamp,
    account::Account,
    identity::{
        ATTACHED_POLICIES_MAX, POLICY_VERSIONS_MAX, Policy, PolicyKind, PolicyName, Role, RoleName,
        RoleProfile, SESSION_DEFAULT_S, User, UserProfile,
    },
};

use super::*;
use crate::{
    Keyring,
    catalog::{AccountError, AuditContext, KeyOwner, NewAccessKey, random_account_id},
    memory::MemoryStore,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

struct Fixture {
    catalog: Catalog,
    account: AccountId,
}

impl Fixture {
    async fn new() -> Self {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = Catalog::new(Arc::new(MemoryStore::new()), keyring);
        let account = random_account_id();
        let world = Self { catalog, account };
        let account = Account {
            id: world.account.clone(),
            name: "a".to_owned(),
            root: false,
            created: NOW,
            private_origins: None,
            quotas: Default::default(),
        };
        let key = NewAccessKey::generate(world.account.clone(), None, NOW);
        let audit = world.audit_context();
        let made = world.catalog.create_account(&audit, &account, &key);
        made.await.unwrap();
        world
    }

    fn audit_context(&self) -> AuditContext {
        AuditContext {
            account: self.account.clone(),
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

    async fn user(&self, name: &str) -> UserName {
        let name = UserName::parse(name).unwrap();
        let profile = UserProfile::default();
        let user = User::new(random_identity_id(), name.clone(), profile, NOW);
        let audit = self.audit_context();
        let made = self.catalog.create_identity(&audit, &self.account, &user);
        made.await.unwrap();
        name
    }

    async fn policy(&self, name: &str) -> PolicyRef {
        let name = PolicyName::parse(name).unwrap();
        let policy = Policy::new(name.clone(), String::new(), "{1}".to_owned(), NOW);
        let audit = self.audit_context();
        let made = self.catalog.create_policy(&audit, &self.account, &policy);
        made.await.unwrap();
        PolicyRef::new(PolicyKind::Custom, name)
    }

    async fn rights(&self, user: &UserName) -> Revision {
        let standing = self.catalog.identity_snapshot(&self.account, user).await;
        standing.unwrap().permissions_revision
    }
}

fn why<T: std::fmt::Debug>(changed: Changed<T>) -> IdentityError {
    match changed.unwrap_err() {
        ChangeError::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_user_with_keys_or_policies_stays() {
    let world = Fixture::new().await;
    let (catalog, account, audit) = (&world.catalog, &world.account, world.audit_context());
    let name = world.user("bot").await;
    let key = NewAccessKey::generate(account.clone(), Some(name.clone()), NOW);
    catalog.create_access_key(&audit, &key).await.unwrap();
    let policy = world.policy("p").await;
    let attached = catalog.attach_policy(&audit, account, &name, &policy).await;
    attached.unwrap();

    let kept = why(catalog.delete_identity(&audit, account, &name).await);
    assert!(matches!(kept, IdentityError::UserHasKeys { keys: 1, .. }));
    let kept = why(catalog
        .delete_policy(&audit, account, &policy.name, false)
        .await);
    assert!(matches!(
        kept,
        IdentityError::PolicyAttached {
            identity: IdentityRef {
                kind: IdentityKind::User,
                ..
            },
            ..
        }
    ));
    let owner = KeyOwner::User(&name);
    let gone = catalog.delete_access_key(&audit, account, owner, &key.key.id);
    gone.await.unwrap();
    let kept = why(catalog.delete_identity(&audit, account, &name).await);
    assert!(matches!(
        kept,
        IdentityError::HasPolicies {
            identity: IdentityRef {
                kind: IdentityKind::User,
                ..
            },
            ..
        }
    ));
    let detached = catalog.detach_policy(&audit, account, &name, &policy);
    detached.await.unwrap();
    catalog
        .delete_identity(&audit, account, &name)
        .await
        .unwrap();
    let gone = catalog
        .delete_policy(&audit, account, &policy.name, false)
        .await;
    gone.unwrap();
    assert_eq!(catalog.identity(account, &name).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_is_its_owners_alone() {
    let world = Fixture::new().await;
    let (catalog, account, audit) = (&world.catalog, &world.account, world.audit_context());
    let (one, other) = (world.user("one").await, world.user("other").await);
    let key = NewAccessKey::generate(account.clone(), Some(one.clone()), NOW);
    catalog.create_access_key(&audit, &key).await.unwrap();
    for stranger in [KeyOwner::User(&other), KeyOwner::Account] {
        let refused = catalog
            .set_access_key_active(&audit, account, stranger, &key.key.id, false)
            .await;
        assert!(matches!(
            refused,
            Err(ChangeError::Refused(AccountError::NoKey { .. }))
        ));
    }
    let own = catalog.access_keys_of(account, Some(&one)).await.unwrap();
    assert_eq!(own, [key.key]);
    assert_eq!(
        catalog.access_keys_of(account, None).await.unwrap().len(),
        1
    );
    let third = NewAccessKey::generate(account.clone(), Some(one.clone()), NOW);
    catalog.create_access_key(&audit, &third).await.unwrap();
    let third = NewAccessKey::generate(account.clone(), Some(one), NOW);
    assert!(matches!(
        catalog.create_access_key(&audit, &third).await,
        Err(ChangeError::Refused(AccountError::TooManyKeys {
            max: 2,
            ..
        }))
    ));
}

#[tokio::test]
async fn a_renamed_user_keeps_what_it_has() {
    let world = Fixture::new().await;
    let (catalog, account, audit) = (&world.catalog, &world.account, world.audit_context());
    let (old, policy) = (world.user("old").await, world.policy("p").await);
    let attached = catalog.attach_policy(&audit, account, &old, &policy).await;
    attached.unwrap();
    let key = NewAccessKey::generate(account.clone(), Some(old.clone()), NOW);
    catalog.create_access_key(&audit, &key).await.unwrap();
    let new = UserName::parse("new").unwrap();
    let renamed = catalog
        .rename_user(&audit, account, &old, &new, |user| {
            "Renamed".clone_into(&mut user.display_name);
        })
        .await;
    let renamed = renamed.unwrap().value;
    assert_eq!(renamed.policies.len(), 1);
    assert_eq!(renamed.profile.display_name, "Renamed");
    assert_eq!(
        catalog.policy_attachments(account, &policy).await.unwrap(),
        1
    );
    assert_eq!(catalog.identity(account, &old).await.unwrap(), None);
    let holders = catalog.policy_holders(account, &policy).await.unwrap();
    assert_eq!(holders.users, [(new.clone(), NOW)]);
    let (found, _) = catalog.access_key(&key.key.id).await.unwrap().unwrap();
    assert_eq!(found.user, Some(new.clone()));
    let keys = catalog.access_keys_of(account, Some(&new)).await.unwrap();
    assert_eq!(keys, [found]);
    assert!(
        catalog
            .access_keys_of(account, Some(&old))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn whatever_changes_rights_is_seen() {
    let world = Fixture::new().await;
    let (catalog, account, audit) = (&world.catalog, &world.account, world.audit_context());
    let (user, policy) = (world.user("u").await, world.policy("p").await);
    let mut last = world.rights(&user).await;
    let mut has_changed = async |what: &str| {
        let now = world.rights(&user).await;
        assert!(now > last, "{what}");
        last = now;
    };
    catalog
        .attach_policy(&audit, account, &user, &policy)
        .await
        .unwrap();
    has_changed("attach").await;
    let version = catalog
        .create_policy_version(&audit, account, &policy.name, "{2}", true, false)
        .await;
    has_changed("version").await;
    assert_eq!(version.unwrap().value.number, 2);
    let attached = catalog
        .identity(account, &user)
        .await
        .unwrap()
        .unwrap()
        .policies;
    assert_eq!(
        catalog.policy_documents(account, &attached).await.unwrap(),
        ["{2}"]
    );
    let back = catalog
        .set_default_policy_version(&audit, account, &policy.name, 1)
        .await;
    back.unwrap();
    has_changed("default").await;
    assert_eq!(
        catalog.policy_documents(account, &attached).await.unwrap(),
        ["{1}"]
    );
    catalog
        .detach_policy(&audit, account, &user, &policy)
        .await
        .unwrap();
    has_changed("detach").await;
}

#[tokio::test]
async fn versions_are_few_and_the_one_that_counts_stays() {
    let world = Fixture::new().await;
    let (catalog, account, audit) = (&world.catalog, &world.account, world.audit_context());
    let policy = world.policy("p").await;
    let add = |drop_oldest| {
        catalog.create_policy_version(&audit, account, &policy.name, "{}", false, drop_oldest)
    };
    for _ in 1..POLICY_VERSIONS_MAX {
        add(false).await.unwrap();
    }
    assert!(matches!(
        why(add(false).await),
        IdentityError::TooManyVersions { .. }
    ));
    add(true).await.unwrap();
    let now = catalog
        .policy(account, &policy.name)
        .await
        .unwrap()
        .unwrap();
    let numbers: Vec<u32> = now.versions.iter().map(|one| one.number).collect();
    assert_eq!(numbers, [1, 3, 4, 5, 6]);
    let delete = |version| catalog.delete_policy_version(&audit, account, &policy.name, version);
    assert!(matches!(
        why(delete(1).await),
        IdentityError::DefaultVersion { version: 1, .. }
    ));
    assert!(matches!(
        why(delete(2).await),
        IdentityError::NoVersion { version: 2, .. }
    ));
    assert!(matches!(
        why(catalog
            .delete_policy(&audit, account, &policy.name, false)
            .await),
        IdentityError::PolicyHasVersions { versions: 5, .. }
    ));
    let described = catalog.set_policy_description(&audit, account, &policy.name, "told");
    let described = described.await.unwrap().value;
    assert_eq!(
        (&*described.description, described.default_version),
        ("told", 1)
    );
    for version in [3, 4, 5, 6] {
        delete(version).await.unwrap();
    }
    catalog
        .delete_policy(&audit, account, &policy.name, false)
        .await
        .unwrap();
}

#[tokio::test]
async fn roles_have_policies_up_to_a_limit_of_each_kind() {
    let world = Fixture::new().await;
    let (catalog, account, audit) = (&world.catalog, &world.account, world.audit_context());
    let name = RoleName::parse("r").unwrap();
    let profile = RoleProfile {
        description: String::new(),
        trust_policy: "{}".to_owned(),
        trusted_identities: Vec::new(),
        max_session_s: SESSION_DEFAULT_S,
    };
    let role = Role::new(random_identity_id(), name.clone(), profile, NOW);
    catalog
        .create_identity(&audit, account, &role)
        .await
        .unwrap();
    for n in 0..ATTACHED_POLICIES_MAX {
        let policy = world.policy(&format!("p{n}")).await;
        catalog
            .attach_policy(&audit, account, &name, &policy)
            .await
            .unwrap();
    }
    let more = world.policy("more").await;
    assert!(matches!(
        why(catalog.attach_policy(&audit, account, &name, &more).await),
        IdentityError::TooManyAttached {
            identity: IdentityRef {
                kind: IdentityKind::Role,
                ..
            },
            ..
        }
    ));
    let system = PolicyRef::new(
        PolicyKind::System,
        PolicyName::parse("AliyunCDNReadOnlyAccess").unwrap(),
    );
    catalog
        .attach_policy(&audit, account, &name, &system)
        .await
        .unwrap();
    assert!(matches!(
        why(catalog.attach_policy(&audit, account, &name, &system).await),
        IdentityError::HasPolicy {
            identity: IdentityRef {
                kind: IdentityKind::Role,
                ..
            },
            ..
        }
    ));
    assert!(matches!(
        why(catalog.delete_identity(&audit, account, &name).await),
        IdentityError::HasPolicies {
            policies: 21,
            identity: IdentityRef {
                kind: IdentityKind::Role,
                ..
            }
        }
    ));
    let unknown = PolicyRef::new(PolicyKind::System, PolicyName::parse("Nothing").unwrap());
    assert_eq!(
        why(catalog
            .attach_policy(&audit, account, &name, &unknown)
            .await),
        IdentityError::NoPolicy(unknown)
    );
}

#[tokio::test]
async fn a_policy_goes_with_all_its_versions_if_it_is_to() {
    let world = Fixture::new().await;
    let (catalog, account, audit) = (&world.catalog, &world.account, world.audit_context());
    let name = world.policy("p").await.name;
    let added = catalog.create_policy_version(&audit, account, &name, "{}", true, false);
    added.await.unwrap();
    let deleted = catalog.delete_policy(&audit, account, &name, true).await;
    deleted.unwrap();
    assert_eq!(catalog.policy(account, &name).await.unwrap(), None);
}
