//! Errors of RAM, with their codes.

use edgeseal_core::identity::{
    IdentityKind::{Role, User},
    IdentityRef,
};
use edgeseal_store::catalog::{AccountError, IdentityError};

use super::parameters::InvalidParameter;
use crate::{
    authorize::Authorized,
    error::{StoreError, api_error},
};

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is invalid.
    #[error(transparent)]
    Parameter(#[from] InvalidParameter),
    /// A policy is to be attached for a resource group only.
    #[error("policies are attached for the whole account; leave ResourceGroupId out")]
    ResourceGroup,
    /// A session asks for what only users have.
    #[error("a session of a role has no access keys of its own; name a user in UserName")]
    SessionHasNoKeys,
    /// There are no console logins.
    #[error("nobody signs in here with a password; there is none to take away")]
    NoLoginProfile,
    /// There are no console logins.
    #[error("nobody signs in here with an MFA device; there is none to take away")]
    NoMfaDevice,
    /// The rules of users, roles and policies forbid it.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The rules of access keys forbid it.
    #[error(transparent)]
    Key(#[from] AccountError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses to attach a policy for a resource group: there is none but the account itself.
pub(super) fn check_resource_group(call: &Authorized) -> Result<(), Error> {
    match call.params().get_non_empty("ResourceGroupId") {
        Some(group) if group != call.account().as_str() => Err(Error::ResourceGroup),
        _ => Ok(()),
    }
}

api_error!(Error {
    Parameter(InvalidParameter),
    ResourceGroup => ResourceGroupNotFound,
    SessionHasNoKeys => UserNotFound,
    NoLoginProfile => LoginProfileNotFound,
    NoMfaDevice => MfaDeviceNotFound,
    Identity(IdentityError),
    // The first is about new accounts, the second about the caller's own, which is there.
    Key(AccountError::NameTaken { .. }) => UserNotFound,
    Key(AccountError::NoAccount { .. }) => UserNotFound,
    Key(AccountError::NoUser { .. }) => UserNotFound,
    Key(AccountError::TooManyKeys { .. }) => TooManyUserKeys,
    Key(AccountError::NoKey { .. }) => UserKeyNotFound,
    Key(AccountError::LastRootKey { .. }) => LastRootAccessKey,
    Store(StoreError),
});

api_error!(IdentityError {
    NotFound(IdentityRef { kind: User, .. }) => UserNotFound,
    NotFound(IdentityRef { kind: Role, .. }) => RoleNotFound,
    NoPolicy => PolicyNotFound,
    NoVersion => PolicyVersionNotFound,
    Exists(IdentityRef { kind: User, .. }) => UserAlreadyExists,
    Exists(IdentityRef { kind: Role, .. }) => RoleAlreadyExists,
    PolicyExists => PolicyAlreadyExists,
    UserHasKeys => UserHasAccessKeys,
    HasPolicies { identity: IdentityRef { kind: User, .. }, .. } => UserHasPolicies,
    HasPolicies { identity: IdentityRef { kind: Role, .. }, .. } => RoleHasPolicies,
    PolicyAttached { identity: IdentityRef { kind: User, .. }, .. } => PolicyOfUser,
    PolicyAttached { identity: IdentityRef { kind: Role, .. }, .. } => PolicyOfRole,
    PolicyHasVersions => PolicyHasVersions,
    DefaultVersion => DefaultPolicyVersion,
    HasPolicy { identity: IdentityRef { kind: User, .. }, .. } => UserPolicyAlreadyExists,
    HasPolicy { identity: IdentityRef { kind: Role, .. }, .. } => RolePolicyAlreadyExists,
    LacksPolicy { identity: IdentityRef { kind: User, .. }, .. } => UserPolicyNotFound,
    LacksPolicy { identity: IdentityRef { kind: Role, .. }, .. } => RolePolicyNotFound,
    TooMany { kind: User, .. } => TooManyUsers,
    TooMany { kind: Role, .. } => TooManyRoles,
    TooManyPolicies => TooManyPolicies,
    TooManyVersions => TooManyPolicyVersions,
    TooManyAttached { identity: IdentityRef { kind: User, .. }, .. } => TooManyUserPolicies,
    TooManyAttached { identity: IdentityRef { kind: Role, .. }, .. } => TooManyRolePolicies,
});
