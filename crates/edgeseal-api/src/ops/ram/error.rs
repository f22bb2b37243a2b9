//! Why RAM does not do something, in its codes.

use edgeseal_store::catalog::{AccountRefused, IdentityRefused};

use super::parameters::BadParameter;
use crate::{
    authorize::Authorized,
    code::Code,
    operation::{Failure, Trouble},
};

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is not taken.
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    /// A policy is to be attached for a part of the account only.
    #[error("policies are attached for the whole account; leave ResourceGroupId out")]
    ResourceGroup,
    /// A session asks for what only users have.
    #[error("a session of a role has no access keys of its own; name a user in UserName")]
    NoUser,
    /// Nobody signs in here.
    #[error("nobody signs in here with a password; there is none to take away")]
    NoLoginProfile,
    /// Nobody signs in here.
    #[error("nobody signs in here with an MFA device; there is none to take away")]
    NoMfaDevice,
    /// The rules of users, roles and policies forbid it.
    #[error(transparent)]
    Refused(#[from] IdentityRefused),
    /// The rules of access keys forbid it.
    #[error(transparent)]
    Key(#[from] AccountRefused),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Refuses to attach a policy for a resource group: there is none but the account itself.
pub(super) fn whole_account(call: &Authorized) -> Result<(), Error> {
    match call.params().given("ResourceGroupId") {
        Some(group) if group != call.account().as_str() => Err(Error::ResourceGroup),
        _ => Ok(()),
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Parameter(bad) => bad.code(),
            Self::ResourceGroup => Code::ResourceGroupNotFound,
            Self::NoUser => Code::UserNotFound,
            Self::NoLoginProfile => Code::LoginProfileNotFound,
            Self::NoMfaDevice => Code::MfaDeviceNotFound,
            Self::Refused(why) => refused_code(why),
            Self::Key(why) => key_code(why),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Parameter(bad) => bad.message(),
            other => other.code().row().message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}

const fn refused_code(why: &IdentityRefused) -> Code {
    match why {
        IdentityRefused::NoUser(_) => Code::UserNotFound,
        IdentityRefused::NoRole(_) => Code::RoleNotFound,
        IdentityRefused::NoPolicy(_) => Code::PolicyNotFound,
        IdentityRefused::NoVersion { .. } => Code::PolicyVersionNotFound,
        IdentityRefused::UserExists(_) => Code::UserAlreadyExists,
        IdentityRefused::RoleExists(_) => Code::RoleAlreadyExists,
        IdentityRefused::PolicyExists(_) => Code::PolicyAlreadyExists,
        IdentityRefused::UserHasKeys { .. } => Code::UserHasAccessKeys,
        IdentityRefused::UserHasPolicies { .. } => Code::UserHasPolicies,
        IdentityRefused::RoleHasPolicies { .. } => Code::RoleHasPolicies,
        IdentityRefused::PolicyOfUser { .. } => Code::PolicyOfUser,
        IdentityRefused::PolicyOfRole { .. } => Code::PolicyOfRole,
        IdentityRefused::PolicyHasVersions { .. } => Code::PolicyHasVersions,
        IdentityRefused::DefaultVersion { .. } => Code::DefaultPolicyVersion,
        IdentityRefused::UserHasPolicy { .. } => Code::UserPolicyAlreadyExists,
        IdentityRefused::RoleHasPolicy { .. } => Code::RolePolicyAlreadyExists,
        IdentityRefused::UserLacksPolicy { .. } => Code::UserPolicyNotFound,
        IdentityRefused::RoleLacksPolicy { .. } => Code::RolePolicyNotFound,
        IdentityRefused::TooManyUsers { .. } => Code::TooManyUsers,
        IdentityRefused::TooManyRoles { .. } => Code::TooManyRoles,
        IdentityRefused::TooManyPolicies { .. } => Code::TooManyPolicies,
        IdentityRefused::TooManyVersions { .. } => Code::TooManyPolicyVersions,
        IdentityRefused::TooManyOfUser { .. } => Code::TooManyUserPolicies,
        IdentityRefused::TooManyOfRole { .. } => Code::TooManyRolePolicies,
    }
}

const fn key_code(why: &AccountRefused) -> Code {
    match why {
        // The first is about new accounts, the second about the caller's own, which is there.
        AccountRefused::NameTaken { .. }
        | AccountRefused::NoAccount { .. }
        | AccountRefused::NoUser { .. } => Code::UserNotFound,
        AccountRefused::TooManyKeys { .. } => Code::TooManyUserKeys,
        AccountRefused::NoKey { .. } => Code::UserKeyNotFound,
        AccountRefused::LastRootKey { .. } => Code::LastRootAccessKey,
    }
}
