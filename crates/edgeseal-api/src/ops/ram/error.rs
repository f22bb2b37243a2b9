//! Errors of RAM, with their codes.

use edgeseal_core::identity::IdentityKind;
use edgeseal_store::catalog::{AccountError, IdentityError};

use super::parameters::InvalidParameter;
use crate::{
    authorize::Authorized,
    code::Code,
    error::{ApiError, StoreError},
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

impl ApiError for Error {
    fn code(&self) -> Code {
        match self {
            Self::Parameter(bad) => bad.code(),
            Self::ResourceGroup => Code::ResourceGroupNotFound,
            Self::SessionHasNoKeys => Code::UserNotFound,
            Self::NoLoginProfile => Code::LoginProfileNotFound,
            Self::NoMfaDevice => Code::MfaDeviceNotFound,
            Self::Identity(error) => refused_code(error),
            Self::Key(error) => key_code(error),
            Self::Store(error) => error.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Parameter(bad) => bad.message(),
            other => other.code().spec().message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.detail(),
            other => Some(other.to_string()),
        }
    }
}

const fn refused_code(error: &IdentityError) -> Code {
    use IdentityKind::{Role, User};
    match error {
        IdentityError::NotFound(identity) => match identity.kind {
            User => Code::UserNotFound,
            Role => Code::RoleNotFound,
        },
        IdentityError::NoPolicy(_) => Code::PolicyNotFound,
        IdentityError::NoVersion { .. } => Code::PolicyVersionNotFound,
        IdentityError::Exists(identity) => match identity.kind {
            User => Code::UserAlreadyExists,
            Role => Code::RoleAlreadyExists,
        },
        IdentityError::PolicyExists(_) => Code::PolicyAlreadyExists,
        IdentityError::UserHasKeys { .. } => Code::UserHasAccessKeys,
        IdentityError::HasPolicies { identity, .. } => match identity.kind {
            User => Code::UserHasPolicies,
            Role => Code::RoleHasPolicies,
        },
        IdentityError::PolicyAttached { identity, .. } => match identity.kind {
            User => Code::PolicyOfUser,
            Role => Code::PolicyOfRole,
        },
        IdentityError::PolicyHasVersions { .. } => Code::PolicyHasVersions,
        IdentityError::DefaultVersion { .. } => Code::DefaultPolicyVersion,
        IdentityError::HasPolicy { identity, .. } => match identity.kind {
            User => Code::UserPolicyAlreadyExists,
            Role => Code::RolePolicyAlreadyExists,
        },
        IdentityError::LacksPolicy { identity, .. } => match identity.kind {
            User => Code::UserPolicyNotFound,
            Role => Code::RolePolicyNotFound,
        },
        IdentityError::TooMany { kind, .. } => match kind {
            User => Code::TooManyUsers,
            Role => Code::TooManyRoles,
        },
        IdentityError::TooManyPolicies { .. } => Code::TooManyPolicies,
        IdentityError::TooManyVersions { .. } => Code::TooManyPolicyVersions,
        IdentityError::TooManyAttached { identity, .. } => match identity.kind {
            User => Code::TooManyUserPolicies,
            Role => Code::TooManyRolePolicies,
        },
    }
}

const fn key_code(error: &AccountError) -> Code {
    match error {
        // The first is about new accounts, the second about the caller's own, which is there.
        AccountError::NameTaken { .. }
        | AccountError::NoAccount { .. }
        | AccountError::NoUser { .. } => Code::UserNotFound,
        AccountError::TooManyKeys { .. } => Code::TooManyUserKeys,
        AccountError::NoKey { .. } => Code::UserKeyNotFound,
        AccountError::LastRootKey { .. } => Code::LastRootAccessKey,
    }
}
