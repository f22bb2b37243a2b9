//! `UpdateAccount`: changes the quotas of an account, and whether it may have private origins.

use edgeseal_core::{AccountId, domain::Environment};
use edgeseal_store::catalog::{AccountUpdate, PrivateOriginsOverride};

use super::access_key::{Error, account, account_or_own, quotas};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `UpdateAccount`.
pub struct UpdateAccount;

/// The account and the changes.
pub struct Params {
    account: Option<AccountId>,
    update: AccountUpdate,
}

impl Operation for UpdateAccount {
    type Params = Params;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let account = account(params)?;
        let private_origins = match params.get_non_empty("PrivateOrigins") {
            None => None,
            Some("allowed") => Some(PrivateOriginsOverride::Allowed),
            Some("refused") => Some(PrivateOriginsOverride::Refused),
            Some("default") => Some(PrivateOriginsOverride::Inherit),
            Some(_) => return Err(Error::PrivateOrigins),
        };
        let quotas = quotas(params)?;
        if private_origins.is_none() && quotas.is_empty() {
            return Err(Error::NoChange);
        }
        let update = AccountUpdate {
            private_origins,
            quotas,
        };
        Ok(Params { account, update })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<EmptyReply>, Error> {
        let account = account_or_own(&params.account, call);
        let catalog = &context.catalog;
        let updated = catalog.update_account(&call.audit, account, &params.update);
        let revision = updated.await.map_err(from_change_error::<_, Error>)?;
        Ok(Success::served(revision, Environment::Production))
    }
}
