//! `UpdateAccessKey`: enables or disables an access key.

use edgeseal_core::AccountId;

use super::access_key::{self, Error};
use edgeseal_store::catalog::KeyOwner;

use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
    sanitize::sanitize,
};

/// `UpdateAccessKey`.
pub struct UpdateAccessKey;

/// The key and its new status.
pub struct Params {
    account: Option<AccountId>,
    key: String,
    active: bool,
}

impl Operation for UpdateAccessKey {
    type Params = Params;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let (account, key) = (access_key::account(params)?, access_key::key(params)?);
        let active = match params.get_non_empty("Status").ok_or(Error::NoStatus)? {
            "Active" => true,
            "Inactive" => false,
            other => {
                return Err(Error::Status {
                    given: sanitize(other),
                });
            }
        };
        Ok(Params {
            account,
            key,
            active,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<EmptyReply>, Error> {
        let account = access_key::account_or_own(&params.account, call);
        let updated = context
            .catalog
            .set_access_key_active(
                &call.audit,
                account,
                KeyOwner::Any,
                &params.key,
                params.active,
            )
            .await;
        Ok(Success::changed(
            updated.map_err(from_change_error::<_, Error>)?.revision,
        ))
    }
}
