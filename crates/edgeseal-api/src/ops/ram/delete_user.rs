//! `DeleteUser`: a user is gone, once it has neither access keys nor policies.

use edgeseal_core::identity::UserName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct DeleteUser;

impl Operation for DeleteUser {
    type Params = UserName;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingUserName,
        Code::UserNameChars,
        Code::UserNameLength,
        Code::UserNotFound,
        Code::UserHasAccessKeys,
        Code::UserHasPolicies,
    ];

    fn parse(params: &Params) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Done<Nothing>, Error> {
        let catalog = &context.catalog;
        let deleted = catalog.delete_user(&call.deed, call.account(), &name).await;
        let revision = deleted.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
