//! `CreatePolicy`: creates a custom policy with its first version.

use edgeseal_core::identity::{Policy, PolicyName};
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, DESCRIPTION_MAX},
    policy::{self, PolicyView},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{Input, Operation, Success},
};

/// `CreatePolicy`.
pub struct CreatePolicy;

/// The new policy.
pub struct Params {
    name: PolicyName,
    description: String,
    text: String,
}

/// The policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy: PolicyView,
}

impl Operation for CreatePolicy {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        parameters::reject_tags(params)?;
        let name = parameters::custom_policy(params)?;
        let code = Code::DescriptionLength;
        let description = parameters::text(params, "Description", DESCRIPTION_MAX, code)?;
        Ok(Params {
            name,
            description: description.unwrap_or_default(),
            text: policy::text(params)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let own = Policy::new(params.name, params.description, params.text, call.now());
        let catalog = &context.catalog;
        let created = catalog
            .create_policy(&call.audit, call.account(), &own)
            .await;
        let revision = created.map_err(from_change_error::<_, Error>)?.revision;
        let policy = PolicyView::created(own);
        Ok(Success::changed_with(Reply { policy }, revision, None))
    }
}
