//! `DeleteAccessKey`: deletes an access key.

use edgeseal_core::identity::UserName;

use super::{access_key, error::Error, parameters};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeleteAccessKey`.
pub struct DeleteAccessKey;

impl Operation for DeleteAccessKey {
    type Params = (Option<UserName>, String);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(Option<UserName>, String), Error> {
        Ok((
            parameters::optional_user(params)?,
            access_key::parse_key_id(params)?,
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (named, key): (Option<UserName>, String),
    ) -> Result<Success<EmptyReply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::resolve_user(named, call)?;
        access_key::check_user_exists(catalog, account, user.as_ref()).await?;
        let owner = access_key::key_owner(user.as_ref());
        let deleted = catalog
            .delete_access_key(&call.audit, account, owner, &key)
            .await;
        let revision = deleted.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
