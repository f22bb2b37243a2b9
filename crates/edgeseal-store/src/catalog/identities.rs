//! Users, roles and policies of accounts.
//!
//! Users and roles store the names of their policies in their own records; an index leads from a
//! policy to the identities that it is attached to. Every change of permissions writes
//! [`Key::permissions_revision`] of the account, so that caches of permissions are invalidated.

mod attachments;
mod policies;
mod roles;
mod users;

use edgeseal_core::{
    AccountId,
    account::Account,
    identity::{PolicyRef, RoleName, UserName},
};
use serde::de::DeserializeOwned;

use super::{Catalog, ChangeError, Committed, Draft};
use crate::{Entry, Fault, Key, Revision, catalog::accounts::random_digits, record};

pub use attachments::Entities;

type Changed<T> = Result<Committed<T>, ChangeError<IdentityError>>;

/// A page of a listing, in byte order of the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorPage<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
}

/// An identity with its account, read in one snapshot.
#[derive(Clone, Debug)]
pub struct IdentitySnapshot<T> {
    /// The account; `None` if it was deleted.
    pub account: Option<Account>,
    /// The user or role; `None` if it was deleted.
    pub identity: Option<T>,
    /// The commit that last changed permissions in the account.
    pub permissions_revision: Revision,
}

/// Why a user, role or policy is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no such user.
    #[error("there is no user {0}")]
    NoUser(UserName),
    /// There is no such role.
    #[error("there is no role {0}")]
    NoRole(RoleName),
    /// There is no such policy.
    #[error("there is no {0}")]
    NoPolicy(PolicyRef),
    /// The policy has no such version.
    #[error("the {policy} has no version v{version}")]
    NoVersion {
        /// The policy.
        policy: PolicyRef,
        /// The version.
        version: u32,
    },
    /// The name belongs to another user.
    #[error("there is a user {0} already")]
    UserExists(UserName),
    /// The name belongs to another role.
    #[error("there is a role {0} already")]
    RoleExists(RoleName),
    /// The name belongs to another policy.
    #[error("there is a {0} already")]
    PolicyExists(PolicyRef),
    /// The user still has access keys.
    #[error("user {name} has {keys} access keys; delete them first")]
    UserHasKeys {
        /// The user.
        name: UserName,
        /// How many.
        keys: usize,
    },
    /// The user still has policies.
    #[error("user {name} has {policies} policies; detach them first")]
    UserHasPolicies {
        /// The user.
        name: UserName,
        /// How many.
        policies: usize,
    },
    /// The role still has policies.
    #[error("role {name} has {policies} policies; detach them first")]
    RoleHasPolicies {
        /// The role.
        name: RoleName,
        /// How many.
        policies: usize,
    },
    /// The policy is still attached to a user.
    #[error("the {policy} is attached to user {name}; detach it first")]
    PolicyOfUser {
        /// The policy.
        policy: PolicyRef,
        /// The first of them.
        name: String,
    },
    /// The policy is still attached to a role.
    #[error("the {policy} is attached to role {name}; detach it first")]
    PolicyOfRole {
        /// The policy.
        policy: PolicyRef,
        /// The first of them.
        name: String,
    },
    /// The policy has several versions.
    #[error("the {policy} has {versions} versions; delete all but the default one first")]
    PolicyHasVersions {
        /// The policy.
        policy: PolicyRef,
        /// How many.
        versions: usize,
    },
    /// The version is the default.
    #[error("v{version} is what the {policy} says now; make another version the default first")]
    DefaultVersion {
        /// The policy.
        policy: PolicyRef,
        /// The version.
        version: u32,
    },
    /// The policy is already attached to the user.
    #[error("user {name} has the {policy} already")]
    UserHasPolicy {
        /// The user.
        name: UserName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The policy is already attached to the role.
    #[error("role {name} has the {policy} already")]
    RoleHasPolicy {
        /// The role.
        name: RoleName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The policy is not attached to the user.
    #[error("user {name} does not have the {policy}")]
    UserLacksPolicy {
        /// The user.
        name: UserName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The policy is not attached to the role.
    #[error("role {name} does not have the {policy}")]
    RoleLacksPolicy {
        /// The role.
        name: RoleName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The account has the maximum number of users.
    #[error("the account has {max} users; that is as many as it may have")]
    TooManyUsers {
        /// How many are allowed.
        max: usize,
    },
    /// The account has the maximum number of roles.
    #[error("the account has {max} roles; that is as many as it may have")]
    TooManyRoles {
        /// How many are allowed.
        max: usize,
    },
    /// The account has the maximum number of policies.
    #[error("the account has {max} policies; that is as many as it may have")]
    TooManyPolicies {
        /// How many are allowed.
        max: usize,
    },
    /// The policy has the maximum number of versions.
    #[error("the {policy} has {max} versions; delete one first")]
    TooManyVersions {
        /// The policy.
        policy: PolicyRef,
        /// How many are allowed.
        max: usize,
    },
    /// The user has the maximum number of policies.
    #[error("user {name} has {max} policies of this kind; that is as many as it may have")]
    TooManyOfUser {
        /// The user.
        name: UserName,
        /// How many are allowed.
        max: usize,
    },
    /// The role has the maximum number of policies.
    #[error("role {name} has {max} policies of this kind; that is as many as it may have")]
    TooManyOfRole {
        /// The role.
        name: RoleName,
        /// How many are allowed.
        max: usize,
    },
}

/// An ID for a new user or role: 18 digits.
#[must_use]
pub fn random_identity_id() -> String {
    format!("2{}", random_digits::<17>())
}

impl Catalog {
    /// The account and a user in one snapshot.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn user_snapshot(
        &self,
        account: &AccountId,
        name: &UserName,
    ) -> Result<IdentitySnapshot<edgeseal_core::identity::User>, Fault> {
        self.identity_snapshot(account, Key::user(account, name))
            .await
    }

    /// The account and a role in one snapshot.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn role_snapshot(
        &self,
        account: &AccountId,
        name: &RoleName,
    ) -> Result<IdentitySnapshot<edgeseal_core::identity::Role>, Fault> {
        self.identity_snapshot(account, Key::role(account, name))
            .await
    }

    /// The commit that last changed permissions in the account; zero if there was none.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn permissions_revision(&self, account: &AccountId) -> Result<Revision, Fault> {
        let entry = self.store.get(&Key::permissions_revision(account)).await?;
        Ok(entry.map(|entry| entry.revision).unwrap_or_default())
    }

    async fn identity_snapshot<T: DeserializeOwned>(
        &self,
        account: &AccountId,
        identity: Key,
    ) -> Result<IdentitySnapshot<T>, Fault> {
        // The permissions revision first: everything read in the same snapshot or later is at least
        // as new, and permissions newer than their revision are read again instead of cached.
        let keys = [
            Key::permissions_revision(account),
            Key::account(account),
            identity,
        ];
        let mut entries = self.store.get_many(&keys).await?.into_iter();
        let mut next = || entries.next().flatten();
        Ok(IdentitySnapshot {
            permissions_revision: next().map(|entry| entry.revision).unwrap_or_default(),
            account: decoded(next())?,
            identity: decoded(next())?,
        })
    }

    async fn page_of<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<CursorPage<T>, Fault> {
        let page = self.store.list(prefix, after, limit).await?;
        let items = page.entries.iter();
        let items = items.map(|entry| record::decode(&entry.value));
        Ok(CursorPage {
            items: items.collect::<Result<_, _>>()?,
            has_more: page.has_more,
        })
    }

    /// The number of keys under a prefix.
    async fn count(&self, prefix: &str) -> Result<usize, Fault> {
        Ok(self.store.window(prefix, 0, 0).await?.total)
    }
}

impl Draft {
    /// Invalidates caches of the account's permissions.
    fn bump_permissions_revision(&mut self, account: &AccountId) {
        self.put_bytes(Key::permissions_revision(account), bytes::Bytes::new());
    }
}

fn decoded<T: DeserializeOwned>(entry: Option<Entry>) -> Result<Option<T>, Fault> {
    entry.map(|entry| record::decode(&entry.value)).transpose()
}

const fn refused<T>(why: IdentityError) -> Result<T, ChangeError<IdentityError>> {
    Err(ChangeError::Refused(why))
}

#[cfg(test)]
mod tests;
