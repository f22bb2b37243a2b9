//! `ListEntitiesForPolicy`: the users and roles that have a policy.

use edgeseal_core::{
    AccountId, Timestamp,
    identity::{Identity, IdentityName, PolicyRef, Role, User},
};
use edgeseal_store::Catalog;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::{error::Error, parameters, policy::AnyPolicy, role};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
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

    fn parse(Input { params, .. }: Input<'_>) -> Result<PolicyRef, Error> {
        Ok(parameters::policy_ref(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        policy: PolicyRef,
    ) -> Result<Success<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        AnyPolicy::find(catalog, account, &policy).await?;
        let holders = catalog.policy_holders(account, &policy).await;
        let holders = holders.map_err(StoreError::from)?;
        let role = |role, at| HolderRole::of(account, role, at);
        Ok(Success::read(Reply {
            users: Users {
                user: shown(catalog, account, holders.users, HolderUser::of).await?,
            },
            roles: Roles {
                role: shown(catalog, account, holders.roles, role).await?,
            },
            groups: Groups { group: [] },
        }))
    }
}

/// Shows those of the holders that still exist.
async fn shown<N: IdentityName, V>(
    catalog: &Catalog,
    account: &AccountId,
    holders: Vec<(N, Timestamp)>,
    view: impl Fn(Identity<N>, Timestamp) -> V,
) -> Result<Vec<V>, StoreError> {
    let found = holders
        .iter()
        .map(|(name, _)| catalog.identity(account, name));
    let found = try_join_all(found).await?.into_iter().zip(&holders);
    Ok(found
        .filter_map(|(identity, (_, at))| Some(view(identity?, *at)))
        .collect())
}

impl HolderUser {
    fn of(user: User, at: Timestamp) -> Self {
        Self {
            user_id: user.id,
            user_name: user.name.to_string(),
            display_name: user.profile.display_name,
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
            description: role.profile.description,
            attach_date: at.to_string(),
        }
    }
}
