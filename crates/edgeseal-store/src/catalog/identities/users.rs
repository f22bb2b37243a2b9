use edgeseal_core::{
    AccountId,
    identity::{USERS_MAX, User, UserName},
};

use super::{Changed, IdentityRefused, PageOf, refused};
use crate::{
    Fault, Key,
    catalog::{Catalog, Deed},
    key,
    record::Since,
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
    ) -> Result<PageOf<User>, Fault> {
        let after = after.map(|name| Key::user(account, name));
        self.page_of(&key::users(account), after.as_ref(), limit)
            .await
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`IdentityRefused`], or why the store did not do it.
    pub async fn create_user(&self, deed: &Deed, account: &AccountId, user: &User) -> Changed<()> {
        self.transact(deed, |mut draft| async move {
            let key = Key::user(account, &user.name);
            if draft.has(&key).await? {
                return refused(IdentityRefused::UserExists(user.name.clone()));
            }
            draft.touch_account(account).await?;
            if self.count(&key::users(account)).await? >= USERS_MAX {
                return refused(IdentityRefused::TooManyUsers { max: USERS_MAX });
            }
            draft.put(key, user)?;
            draft.change_rights(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Changes a user as `change` says; its name, number, time of making and policies stay.
    ///
    /// # Errors
    /// [`IdentityRefused`], or why the store did not do it.
    pub async fn update_user(
        &self,
        deed: &Deed,
        account: &AccountId,
        name: &UserName,
        change: impl Fn(&mut User) + Send + Sync,
    ) -> Changed<User> {
        let change = &change;
        self.transact(deed, |mut draft| async move {
            let key = Key::user(account, name);
            let Some(old) = draft.get::<User>(&key).await? else {
                return refused(IdentityRefused::NoUser(name.clone()));
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

    /// Gives a user another name, with all that it has.
    ///
    /// # Errors
    /// [`IdentityRefused`], or why the store did not do it.
    pub async fn rename_user(
        &self,
        deed: &Deed,
        account: &AccountId,
        name: &UserName,
        new: &UserName,
    ) -> Changed<User> {
        self.transact(deed, |mut draft| async move {
            let old = Key::user(account, name);
            let Some(mut user) = draft.get::<User>(&old).await? else {
                return refused(IdentityRefused::NoUser(name.clone()));
            };
            let key = Key::user(account, new);
            if draft.has(&key).await? {
                return refused(IdentityRefused::UserExists(new.clone()));
            }
            for key in self.access_keys_of(account, Some(name)).await? {
                draft.move_access_key(&key, new).await?;
            }
            for attachment in &user.policies {
                let policy = &attachment.policy;
                draft.delete(Key::user_with_policy(account, policy, name));
                let since = Since { at: attachment.at };
                draft.put(Key::user_with_policy(account, policy, new), &since)?;
            }
            user.name = new.clone();
            user.updated = draft.now;
            draft.delete(old);
            draft.put(key, &user)?;
            draft.change_rights(account);
            Ok((draft, user))
        })
        .await
    }

    /// Removes a user that has neither access keys nor policies.
    ///
    /// # Errors
    /// [`IdentityRefused`], or why the store did not do it.
    pub async fn delete_user(
        &self,
        deed: &Deed,
        account: &AccountId,
        name: &UserName,
    ) -> Changed<()> {
        self.transact(deed, |mut draft| async move {
            let key = Key::user(account, name);
            let Some(user) = draft.get::<User>(&key).await? else {
                return refused(IdentityRefused::NoUser(name.clone()));
            };
            let keys = self.access_keys_of(account, Some(name)).await?.len();
            if keys > 0 {
                return refused(IdentityRefused::UserHasKeys {
                    name: name.clone(),
                    keys,
                });
            }
            if !user.policies.is_empty() {
                return refused(IdentityRefused::UserHasPolicies {
                    name: name.clone(),
                    policies: user.policies.len(),
                });
            }
            draft.delete(key);
            draft.change_rights(account);
            Ok((draft, ()))
        })
        .await
    }
}
