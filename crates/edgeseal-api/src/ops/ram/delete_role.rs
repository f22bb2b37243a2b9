//! `DeleteRole`: deletes a role without policies.

use edgeseal_core::identity::RoleName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeleteRole`.
pub struct DeleteRole;

impl Operation for DeleteRole {
    type Params = RoleName;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<RoleName, Error> {
        Ok(parameters::role(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: RoleName,
    ) -> Result<Success<EmptyReply>, Error> {
        let catalog = &context.catalog;
        let deleted = catalog
            .delete_identity(&call.audit, call.account(), &name)
            .await;
        let revision = deleted.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
