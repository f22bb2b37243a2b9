//! `UpdatePolicyDescription`: changes the description of a custom policy.

use edgeseal_core::identity::PolicyName;
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, DESCRIPTION_MAX},
    policy::{AnyPolicy, PolicyView},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{Input, Operation, Success},
};

/// `UpdatePolicyDescription`.
pub struct UpdatePolicyDescription;

/// The policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy: PolicyView,
}

impl Operation for UpdatePolicyDescription {
    type Params = (PolicyName, String);
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(PolicyName, String), Error> {
        let code = Code::NewDescriptionLength;
        let description = parameters::text(params, "NewDescription", DESCRIPTION_MAX, code)?;
        Ok((
            parameters::custom_policy(params)?,
            description.unwrap_or_default(),
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, description): (PolicyName, String),
    ) -> Result<Success<Reply>, Error> {
        let catalog = &context.catalog;
        let described =
            catalog.set_policy_description(&call.audit, call.account(), &name, &description);
        let committed = described.await.map_err(from_change_error::<_, Error>)?;
        let policy = AnyPolicy::Custom(Box::new(committed.value)).view();
        Ok(Success::changed_with(
            Reply { policy },
            committed.revision,
            None,
        ))
    }
}
