//! `ListPoliciesForRole`: the policies that a role has.

use edgeseal_core::identity::RoleName;

use super::{error::Error, identity_lookup, parameters, policy::AttachedPolicies};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `ListPoliciesForRole`.
pub struct ListPoliciesForRole;

impl Operation for ListPoliciesForRole {
    type Params = RoleName;
    type Reply = AttachedPolicies;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<RoleName, Error> {
        Ok(parameters::role(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: RoleName,
    ) -> Result<Success<AttachedPolicies>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let found = identity_lookup::find(catalog, account, &name).await?;
        let attached = AttachedPolicies::of(catalog, account, &found.policies).await?;
        Ok(Success::read(attached))
    }
}
