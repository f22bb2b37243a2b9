//! `CreatePolicyVersion`: a custom policy says something else, now or once it is told to.

use edgeseal_core::identity::PolicyName;
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, BadParameter},
    policy::{self, ShownVersion},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct CreatePolicyVersion;

/// What the policy is to say.
pub struct Wanted {
    name: PolicyName,
    text: String,
    as_default: bool,
    drop_oldest: bool,
}

/// The version.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy_version: ShownVersion,
}

impl Operation for CreatePolicyVersion {
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
        Code::SetAsDefaultValue,
        Code::RotateStrategyValue,
        Code::PolicyNotFound,
        Code::TooManyPolicyVersions,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        Ok(Wanted {
            name: parameters::policy(params)?,
            text: policy::text(params)?,
            as_default: parameters::flag(params, "SetAsDefault", Code::SetAsDefaultValue)?,
            drop_oldest: drops_oldest(params)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Reply>, Error> {
        let created = context.catalog.create_policy_version(
            &call.deed,
            call.account(),
            &wanted.name,
            &wanted.text,
            wanted.as_default,
            wanted.drop_oldest,
        );
        let committed = created.await.map_err(refused_or::<_, Error>)?;
        let number = committed.value.number;
        let default = if wanted.as_default { number } else { 0 };
        let policy_version = ShownVersion::of(&committed.value, default);
        Ok(Done::with(
            Reply { policy_version },
            committed.revision,
            None,
        ))
    }
}

/// Whether an old version may go to make room.
fn drops_oldest(params: &Params) -> Result<bool, BadParameter> {
    const DROPS: &str = "DeleteOldestNonDefaultVersionWhenLimitExceeded";
    match params.given("RotateStrategy") {
        None | Some("None") => Ok(false),
        Some(DROPS) => Ok(true),
        Some(other) => {
            let expected = "None or DeleteOldestNonDefaultVersionWhenLimitExceeded";
            let code = Code::RotateStrategyValue;
            Err(BadParameter::value("RotateStrategy", other, expected, code))
        }
    }
}
