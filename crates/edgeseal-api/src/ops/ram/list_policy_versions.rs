//! `ListPolicyVersions`: the versions of a policy, oldest first.

use edgeseal_core::identity::PolicyRef;
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

/// `ListPolicyVersions`.
pub struct ListPolicyVersions;

/// The versions.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy_versions: Versions,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    policy_version: Vec<PolicyVersionView>,
}

impl Operation for ListPolicyVersions {
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
        let found = AnyPolicy::find(&context.catalog, call.account(), &policy).await?;
        let policy_version = found.versions();
        Ok(Success::read(Reply {
            policy_versions: Versions { policy_version },
        }))
    }
}
