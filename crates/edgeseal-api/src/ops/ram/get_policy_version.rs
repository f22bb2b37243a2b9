//! `GetPolicyVersion`: a version of a policy.

use edgeseal_core::identity::PolicyRef;
use edgeseal_store::catalog::IdentityError;
use serde::Serialize;

use super::{
    error::Error,
    parameters,
    policy::{AnyPolicy, PolicyVersionView},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `GetPolicyVersion`.
pub struct GetPolicyVersion;

/// The version.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy_version: PolicyVersionView,
}

impl Operation for GetPolicyVersion {
    type Params = (PolicyRef, u32);
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(PolicyRef, u32), Error> {
        Ok((
            parameters::policy_ref(params)?,
            parameters::version(params)?,
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (policy, number): (PolicyRef, u32),
    ) -> Result<Success<Reply>, Error> {
        let found = AnyPolicy::find(&context.catalog, call.account(), &policy).await?;
        let version = found.version(number).ok_or(IdentityError::NoVersion {
            policy,
            version: number,
        })?;
        Ok(Success::read(Reply {
            policy_version: version,
        }))
    }
}
