//! `DeletePolicy`: deletes a custom policy without attachments.

use edgeseal_core::identity::PolicyName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeletePolicy`.
pub struct DeletePolicy;

impl Operation for DeletePolicy {
    type Params = (PolicyName, bool);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(PolicyName, bool), Error> {
        let name = parameters::custom_policy(params)?;
        let cascading = parameters::flag(params, "CascadingDelete", Code::CascadingDeleteValue)?;
        Ok((name, cascading))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, with_versions): (PolicyName, bool),
    ) -> Result<Success<EmptyReply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let deleted = catalog
            .delete_policy(&call.audit, account, &name, with_versions)
            .await;
        let revision = deleted.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
