//! STS, version 2015-04-01: temporary keys and caller identity.

mod arn;
mod assume_role;
mod assume_role_with_oidc;
mod get_caller_identity;
mod session;

pub use assume_role::AssumeRole;
pub use assume_role_with_oidc::AssumeRoleWithOidc;
pub use get_caller_identity::GetCallerIdentity;

crate::actions::actions! {
    STS "AssumeRole" AssumedRole("RoleArn") OwnAccount => AssumeRole;
    STS "AssumeRoleWithOIDC" unsigned("RoleArn") => AssumeRoleWithOidc;
    STS "GetCallerIdentity" Unnamed("") Caller => GetCallerIdentity;
}

#[cfg(test)]
mod tests;
