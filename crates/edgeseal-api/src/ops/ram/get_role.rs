//! `GetRole`: a role, and who may assume it.

use edgeseal_core::identity::RoleName;

use super::{error::Error, identity_lookup, parameters, role};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `GetRole`.
pub struct GetRole;

impl Operation for GetRole {
    type Params = RoleName;
    type Reply = role::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<RoleName, Error> {
        Ok(parameters::role(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: RoleName,
    ) -> Result<Success<role::Reply>, Error> {
        let account = call.account();
        let role = identity_lookup::find(&context.catalog, account, &name).await?;
        Ok(Success::read(role::Reply::of(account, role)))
    }
}
