//! `DeleteAccessKey`: deletes an access key.

use edgeseal_core::AccountId;

use super::access_key::{self, Error};
use edgeseal_store::catalog::KeyOwner;

use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeleteAccessKey`.
pub struct DeleteAccessKey;

impl Operation for DeleteAccessKey {
    type Params = (Option<AccountId>, String);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(Option<AccountId>, String), Error> {
        Ok((access_key::account(params)?, access_key::key(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (account, key): (Option<AccountId>, String),
    ) -> Result<Success<EmptyReply>, Error> {
        let account = access_key::account_or_own(&account, call);
        let deleted = context
            .catalog
            .delete_access_key(&call.audit, account, KeyOwner::Any, &key)
            .await;
        Ok(Success::changed(
            deleted.map_err(from_change_error::<_, Error>)?.revision,
        ))
    }
}
