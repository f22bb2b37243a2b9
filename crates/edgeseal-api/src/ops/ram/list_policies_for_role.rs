//! `ListPoliciesForRole`: the policies that a role has.

use edgeseal_core::identity::RoleName;
use edgeseal_store::catalog::IdentityRefused;

use super::{error::Error, parameters, policy::Attached};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct ListPoliciesForRole;

impl Operation for ListPoliciesForRole {
    type Params = RoleName;
    type Reply = Attached;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingRoleName,
        Code::RoleNameChars,
        Code::RoleNameLength,
        Code::RoleNotFound,
    ];

    fn parse(params: &Params) -> Result<RoleName, Error> {
        Ok(parameters::role(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: RoleName,
    ) -> Result<Done<Attached>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let found = catalog.role(account, &name).await.map_err(Trouble::from)?;
        let found = found.ok_or(IdentityRefused::NoRole(name))?;
        let attached = Attached::of(catalog, account, &found.policies).await?;
        Ok(Done::read(attached))
    }
}
