//! `ListPoliciesForUser`: the policies that a user has.

use edgeseal_core::identity::UserName;
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
pub struct ListPoliciesForUser;

impl Operation for ListPoliciesForUser {
    type Params = UserName;
    type Reply = Attached;
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
    ) -> Result<Done<Attached>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let found = catalog.user(account, &name).await.map_err(Trouble::from)?;
        let found = found.ok_or(IdentityRefused::NoUser(name))?;
        let attached = Attached::of(catalog, account, &found.policies).await?;
        Ok(Done::read(attached))
    }
}
