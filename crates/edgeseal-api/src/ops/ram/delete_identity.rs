//! `DeleteUser`, `DeleteRole`: delete a user or role that has no access keys and no policies.

use std::marker::PhantomData;

use super::{error::Error, identity::RamIdentity};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeleteUser` or `DeleteRole`.
pub struct DeleteIdentity<N>(PhantomData<N>);

impl<N: RamIdentity> Operation for DeleteIdentity<N> {
    type Params = N;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<N, Error> {
        Ok(N::from_params(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: N,
    ) -> Result<Success<EmptyReply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let deleted = catalog.delete_identity(&call.audit, account, &name).await;
        let revision = deleted.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
