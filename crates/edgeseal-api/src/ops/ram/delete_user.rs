//! `DeleteUser`: deletes a user without access keys and policies.

use edgeseal_core::identity::UserName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeleteUser`.
pub struct DeleteUser;

impl Operation for DeleteUser {
    type Params = UserName;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Success<EmptyReply>, Error> {
        let catalog = &context.catalog;
        let deleted = catalog
            .delete_identity(&call.audit, call.account(), &name)
            .await;
        let revision = deleted.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
