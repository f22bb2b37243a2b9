//! Records of users and roles.

use edgeseal_core::{
    AccountId,
    identity::{Identity, IdentityName, User, UserName, UserProfile},
};

use super::{Changed, IdentityError, refused};
use crate::{
    Fault, Key,
    catalog::{AuditContext, Catalog, ChangeError, Draft},
    key,
    record::TimestampRecord,
};

impl Catalog {
    /// A user or role.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn identity<N: IdentityName>(
        &self,
        account: &AccountId,
        name: &N,
    ) -> Result<Option<Identity<N>>, Fault> {
        self.read(&Key::identity(account, name)).await
    }

    /// All users or all roles of an account, in byte order of their names.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn identities<N: IdentityName>(
        &self,
        account: &AccountId,
    ) -> Result<Vec<Identity<N>>, Fault> {
        self.read_all(&key::identities(account, N::KIND)).await
    }

    /// Creates a user or role.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn create_identity<N: IdentityName>(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        identity: &Identity<N>,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::identity(account, &identity.name);
            if draft.has(&key).await? {
                return refused(IdentityError::Exists(identity.name.identity_ref()));
            }
            draft.touch_account(account).await?;
            let (kind, max) = (N::KIND, N::COUNT_MAX);
            if self.count(&key::identities(account, kind)).await? >= max {
                return refused(IdentityError::TooMany { kind, max });
            }
            draft.note_trust_policy::<N>(&identity.profile);
            draft.put(key, identity)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Changes the profile of a user or role with `change`.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn update_identity<N: IdentityName>(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &N,
        change: impl Fn(&mut N::Profile) + Send + Sync,
    ) -> Changed<Identity<N>> {
        let change = &change;
        self.transact(audit, |mut draft| async move {
            let (key, mut identity) = draft.identity(account, name).await?;
            let before = identity.profile.clone();
            change(&mut identity.profile);
            identity.updated = draft.now;
            if N::trust_policy(&before) != N::trust_policy(&identity.profile) {
                draft.note_trust_policy::<N>(&identity.profile);
            }
            draft.put(key, &identity)?;
            draft.bump_permissions_revision(account);
            Ok((draft, identity))
        })
        .await
    }

    /// Renames a user, with all its access keys and policies, and changes its profile as
    /// [`update_identity`](Self::update_identity) does.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn rename_user(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &UserName,
        new: &UserName,
        change: impl Fn(&mut UserProfile) + Send + Sync,
    ) -> Changed<User> {
        let change = &change;
        self.transact(audit, |mut draft| async move {
            let (old_key, mut user) = draft.identity(account, name).await?;
            let key = Key::identity(account, new);
            if draft.has(&key).await? {
                return refused(IdentityError::Exists(new.identity_ref()));
            }
            for key in self.access_keys_of(account, Some(name)).await? {
                draft.move_access_key(&key, new).await?;
            }
            for attachment in &user.policies {
                let policy = &attachment.policy;
                draft.delete(Key::identity_with_policy(account, policy, name));
                let since = TimestampRecord { at: attachment.at };
                draft.put(Key::identity_with_policy(account, policy, new), &since)?;
            }
            change(&mut user.profile);
            user.name = new.clone();
            user.updated = draft.now;
            draft.delete(old_key);
            draft.put(key, &user)?;
            draft.bump_permissions_revision(account);
            Ok((draft, user))
        })
        .await
    }

    /// Deletes a user or role without access keys and policies. The sessions of a role end with it.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn delete_identity<N: IdentityName>(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &N,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let (key, identity) = draft.identity(account, name).await?;
            if let Some(name) = name.as_user() {
                let keys = self.access_keys_of(account, Some(name)).await?.len();
                if keys > 0 {
                    let name = name.clone();
                    return refused(IdentityError::UserHasKeys { name, keys });
                }
            }
            if !identity.policies.is_empty() {
                return refused(IdentityError::HasPolicies {
                    identity: name.identity_ref(),
                    policies: identity.policies.len(),
                });
            }
            draft.delete(key);
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }
}

impl Draft {
    /// A user or role that must exist.
    pub(super) async fn identity<N: IdentityName>(
        &mut self,
        account: &AccountId,
        name: &N,
    ) -> Result<(Key, Identity<N>), ChangeError<IdentityError>> {
        let key = Key::identity(account, name);
        match self.get(&key).await? {
            Some(identity) => Ok((key, identity)),
            None => refused(IdentityError::NotFound(name.identity_ref())),
        }
    }

    fn note_trust_policy<N: IdentityName>(&mut self, profile: &N::Profile) {
        if let Some(trust_policy) = N::trust_policy(profile) {
            self.note(format!("trust policy: {trust_policy}"));
        }
    }
}
