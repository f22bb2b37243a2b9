//! `UpdateAccessKey`: an access key is switched on or off.

use edgeseal_core::identity::UserName;

use super::{
    access_key,
    error::Error,
    parameters::{self, BadParameter},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct UpdateAccessKey;

/// Which key, and what it is to be.
pub struct Wanted {
    user: Option<UserName>,
    key: String,
    active: bool,
}

impl Operation for UpdateAccessKey {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::UserNameChars,
        Code::UserNameLength,
        Code::MissingUserAccessKeyId,
        Code::MissingStatus,
        Code::StatusValue,
        Code::UserNotFound,
        Code::UserKeyNotFound,
        Code::LastRootAccessKey,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        let key = access_key::named(params)?;
        let status = parameters::required(params, "Status", Code::MissingStatus)?;
        let active = match status {
            "Active" => true,
            "Inactive" => false,
            other => {
                let expected = "Active or Inactive";
                let bad = BadParameter::value("Status", other, expected, Code::StatusValue);
                return Err(bad.into());
            }
        };
        Ok(Wanted {
            user: parameters::user_if_named(params)?,
            key,
            active,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::owner(wanted.user, call)?;
        access_key::must_be(catalog, account, user.as_ref()).await?;
        let owner = access_key::key_owner(user.as_ref());
        let updated =
            catalog.set_access_key_active(&call.deed, account, owner, &wanted.key, wanted.active);
        let revision = updated.await.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
