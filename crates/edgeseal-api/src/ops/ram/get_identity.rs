//! `GetUser`, `GetRole`: a user, or a role with its trust policy.

use std::marker::PhantomData;

use super::{
    error::Error,
    identity::{self, RamIdentity},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `GetUser` or `GetRole`.
pub struct GetIdentity<N>(PhantomData<N>);

impl<N: RamIdentity> Operation for GetIdentity<N> {
    type Params = N;
    type Reply = N::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<N, Error> {
        Ok(N::from_params(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: N,
    ) -> Result<Success<N::Reply>, Error> {
        let account = call.account();
        let found = identity::find(&context.catalog, account, &name).await?;
        Ok(Success::read(N::reply(account, found)))
    }
}
