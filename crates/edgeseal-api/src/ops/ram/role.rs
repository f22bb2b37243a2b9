//! Roles in responses.

use edgeseal_core::{
    AccountId,
    identity::{Role, RoleName},
};
use serde::Serialize;

use super::{
    identity::RamIdentity,
    parameters::{self, InvalidParameter},
};
use crate::request::ParamMap;

/// The response of an operation on a role.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    role: RoleView,
}

/// A role.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleView {
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

    fn from_params(params: &ParamMap) -> Result<Self, InvalidParameter> {
        parameters::role(params)
    }

    fn reply(account: &AccountId, role: Role) -> Reply {
        Reply::of(account, role)
    }
}

impl Reply {
    pub(super) fn of(account: &AccountId, role: Role) -> Self {
        Self {
            role: RoleView::of(account, role),
        }
    }

    /// A new role: this response does not contain the date of the last change.
    pub(super) fn created(account: &AccountId, role: Role) -> Self {
        let role = RoleView {
            update_date: None,
            ..RoleView::of(account, role)
        };
        Self { role }
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

    /// A role in a list, without the trust policy.
    pub(super) fn summary(account: &AccountId, role: Role) -> Self {
        Self {
            assume_role_policy_document: None,
            ..Self::of(account, role)
        }
    }
}
