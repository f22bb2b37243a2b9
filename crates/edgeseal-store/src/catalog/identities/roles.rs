use edgeseal_core::{
    AccountId,
    identity::{ROLES_MAX, Role, RoleName},
};

use super::{Changed, CursorPage, IdentityError, refused};
use crate::{
    Fault, Key,
    catalog::{AuditContext, Catalog},
    key,
};

impl Catalog {
    /// A role.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn role(&self, account: &AccountId, name: &RoleName) -> Result<Option<Role>, Fault> {
        self.read(&Key::role(account, name)).await
    }

    /// Roles of an account whose names come after `after`.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn roles(
        &self,
        account: &AccountId,
        after: Option<&RoleName>,
        limit: usize,
    ) -> Result<CursorPage<Role>, Fault> {
        let after = after.map(|name| Key::role(account, name));
        self.page_of(&key::roles(account), after.as_ref(), limit)
            .await
    }

    /// Creates a role.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn create_role(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        role: &Role,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::role(account, &role.name);
            if draft.has(&key).await? {
                return refused(IdentityError::RoleExists(role.name.clone()));
            }
            draft.touch_account(account).await?;
            if self.count(&key::roles(account)).await? >= ROLES_MAX {
                return refused(IdentityError::TooManyRoles { max: ROLES_MAX });
            }
            draft.note(format!("trust policy: {}", role.trust_policy));
            draft.put(key, role)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Changes a role with `change`; its name, ID, creation time and policies stay.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn update_role(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &RoleName,
        change: impl Fn(&mut Role) + Send + Sync,
    ) -> Changed<Role> {
        let change = &change;
        self.transact(audit, |mut draft| async move {
            let key = Key::role(account, name);
            let Some(old) = draft.get::<Role>(&key).await? else {
                return refused(IdentityError::NoRole(name.clone()));
            };
            let mut new = old.clone();
            change(&mut new);
            let role = Role {
                id: old.id,
                name: old.name,
                created: old.created,
                updated: draft.now,
                policies: old.policies,
                ..new
            };
            if role.trust_policy != old.trust_policy {
                draft.note(format!("trust policy: {}", role.trust_policy));
            }
            draft.put(key, &role)?;
            draft.bump_permissions_revision(account);
            Ok((draft, role))
        })
        .await
    }

    /// Deletes a role without policies. Its sessions end with it.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn delete_role(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &RoleName,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::role(account, name);
            let Some(role) = draft.get::<Role>(&key).await? else {
                return refused(IdentityError::NoRole(name.clone()));
            };
            if !role.policies.is_empty() {
                return refused(IdentityError::RoleHasPolicies {
                    name: name.clone(),
                    policies: role.policies.len(),
                });
            }
            draft.delete(key);
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }
}
