//! `CreatePolicy`: a custom policy with its first version.

use edgeseal_core::identity::{Policy, PolicyName};
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, DESCRIPTION_MAX},
    policy::{self, Shown},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct CreatePolicy;

/// The policy to be.
pub struct Wanted {
    name: PolicyName,
    description: String,
    text: String,
}

/// The policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy: Shown,
}

impl Operation for CreatePolicy {
    type Params = Wanted;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingPolicyName,
        Code::PolicyNameChars,
        Code::PolicyNameLength,
        Code::MissingPolicyDocument,
        Code::PolicyDocumentLength,
        Code::MalformedPolicyDocument,
        Code::DescriptionLength,
        Code::TagValue,
        Code::PolicyAlreadyExists,
        Code::TooManyPolicies,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        parameters::no_tags(params)?;
        let name = parameters::policy(params)?;
        let code = Code::DescriptionLength;
        let description = parameters::text(params, "Description", DESCRIPTION_MAX, code)?;
        Ok(Wanted {
            name,
            description: description.unwrap_or_default(),
            text: policy::text(params)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Reply>, Error> {
        let own = Policy::new(wanted.name, wanted.description, wanted.text, call.now());
        let catalog = &context.catalog;
        let created = catalog
            .create_policy(&call.deed, call.account(), &own)
            .await;
        let revision = created.map_err(refused_or::<_, Error>)?.revision;
        let policy = Shown::made(own);
        Ok(Done::with(Reply { policy }, revision, None))
    }
}
