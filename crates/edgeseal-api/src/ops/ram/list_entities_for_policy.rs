//! `ListEntitiesForPolicy`: who has a policy.

use edgeseal_core::{
    AccountId, Timestamp,
    identity::{PolicyRef, Role, User},
};
use edgeseal_store::Fault;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::{error::Error, parameters, policy::AnyPolicy, role};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Operation, StoreError, Success},
    request::ParamMap,
};

/// `ListEntitiesForPolicy`.
pub struct ListEntitiesForPolicy;

/// Users and roles. There are no groups.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    users: Users,
    roles: Roles,
    groups: Groups,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Users {
    user: Vec<HolderUser>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Roles {
    role: Vec<HolderRole>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Groups {
    group: [(); 0],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HolderUser {
    user_id: String,
    user_name: String,
    display_name: String,
    attach_date: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HolderRole {
    role_id: String,
    role_name: String,
    arn: String,
    description: String,
    attach_date: String,
}

impl Operation for ListEntitiesForPolicy {
    type Params = PolicyRef;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingPolicyType,
        Code::PolicyTypeValue,
        Code::MissingPolicyName,
        Code::PolicyNameChars,
        Code::PolicyNameLength,
        Code::PolicyNotFound,
    ];

    fn parse(params: &ParamMap) -> Result<PolicyRef, Error> {
        Ok(parameters::policy_ref(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        policy: PolicyRef,
    ) -> Result<Success<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        AnyPolicy::find(catalog, account, &policy).await?;
        let entities = catalog.entities_with_policy(account, &policy).await;
        let entities = entities.map_err(StoreError::from)?;
        let users = entities.users.iter().map(async |(name, at)| {
            let user = catalog.user(account, name).await?;
            Ok::<_, Fault>(user.map(|user| HolderUser::of(user, *at)))
        });
        let users = try_join_all(users).await.map_err(StoreError::from)?;
        let roles = entities.roles.iter().map(async |(name, at)| {
            let role = catalog.role(account, name).await?;
            Ok::<_, Fault>(role.map(|role| HolderRole::of(account, role, *at)))
        });
        let roles = try_join_all(roles).await.map_err(StoreError::from)?;
        Ok(Success::read(Reply {
            users: Users {
                user: users.into_iter().flatten().collect(),
            },
            roles: Roles {
                role: roles.into_iter().flatten().collect(),
            },
            groups: Groups { group: [] },
        }))
    }
}

impl HolderUser {
    fn of(user: User, at: Timestamp) -> Self {
        Self {
            user_id: user.id,
            user_name: user.name.to_string(),
            display_name: user.display_name,
            attach_date: at.to_string(),
        }
    }
}

impl HolderRole {
    fn of(account: &AccountId, role: Role, at: Timestamp) -> Self {
        Self {
            arn: role::arn(account, &role.name),
            role_id: role.id,
            role_name: role.name.to_string(),
            description: role.description,
            attach_date: at.to_string(),
        }
    }
}
