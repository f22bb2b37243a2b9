//! Users, roles and policies of accounts.
//!
//! Users and roles store the names of their policies in their own records; an index leads from a
//! policy to the identities that it is attached to. Every change of permissions writes
//! [`Key::permissions_revision`] of the account, so that caches of permissions are invalidated.

mod attachments;
mod policies;
mod users_and_roles;

use edgeseal_core::{
    AccountId,
    account::Account,
    identity::{Identity, IdentityKind, IdentityName, IdentityRef, PolicyRef, UserName},
};
use serde::de::DeserializeOwned;

pub use attachments::PolicyHolders;

use super::{Catalog, ChangeError, Committed, Draft};
use crate::{Entry, Fault, Key, Revision, random, record};

type Changed<T> = Result<Committed<T>, ChangeError<IdentityError>>;

/// An identity with its account, read in one snapshot.
#[derive(Clone, Debug)]
pub struct IdentitySnapshot<N: IdentityName> {
    /// The account; `None` if it was deleted.
    pub account: Option<Account>,
    /// The user or role; `None` if it was deleted.
    pub identity: Option<Identity<N>>,
    /// The commit that last changed permissions in the account.
    pub permissions_revision: Revision,
}

/// Why a user, role or policy is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no such user or role.
    #[error("there is no {0}")]
    NotFound(IdentityRef),
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
    /// The name belongs to another user or role.
    #[error("there is a {0} already")]
    Exists(IdentityRef),
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
    /// The user or role still has policies.
    #[error("{identity} has {policies} policies; detach them first")]
    HasPolicies {
        /// The user or role.
        identity: IdentityRef,
        /// How many.
        policies: usize,
    },
    /// The policy is still attached to a user or role.
    #[error("the {policy} is attached to {identity}; detach it first")]
    PolicyAttached {
        /// The policy.
        policy: PolicyRef,
        /// The first user, or else the first role.
        identity: IdentityRef,
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
    /// The policy is already attached to the user or role.
    #[error("{identity} has the {policy} already")]
    HasPolicy {
        /// The user or role.
        identity: IdentityRef,
        /// The policy.
        policy: PolicyRef,
    },
    /// The policy is not attached to the user or role.
    #[error("{identity} does not have the {policy}")]
    LacksPolicy {
        /// The user or role.
        identity: IdentityRef,
        /// The policy.
        policy: PolicyRef,
    },
    /// The account has the maximum number of users or roles.
    #[error("the account has {max} {kind}s; that is as many as it may have")]
    TooMany {
        /// Users or roles.
        kind: IdentityKind,
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
    /// The user or role has the maximum number of policies.
    #[error("{identity} has {max} policies of this kind; that is as many as it may have")]
    TooManyAttached {
        /// The user or role.
        identity: IdentityRef,
        /// How many are allowed.
        max: usize,
    },
}

/// An ID for a new user or role: 18 digits.
#[must_use]
pub fn random_identity_id() -> String {
    format!("2{}", random::digits::<17>())
}

impl Catalog {
    /// The commit that last changed permissions in the account; zero if there was none.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn permissions_revision(&self, account: &AccountId) -> Result<Revision, Fault> {
        let entry = self.store.get(&Key::permissions_revision(account)).await?;
        Ok(entry.map(|entry| entry.revision).unwrap_or_default())
    }

    /// The account and a user or role in one snapshot.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn identity_snapshot<N: IdentityName>(
        &self,
        account: &AccountId,
        name: &N,
    ) -> Result<IdentitySnapshot<N>, Fault> {
        // The permissions revision first: everything read in the same snapshot or later is at least
        // as new, and permissions newer than their revision are read again instead of cached.
        let keys = [
            Key::permissions_revision(account),
            Key::account(account),
            Key::identity(account, name),
        ];
        let mut entries = self.store.get_many(&keys).await?.into_iter();
        let mut next = || entries.next().flatten();
        Ok(IdentitySnapshot {
            permissions_revision: next().map(|entry| entry.revision).unwrap_or_default(),
            account: decoded(next())?,
            identity: decoded(next())?,
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
