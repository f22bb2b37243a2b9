//! `DeleteAccessKey`: an access key is gone.

use edgeseal_core::identity::UserName;

use super::{access_key, error::Error, parameters};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct DeleteAccessKey;

impl Operation for DeleteAccessKey {
    type Params = (Option<UserName>, String);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::UserNameChars,
        Code::UserNameLength,
        Code::MissingUserAccessKeyId,
        Code::UserNotFound,
        Code::UserKeyNotFound,
        Code::LastRootAccessKey,
    ];

    fn parse(params: &Params) -> Result<(Option<UserName>, String), Error> {
        Ok((
            parameters::user_if_named(params)?,
            access_key::named(params)?,
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (named, key): (Option<UserName>, String),
    ) -> Result<Done<Nothing>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::owner(named, call)?;
        access_key::must_be(catalog, account, user.as_ref()).await?;
        let owner = access_key::key_owner(user.as_ref());
        let deleted = catalog
            .delete_access_key(&call.deed, account, owner, &key)
            .await;
        let revision = deleted.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
