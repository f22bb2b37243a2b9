//! `DetachPolicyFromRole`: a role has a policy no longer.

use edgeseal_core::identity::{PolicyRef, RoleName};

use super::{
    error::{self, Error},
    parameters,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct DetachPolicyFromRole;

impl Operation for DetachPolicyFromRole {
    type Params = (RoleName, PolicyRef);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingRoleName,
        Code::RoleNameChars,
        Code::RoleNameLength,
        Code::MissingPolicyType,
        Code::PolicyTypeValue,
        Code::MissingPolicyName,
        Code::PolicyNameChars,
        Code::PolicyNameLength,
        Code::ResourceGroupNotFound,
        Code::RoleNotFound,
        Code::PolicyNotFound,
        Code::RolePolicyNotFound,
    ];

    fn parse(params: &Params) -> Result<(RoleName, PolicyRef), Error> {
        Ok((parameters::role(params)?, parameters::policy_ref(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, policy): (RoleName, PolicyRef),
    ) -> Result<Done<Nothing>, Error> {
        error::whole_account(call)?;
        let (catalog, account) = (&context.catalog, call.account());
        let detached = catalog
            .detach_from_role(&call.deed, account, &name, &policy)
            .await;
        let revision = detached.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
