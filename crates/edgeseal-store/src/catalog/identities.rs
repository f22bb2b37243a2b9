//! Users, roles and policies of accounts.
//!
//! A user and a role hold the names of their policies in their own records; an index leads back from
//! a policy to those who have it. Every change of what somebody may do writes [`Key::rights`] of the
//! account, so that whoever remembers rights knows when to forget them.

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

/// Some of many, in byte order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorPage<T> {
    /// Those of this page.
    pub items: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
}

/// Who a caller is, as of one moment.
#[derive(Clone, Debug)]
pub struct IdentitySnapshot<T> {
    /// The account; `None` if it is gone.
    pub account: Option<Account>,
    /// The user or role; `None` if it is gone.
    pub identity: Option<T>,
    /// The commit that last changed what anybody in the account may do.
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
    /// A user with access keys stays.
    #[error("user {name} has {keys} access keys; delete them first")]
    UserHasKeys {
        /// The user.
        name: UserName,
        /// How many.
        keys: usize,
    },
    /// A user with policies stays.
    #[error("user {name} has {policies} policies; detach them first")]
    UserHasPolicies {
        /// The user.
        name: UserName,
        /// How many.
        policies: usize,
    },
    /// A role with policies stays.
    #[error("role {name} has {policies} policies; detach them first")]
    RoleHasPolicies {
        /// The role.
        name: RoleName,
        /// How many.
        policies: usize,
    },
    /// A policy that a user has stays.
    #[error("the {policy} is attached to user {name}; detach it first")]
    PolicyOfUser {
        /// The policy.
        policy: PolicyRef,
        /// The first of them.
        name: String,
    },
    /// A policy that a role has stays.
    #[error("the {policy} is attached to role {name}; detach it first")]
    PolicyOfRole {
        /// The policy.
        policy: PolicyRef,
        /// The first of them.
        name: String,
    },
    /// A policy with several versions stays.
    #[error("the {policy} has {versions} versions; delete all but the default one first")]
    PolicyHasVersions {
        /// The policy.
        policy: PolicyRef,
        /// How many.
        versions: usize,
    },
    /// The version that counts stays.
    #[error("v{version} is what the {policy} says now; make another version the default first")]
    DefaultVersion {
        /// The policy.
        policy: PolicyRef,
        /// The version.
        version: u32,
    },
    /// The user has the policy.
    #[error("user {name} has the {policy} already")]
    UserHasPolicy {
        /// The user.
        name: UserName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The role has the policy.
    #[error("role {name} has the {policy} already")]
    RoleHasPolicy {
        /// The role.
        name: RoleName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The user lacks the policy.
    #[error("user {name} does not have the {policy}")]
    UserLacksPolicy {
        /// The user.
        name: UserName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The role lacks the policy.
    #[error("role {name} does not have the {policy}")]
    RoleLacksPolicy {
        /// The role.
        name: RoleName,
        /// The policy.
        policy: PolicyRef,
    },
    /// The account has as many users as it may.
    #[error("the account has {max} users; that is as many as it may have")]
    TooManyUsers {
        /// How many are allowed.
        max: usize,
    },
    /// The account has as many roles as it may.
    #[error("the account has {max} roles; that is as many as it may have")]
    TooManyRoles {
        /// How many are allowed.
        max: usize,
    },
    /// The account has as many policies as it may.
    #[error("the account has {max} policies; that is as many as it may have")]
    TooManyPolicies {
        /// How many are allowed.
        max: usize,
    },
    /// The policy has as many versions as it may.
    #[error("the {policy} has {max} versions; delete one first")]
    TooManyVersions {
        /// The policy.
        policy: PolicyRef,
        /// How many are allowed.
        max: usize,
    },
    /// A user has as many policies as it may.
    #[error("user {name} has {max} policies of this kind; that is as many as it may have")]
    TooManyOfUser {
        /// The user.
        name: UserName,
        /// How many are allowed.
        max: usize,
    },
    /// A role has as many policies as it may.
    #[error("role {name} has {max} policies of this kind; that is as many as it may have")]
    TooManyOfRole {
        /// The role.
        name: RoleName,
        /// How many are allowed.
        max: usize,
    },
}

/// A number for a new user or role: 18 digits.
#[must_use]
pub fn random_identity_id() -> String {
    format!("2{}", random_digits::<17>())
}

impl Catalog {
    /// Account and user at one moment.
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

    /// Account and role at one moment.
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

    /// The commit that last changed what anybody in the account may do; zero if there was none.
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
        // The revision of the rights first: whatever is read at one moment with it or later is at
        // least as new, and rights that are newer than their revision are read again, not kept.
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

    /// How many there are under a prefix.
    async fn count(&self, prefix: &str) -> Result<usize, Fault> {
        Ok(self.store.window(prefix, 0, 0).await?.total)
    }
}

impl Draft {
    /// Tells those who remember rights of the account to forget them.
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
