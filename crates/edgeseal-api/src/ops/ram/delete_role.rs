//! `DeleteRole`: deletes a role without policies.

use edgeseal_core::identity::RoleName;

use super::{error::Error, parameters};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Operation, Success},
    request::ParamMap,
};

/// `DeleteRole`.
pub struct DeleteRole;

impl Operation for DeleteRole {
    type Params = RoleName;
    type Reply = EmptyReply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingRoleName,
        Code::RoleNameChars,
        Code::RoleNameLength,
        Code::RoleNotFound,
        Code::RoleHasPolicies,
    ];

    fn parse(params: &ParamMap) -> Result<RoleName, Error> {
        Ok(parameters::role(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: RoleName,
    ) -> Result<Success<EmptyReply>, Error> {
        let catalog = &context.catalog;
        let deleted = catalog
            .delete_identity(&call.audit, call.account(), &name)
            .await;
        let revision = deleted.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
