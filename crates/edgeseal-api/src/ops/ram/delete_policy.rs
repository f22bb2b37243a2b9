//! `DeletePolicy`: a custom policy that nobody has is gone.

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
pub struct DeletePolicy;

impl Operation for DeletePolicy {
    type Params = (PolicyName, bool);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingPolicyName,
        Code::PolicyNameChars,
        Code::PolicyNameLength,
        Code::CascadingDeleteValue,
        Code::PolicyNotFound,
        Code::PolicyOfUser,
        Code::PolicyOfRole,
        Code::PolicyHasVersions,
    ];

    fn parse(params: &Params) -> Result<(PolicyName, bool), Error> {
        let name = parameters::policy(params)?;
        let cascading = parameters::flag(params, "CascadingDelete", Code::CascadingDeleteValue)?;
        Ok((name, cascading))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, with_versions): (PolicyName, bool),
    ) -> Result<Done<Nothing>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let deleted = catalog
            .delete_policy(&call.deed, account, &name, with_versions)
            .await;
        let revision = deleted.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
