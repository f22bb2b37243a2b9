//! Roles in responses.

use edgeseal_core::{
    AccountId,
    identity::{Role, RoleName, RoleProfile, SESSION_DEFAULT_S},
    policy::TrustDocument,
};
use serde::Serialize;

use super::{
    identity::RamIdentity,
    parameters::{self, DESCRIPTION_MAX, InvalidParameter},
};
use crate::{code::Code, request::ParamMap};

/// The response of an operation on a role.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    role: RoleView,
}

/// Roles of a page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleList {
    roles: Roles,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Roles {
    role: Vec<RoleView>,
}

/// A role.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RoleView {
    role_id: String,
    role_name: String,
    arn: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    assume_role_policy_document: Option<String>,
    max_session_duration: u32,
    create_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_date: Option<String>,
}

/// `acs:ram::{account}:role/{name}`, the ARN by which callers assume a role.
pub(super) fn arn(account: &AccountId, name: &RoleName) -> String {
    format!("acs:ram::{account}:role/{name}")
}

impl RamIdentity for RoleName {
    type Reply = Reply;
    type List = RoleList;

    fn from_params(params: &ParamMap) -> Result<Self, InvalidParameter> {
        parameters::role(params)
    }

    /// Without the trusted identities.
    fn new_profile(params: &ParamMap) -> Result<RoleProfile, InvalidParameter> {
        const TRUST: &str = "AssumeRolePolicyDocument";
        parameters::reject_tags(params)?;
        let trust = parameters::required(params, TRUST, Code::MissingAssumeRolePolicyDocument)?;
        let too_long = Code::AssumeRolePolicyDocumentLength;
        let code = Code::DescriptionLength;
        let description = parameters::text(params, "Description", DESCRIPTION_MAX, code)?;
        let code = Code::MaxSessionDurationValue;
        let session = parameters::session_length(params, "MaxSessionDuration", code)?;
        Ok(RoleProfile {
            description: description.unwrap_or_default(),
            trust_policy: parameters::document(trust, TRUST, too_long, TrustDocument::parse)?,
            trusted_identities: Vec::new(),
            max_session_s: session.unwrap_or(SESSION_DEFAULT_S),
        })
    }

    fn reply(account: &AccountId, role: Role) -> Reply {
        Reply::of(account, role)
    }

    fn created(account: &AccountId, role: Role) -> Reply {
        let role = RoleView {
            update_date: None,
            ..RoleView::of(account, role)
        };
        Reply { role }
    }

    /// Without the trust policies.
    fn list(account: &AccountId, roles: Vec<Role>) -> RoleList {
        let summary = |role| RoleView {
            assume_role_policy_document: None,
            ..RoleView::of(account, role)
        };
        let role = roles.into_iter().map(summary).collect();
        RoleList {
            roles: Roles { role },
        }
    }
}

impl Reply {
    pub(super) fn of(account: &AccountId, role: Role) -> Self {
        Self {
            role: RoleView::of(account, role),
        }
    }
}

impl RoleView {
    fn of(account: &AccountId, role: Role) -> Self {
        Self {
            arn: arn(account, &role.name),
            role_id: role.id,
            role_name: role.name.to_string(),
            description: role.profile.description,
            assume_role_policy_document: Some(role.profile.trust_policy),
            max_session_duration: role.profile.max_session_s,
            create_date: role.created.to_string(),
            update_date: Some(role.updated.to_string()),
        }
    }
}
