//! `UpdateAccessKey`: enables or disables an access key.

use edgeseal_core::identity::UserName;

use super::{
    access_key,
    error::Error,
    parameters::{self, InvalidParameter},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `UpdateAccessKey`.
pub struct UpdateAccessKey;

/// The key and its new status.
pub struct Params {
    user: Option<UserName>,
    key: String,
    active: bool,
}

impl Operation for UpdateAccessKey {
    type Params = Params;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let key = access_key::parse_key_id(params)?;
        let status = parameters::required(params, "Status", Code::MissingStatus)?;
        let active = match status {
            "Active" => true,
            "Inactive" => false,
            other => {
                let expected = "Active or Inactive";
                let bad = InvalidParameter::value("Status", other, expected, Code::StatusValue);
                return Err(bad.into());
            }
        };
        Ok(Params {
            user: parameters::optional_user(params)?,
            key,
            active,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<EmptyReply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::resolve_user(params.user, call)?;
        access_key::check_user_exists(catalog, account, user.as_ref()).await?;
        let owner = access_key::key_owner(user.as_ref());
        let updated =
            catalog.set_access_key_active(&call.audit, account, owner, &params.key, params.active);
        let revision = updated
            .await
            .map_err(from_change_error::<_, Error>)?
            .revision;
        Ok(Success::changed(revision))
    }
}
