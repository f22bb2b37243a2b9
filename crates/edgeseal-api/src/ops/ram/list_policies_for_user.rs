//! `ListPoliciesForUser`: the policies that a user has.

use edgeseal_core::identity::UserName;

use super::{error::Error, identity_lookup, parameters, policy::AttachedPolicies};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `ListPoliciesForUser`.
pub struct ListPoliciesForUser;

impl Operation for ListPoliciesForUser {
    type Params = UserName;
    type Reply = AttachedPolicies;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Success<AttachedPolicies>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let found = identity_lookup::find(catalog, account, &name).await?;
        let attached = AttachedPolicies::of(catalog, account, &found.policies).await?;
        Ok(Success::read(attached))
    }
}
