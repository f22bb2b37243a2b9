//! `UpdatePolicyDescription`: another description of a custom policy.

use edgeseal_core::identity::PolicyName;
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, DESCRIPTION_MAX},
    policy::{AnyPolicy, Shown},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct UpdatePolicyDescription;

/// The policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy: Shown,
}

impl Operation for UpdatePolicyDescription {
    type Params = (PolicyName, String);
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingPolicyName,
        Code::PolicyNameChars,
        Code::PolicyNameLength,
        Code::NewDescriptionLength,
        Code::PolicyNotFound,
    ];

    fn parse(params: &Params) -> Result<(PolicyName, String), Error> {
        let code = Code::NewDescriptionLength;
        let description = parameters::text(params, "NewDescription", DESCRIPTION_MAX, code)?;
        Ok((parameters::policy(params)?, description.unwrap_or_default()))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, description): (PolicyName, String),
    ) -> Result<Done<Reply>, Error> {
        let catalog = &context.catalog;
        let described = catalog.describe_policy(&call.deed, call.account(), &name, &description);
        let committed = described.await.map_err(refused_or::<_, Error>)?;
        let policy = AnyPolicy::Custom(Box::new(committed.value)).shown();
        Ok(Done::with(Reply { policy }, committed.revision, None))
    }
}
