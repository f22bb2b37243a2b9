//! `GetPolicy`: a policy with its default version.

use edgeseal_core::identity::PolicyRef;
use serde::Serialize;

use super::{
    error::Error,
    parameters,
    policy::{AnyPolicy, PolicyVersionView, PolicyView},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `GetPolicy`.
pub struct GetPolicy;

/// The policy and its default version.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy: PolicyView,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_policy_version: Option<PolicyVersionView>,
}

impl Operation for GetPolicy {
    type Params = PolicyRef;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<PolicyRef, Error> {
        Ok(parameters::policy_ref(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: PolicyRef,
    ) -> Result<Success<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let policy = AnyPolicy::find(catalog, account, &wanted).await?;
        let attachments = catalog.policy_attachments(account, &wanted).await;
        Ok(Success::read(Reply {
            default_policy_version: policy.default_version(),
            policy: policy.detail(attachments.map_err(StoreError::from)?),
        }))
    }
}
