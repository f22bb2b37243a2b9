use edgeseal_core::{
    AccountId,
    identity::{USERS_MAX, User, UserName},
};

use super::{Changed, CursorPage, IdentityError, refused};
use crate::{
    Fault, Key,
    catalog::{AuditContext, Catalog},
    key,
    record::TimestampRecord,
};

impl Catalog {
    /// A user.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn user(&self, account: &AccountId, name: &UserName) -> Result<Option<User>, Fault> {
        self.read(&Key::user(account, name)).await
    }

    /// Users of an account whose names come after `after`.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn users(
        &self,
        account: &AccountId,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<CursorPage<User>, Fault> {
        let after = after.map(|name| Key::user(account, name));
        self.page_of(&key::users(account), after.as_ref(), limit)
            .await
    }

    /// Creates a user.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn create_user(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        user: &User,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::user(account, &user.name);
            if draft.has(&key).await? {
                return refused(IdentityError::UserExists(user.name.clone()));
            }
            draft.touch_account(account).await?;
            if self.count(&key::users(account)).await? >= USERS_MAX {
                return refused(IdentityError::TooManyUsers { max: USERS_MAX });
            }
            draft.put(key, user)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Changes a user with `change`; its name, ID, creation time and policies stay.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn update_user(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &UserName,
        change: impl Fn(&mut User) + Send + Sync,
    ) -> Changed<User> {
        let change = &change;
        self.transact(audit, |mut draft| async move {
            let key = Key::user(account, name);
            let Some(old) = draft.get::<User>(&key).await? else {
                return refused(IdentityError::NoUser(name.clone()));
            };
            let mut new = old.clone();
            change(&mut new);
            let user = User {
                id: old.id,
                name: old.name,
                created: old.created,
                updated: draft.now,
                policies: old.policies,
                ..new
            };
            draft.put(key, &user)?;
            Ok((draft, user))
        })
        .await
    }

    /// Renames a user, with all its access keys and policies, and changes it as
    /// [`update_user`](Self::update_user) does.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn rename_user(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &UserName,
        new: &UserName,
        change: impl Fn(&mut User) + Send + Sync,
    ) -> Changed<User> {
        let change = &change;
        self.transact(audit, |mut draft| async move {
            let old_key = Key::user(account, name);
            let Some(old) = draft.get::<User>(&old_key).await? else {
                return refused(IdentityError::NoUser(name.clone()));
            };
            let key = Key::user(account, new);
            if draft.has(&key).await? {
                return refused(IdentityError::UserExists(new.clone()));
            }
            for key in self.access_keys_of(account, Some(name)).await? {
                draft.move_access_key(&key, new).await?;
            }
            for attachment in &old.policies {
                let policy = &attachment.policy;
                draft.delete(Key::user_with_policy(account, policy, name));
                let since = TimestampRecord { at: attachment.at };
                draft.put(Key::user_with_policy(account, policy, new), &since)?;
            }
            let mut changed = old.clone();
            change(&mut changed);
            let user = User {
                id: old.id,
                name: new.clone(),
                created: old.created,
                updated: draft.now,
                policies: old.policies,
                ..changed
            };
            draft.delete(old_key);
            draft.put(key, &user)?;
            draft.bump_permissions_revision(account);
            Ok((draft, user))
        })
        .await
    }

    /// Deletes a user without access keys and policies.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn delete_user(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &UserName,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::user(account, name);
            let Some(user) = draft.get::<User>(&key).await? else {
                return refused(IdentityError::NoUser(name.clone()));
            };
            let keys = self.access_keys_of(account, Some(name)).await?.len();
            if keys > 0 {
                return refused(IdentityError::UserHasKeys {
                    name: name.clone(),
                    keys,
                });
            }
            if !user.policies.is_empty() {
                return refused(IdentityError::UserHasPolicies {
                    name: name.clone(),
                    policies: user.policies.len(),
                });
            }
            draft.delete(key);
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }
}
