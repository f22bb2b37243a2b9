//! `SetDefaultPolicyVersion`: sets the default version of a custom policy.

use edgeseal_core::identity::PolicyName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `SetDefaultPolicyVersion`.
pub struct SetDefaultPolicyVersion;

impl Operation for SetDefaultPolicyVersion {
    type Params = (PolicyName, u32);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(PolicyName, u32), Error> {
        Ok((
            parameters::custom_policy(params)?,
            parameters::version(params)?,
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, number): (PolicyName, u32),
    ) -> Result<Success<EmptyReply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let changed = catalog.set_default_policy_version(&call.audit, account, &name, number);
        let revision = changed
            .await
            .map_err(from_change_error::<_, Error>)?
            .revision;
        Ok(Success::changed(revision))
    }
}
