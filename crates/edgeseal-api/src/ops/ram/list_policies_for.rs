//! `ListPoliciesForUser`, `ListPoliciesForRole`: the policies that a user or role has.

use std::marker::PhantomData;

use super::{
    error::Error,
    identity::{self, RamIdentity},
    policy::AttachedPolicies,
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `ListPoliciesForUser` or `ListPoliciesForRole`.
pub struct ListPoliciesFor<N>(PhantomData<N>);

impl<N: RamIdentity> Operation for ListPoliciesFor<N> {
    type Params = N;
    type Reply = AttachedPolicies;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<N, Error> {
        Ok(N::from_params(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: N,
    ) -> Result<Success<AttachedPolicies>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let found = identity::find(catalog, account, &name).await?;
        let attached = AttachedPolicies::of(catalog, account, &found.policies).await?;
        Ok(Success::read(attached))
    }
}
