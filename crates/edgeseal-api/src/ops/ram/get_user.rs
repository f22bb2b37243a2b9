//! `GetUser`: a user.

use edgeseal_core::identity::UserName;
use edgeseal_store::catalog::IdentityError;

use super::{error::Error, parameters, user};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Operation, StoreError, Success},
    request::ParamMap,
};

/// `GetUser`.
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

    fn parse(params: &ParamMap) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Success<user::Reply>, Error> {
        let found = context.catalog.user(call.account(), &name).await;
        let user = found.map_err(StoreError::from)?;
        let user = user.ok_or(IdentityError::NoUser(name))?;
        Ok(Success::read(user::Reply::with_last_login(user)))
    }
}
