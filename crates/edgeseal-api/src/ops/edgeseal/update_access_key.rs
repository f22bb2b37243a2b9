//! `UpdateAccessKey`: an access key is switched on or off.

use edgeseal_core::AccountId;

use super::access_key::{self, Error};
use edgeseal_store::catalog::KeyOwner;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or, shown},
    request::Params,
};

/// The operation.
pub struct UpdateAccessKey;

/// Which key, and what it is to be.
pub struct Wanted {
    account: Option<AccountId>,
    key: String,
    active: bool,
}

impl Operation for UpdateAccessKey {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidAccountId,
        Code::MissingUserAccessKeyId,
        Code::MissingStatus,
        Code::InvalidStatus,
        Code::UserAccessKeyNotFound,
        Code::LastRootAccessKey,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        let (account, key) = (access_key::account(params)?, access_key::key(params)?);
        let active = match params.given("Status").ok_or(Error::NoStatus)? {
            "Active" => true,
            "Inactive" => false,
            other => {
                return Err(Error::Status {
                    given: shown(other),
                });
            }
        };
        Ok(Wanted {
            account,
            key,
            active,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        let account = access_key::account_or_own(&wanted.account, call);
        let updated = context
            .catalog
            .set_access_key_active(
                &call.deed,
                account,
                KeyOwner::Any,
                &wanted.key,
                wanted.active,
            )
            .await;
        Ok(Done::changed(
            updated.map_err(refused_or::<_, Error>)?.revision,
        ))
    }
}
