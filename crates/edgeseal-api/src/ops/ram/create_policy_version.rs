//! `CreatePolicyVersion`: adds a version to a custom policy, on request as its default.

use edgeseal_core::identity::PolicyName;
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, InvalidParameter},
    policy::{self, PolicyVersionView},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{Input, Operation, Success},
    request::ParamMap,
};

/// `CreatePolicyVersion`.
pub struct CreatePolicyVersion;

/// The new version.
pub struct Params {
    name: PolicyName,
    text: String,
    as_default: bool,
    drop_oldest: bool,
}

/// The version.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    policy_version: PolicyVersionView,
}

impl Operation for CreatePolicyVersion {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        Ok(Params {
            name: parameters::custom_policy(params)?,
            text: policy::text(params)?,
            as_default: parameters::flag(params, "SetAsDefault", Code::SetAsDefaultValue)?,
            drop_oldest: drops_oldest(params)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let created = context.catalog.create_policy_version(
            &call.audit,
            call.account(),
            &params.name,
            &params.text,
            params.as_default,
            params.drop_oldest,
        );
        let committed = created.await.map_err(from_change_error::<_, Error>)?;
        let number = committed.value.number;
        let default = if params.as_default { number } else { 0 };
        let policy_version = PolicyVersionView::of(&committed.value, default);
        Ok(Success::changed_with(
            Reply { policy_version },
            committed.revision,
            None,
        ))
    }
}

/// Whether the oldest version may be deleted if the policy has the maximum number.
fn drops_oldest(params: &ParamMap) -> Result<bool, InvalidParameter> {
    const DROPS: &str = "DeleteOldestNonDefaultVersionWhenLimitExceeded";
    match params.get_non_empty("RotateStrategy") {
        None | Some("None") => Ok(false),
        Some(DROPS) => Ok(true),
        Some(other) => {
            let expected = "None or DeleteOldestNonDefaultVersionWhenLimitExceeded";
            let code = Code::RotateStrategyValue;
            Err(InvalidParameter::value(
                "RotateStrategy",
                other,
                expected,
                code,
            ))
        }
    }
}
