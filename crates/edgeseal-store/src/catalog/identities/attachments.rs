use edgeseal_core::{
    AccountId, Timestamp,
    identity::{
        ATTACHED_POLICIES_MAX, Attachment, PolicyKind, PolicyRef, Role, RoleName, User, UserName,
    },
    policy::system,
};

use super::{Changed, IdentityError, refused};
use crate::{
    Entry, Fault, Key,
    catalog::{AuditContext, Catalog, ChangeError, Draft},
    key,
    record::{self, TimestampRecord},
};

/// The users and roles that a policy is attached to, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entities {
    /// The users.
    pub users: Vec<(UserName, Timestamp)>,
    /// The roles.
    pub roles: Vec<(RoleName, Timestamp)>,
}

impl Catalog {
    /// The users and roles of an account that a policy is attached to.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn entities_with_policy(
        &self,
        account: &AccountId,
        policy: &PolicyRef,
    ) -> Result<Entities, Fault> {
        let users = key::users_with_policy(account, policy);
        let roles = key::roles_with_policy(account, policy);
        let prefix = key::with_policy(account, policy);
        let mut entities = Entities::default();
        for entry in self.store.list(&prefix, None, usize::MAX).await?.entries {
            if let Some(name) = entry.key.as_str().strip_prefix(&users) {
                let name = UserName::parse(name).map_err(Fault::of("read who has a policy"))?;
                entities.users.push((name, since(&entry)?));
            } else if let Some(name) = entry.key.as_str().strip_prefix(&roles) {
                let name = RoleName::parse(name).map_err(Fault::of("read who has a policy"))?;
                entities.roles.push((name, since(&entry)?));
            }
        }
        Ok(entities)
    }

    /// The number of users and roles of an account that a policy is attached to.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn policy_attachments(
        &self,
        account: &AccountId,
        policy: &PolicyRef,
    ) -> Result<usize, Fault> {
        self.count(&key::with_policy(account, policy)).await
    }

    /// Attaches a policy to a user.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn attach_to_user(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &UserName,
        policy: &PolicyRef,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::user(account, name);
            let Some(mut user) = draft.get::<User>(&key).await? else {
                return refused(IdentityError::NoUser(name.clone()));
            };
            draft.touch_policy(account, policy).await?;
            if has(&user.policies, policy) {
                return refused(IdentityError::UserHasPolicy {
                    name: name.clone(),
                    policy: policy.clone(),
                });
            }
            if is_full(&user.policies, policy) {
                return refused(IdentityError::TooManyOfUser {
                    name: name.clone(),
                    max: ATTACHED_POLICIES_MAX,
                });
            }
            user.policies.push(attachment(policy, draft.now));
            draft.note(audit_note(policy));
            let since = TimestampRecord { at: draft.now };
            draft.put(Key::user_with_policy(account, policy, name), &since)?;
            draft.put(key, &user)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Detaches a policy from a user.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn detach_from_user(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &UserName,
        policy: &PolicyRef,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::user(account, name);
            let Some(mut user) = draft.get::<User>(&key).await? else {
                return refused(IdentityError::NoUser(name.clone()));
            };
            draft.touch_policy(account, policy).await?;
            if !has(&user.policies, policy) {
                return refused(IdentityError::UserLacksPolicy {
                    name: name.clone(),
                    policy: policy.clone(),
                });
            }
            user.policies.retain(|one| one.policy != *policy);
            draft.note(audit_note(policy));
            draft.delete(Key::user_with_policy(account, policy, name));
            draft.put(key, &user)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Attaches a policy to a role.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn attach_to_role(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &RoleName,
        policy: &PolicyRef,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::role(account, name);
            let Some(mut role) = draft.get::<Role>(&key).await? else {
                return refused(IdentityError::NoRole(name.clone()));
            };
            draft.touch_policy(account, policy).await?;
            if has(&role.policies, policy) {
                return refused(IdentityError::RoleHasPolicy {
                    name: name.clone(),
                    policy: policy.clone(),
                });
            }
            if is_full(&role.policies, policy) {
                return refused(IdentityError::TooManyOfRole {
                    name: name.clone(),
                    max: ATTACHED_POLICIES_MAX,
                });
            }
            role.policies.push(attachment(policy, draft.now));
            draft.note(audit_note(policy));
            let since = TimestampRecord { at: draft.now };
            draft.put(Key::role_with_policy(account, policy, name), &since)?;
            draft.put(key, &role)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Detaches a policy from a role.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn detach_from_role(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &RoleName,
        policy: &PolicyRef,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::role(account, name);
            let Some(mut role) = draft.get::<Role>(&key).await? else {
                return refused(IdentityError::NoRole(name.clone()));
            };
            draft.touch_policy(account, policy).await?;
            if !has(&role.policies, policy) {
                return refused(IdentityError::RoleLacksPolicy {
                    name: name.clone(),
                    policy: policy.clone(),
                });
            }
            role.policies.retain(|one| one.policy != *policy);
            draft.note(audit_note(policy));
            draft.delete(Key::role_with_policy(account, policy, name));
            draft.put(key, &role)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }
}

impl Draft {
    /// Reads a policy that must exist, and rewrites it if it is a custom one, so that a concurrent
    /// deletion and attachment conflict.
    async fn touch_policy(
        &mut self,
        account: &AccountId,
        policy: &PolicyRef,
    ) -> Result<(), ChangeError<IdentityError>> {
        match policy.kind {
            PolicyKind::System => match system::find(policy.name.as_str()) {
                Some(_) => Ok(()),
                None => refused(IdentityError::NoPolicy(policy.clone())),
            },
            PolicyKind::Custom => {
                let (key, own) = self.policy(account, &policy.name).await?;
                Ok(self.put(key, &own)?)
            }
        }
    }
}

/// The audit note for a policy that is attached or detached.
fn audit_note(policy: &PolicyRef) -> String {
    let kind = match policy.kind {
        PolicyKind::System => "system",
        PolicyKind::Custom => "custom",
    };
    format!("{kind} policy {}", policy.name)
}

fn has(attachments: &[Attachment], policy: &PolicyRef) -> bool {
    attachments.iter().any(|one| one.policy == *policy)
}

fn is_full(attachments: &[Attachment], policy: &PolicyRef) -> bool {
    let of_kind = attachments.iter().map(|one| one.policy.kind);
    of_kind.filter(|kind| *kind == policy.kind).count() >= ATTACHED_POLICIES_MAX
}

fn attachment(policy: &PolicyRef, now: Timestamp) -> Attachment {
    Attachment {
        policy: policy.clone(),
        at: now,
    }
}

fn since(entry: &Entry) -> Result<Timestamp, Fault> {
    Ok(record::decode::<TimestampRecord>(&entry.value)?.at)
}
