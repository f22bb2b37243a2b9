//! `AttachPolicyToRole`: attaches a policy to a role.

use edgeseal_core::identity::{PolicyRef, RoleName};

use super::{
    error::{self, Error},
    parameters,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Operation, Success},
    request::ParamMap,
};

/// `AttachPolicyToRole`.
pub struct AttachPolicyToRole;

impl Operation for AttachPolicyToRole {
    type Params = (RoleName, PolicyRef);
    type Reply = EmptyReply;
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
        Code::RolePolicyAlreadyExists,
        Code::TooManyRolePolicies,
    ];

    fn parse(params: &ParamMap) -> Result<(RoleName, PolicyRef), Error> {
        Ok((parameters::role(params)?, parameters::policy_ref(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, policy): (RoleName, PolicyRef),
    ) -> Result<Success<EmptyReply>, Error> {
        error::check_resource_group(call)?;
        let (catalog, account) = (&context.catalog, call.account());
        let attached = catalog
            .attach_policy(&call.audit, account, &name, &policy)
            .await;
        let revision = attached.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
