//! `GetUser`: a user.

use edgeseal_core::identity::UserName;

use super::{error::Error, identity_lookup, parameters, user};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `GetUser`.
pub struct GetUser;

impl Operation for GetUser {
    type Params = UserName;
    type Reply = user::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Success<user::Reply>, Error> {
        let user = identity_lookup::find(&context.catalog, call.account(), &name).await?;
        Ok(Success::read(user::Reply::with_last_login(user)))
    }
}
