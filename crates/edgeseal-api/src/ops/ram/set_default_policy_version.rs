//! `SetDefaultPolicyVersion`: a custom policy says what a version of it says.

use edgeseal_core::identity::PolicyName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct SetDefaultPolicyVersion;

impl Operation for SetDefaultPolicyVersion {
    type Params = (PolicyName, u32);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingPolicyName,
        Code::PolicyNameChars,
        Code::PolicyNameLength,
        Code::MissingVersionId,
        Code::VersionIdFormat,
        Code::PolicyNotFound,
        Code::PolicyVersionNotFound,
    ];

    fn parse(params: &Params) -> Result<(PolicyName, u32), Error> {
        Ok((parameters::policy(params)?, parameters::version(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, number): (PolicyName, u32),
    ) -> Result<Done<Nothing>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let changed = catalog.set_default_policy_version(&call.deed, account, &name, number);
        let revision = changed.await.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
