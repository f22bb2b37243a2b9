//! Errors of RAM's operations, with their codes.

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
    /// A policy would be attached for a resource group only.
    #[error("policies are attached for the whole account; leave ResourceGroupId out")]
    ResourceGroup,
    /// The caller is a session, which has no access keys of its own.
    #[error("a session of a role has no access keys of its own; name a user in UserName")]
    SessionHasNoKeys,
    /// There are no console logins.
    #[error("there are no console logins here, so the user has no password to delete")]
    NoLoginProfile,
    /// There are no console logins.
    #[error("there are no console logins here, so the user has no MFA device to unbind")]
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

/// Refuses to attach a policy for a resource group other than the account itself.
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
    // These two cannot happen here: the first concerns new accounts, the second the caller's own.
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
