//! `DeleteAccessKey`: an access key is gone.

use edgeseal_core::AccountId;

use super::access_key::{self, Error};
use edgeseal_store::catalog::KeyOwner;

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
    type Params = (Option<AccountId>, String);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidAccountId,
        Code::MissingUserAccessKeyId,
        Code::UserAccessKeyNotFound,
        Code::LastRootAccessKey,
    ];

    fn parse(params: &Params) -> Result<(Option<AccountId>, String), Error> {
        Ok((access_key::account(params)?, access_key::key(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (account, key): (Option<AccountId>, String),
    ) -> Result<Done<Nothing>, Error> {
        let account = access_key::account_or_own(&account, call);
        let deleted = context
            .catalog
            .delete_access_key(&call.deed, account, KeyOwner::Any, &key)
            .await;
        Ok(Done::changed(
            deleted.map_err(refused_or::<_, Error>)?.revision,
        ))
    }
}
