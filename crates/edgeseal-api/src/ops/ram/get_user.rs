//! `GetUser`: a user.

use edgeseal_core::identity::UserName;
use edgeseal_store::catalog::IdentityRefused;

use super::{error::Error, parameters, user};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct GetUser;

impl Operation for GetUser {
    type Params = UserName;
    type Reply = user::Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingUserName,
        Code::UserNameChars,
        Code::UserNameLength,
        Code::UserNotFound,
    ];

    fn parse(params: &Params) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Done<user::Reply>, Error> {
        let found = context.catalog.user(call.account(), &name).await;
        let user = found.map_err(Trouble::from)?;
        let user = user.ok_or(IdentityRefused::NoUser(name))?;
        Ok(Done::read(user::Reply::whole(user)))
    }
}
