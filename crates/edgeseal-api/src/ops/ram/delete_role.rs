//! `DeleteRole`: a role is gone, once it has no policies.

use edgeseal_core::identity::RoleName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct DeleteRole;

impl Operation for DeleteRole {
    type Params = RoleName;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingRoleName,
        Code::RoleNameChars,
        Code::RoleNameLength,
        Code::RoleNotFound,
        Code::RoleHasPolicies,
    ];

    fn parse(params: &Params) -> Result<RoleName, Error> {
        Ok(parameters::role(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: RoleName,
    ) -> Result<Done<Nothing>, Error> {
        let catalog = &context.catalog;
        let deleted = catalog.delete_role(&call.deed, call.account(), &name).await;
        let revision = deleted.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
