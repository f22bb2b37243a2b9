//! `DetachPolicyFromRole`: detaches a policy from a role.

use edgeseal_core::identity::{PolicyRef, RoleName};

use super::{
    error::{self, Error},
    parameters,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DetachPolicyFromRole`.
pub struct DetachPolicyFromRole;

impl Operation for DetachPolicyFromRole {
    type Params = (RoleName, PolicyRef);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(RoleName, PolicyRef), Error> {
        Ok((parameters::role(params)?, parameters::policy_ref(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, policy): (RoleName, PolicyRef),
    ) -> Result<Success<EmptyReply>, Error> {
        error::check_resource_group(call)?;
        let (catalog, account) = (&context.catalog, call.account());
        let detached = catalog
            .detach_policy(&call.audit, account, &name, &policy)
            .await;
        let revision = detached.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
