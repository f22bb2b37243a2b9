//! `UpdateAccount`: what the operator allows an account.

use edgeseal_core::{AccountId, domain::Environment};
use edgeseal_store::catalog::{AccountUpdate, PrivateOriginsOf};

use super::access_key::{Error, account, account_or_own, quotas};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct UpdateAccount;

/// Which account, and what changes.
pub struct Wanted {
    account: Option<AccountId>,
    update: AccountUpdate,
}

impl Operation for UpdateAccount {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidAccountId,
        Code::InvalidPrivateOrigins,
        Code::InvalidQuota,
        Code::AccountNotFound,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        let account = account(params)?;
        let private_origins = match params.given("PrivateOrigins") {
            None => None,
            Some("allowed") => Some(PrivateOriginsOf::Allowed),
            Some("refused") => Some(PrivateOriginsOf::Refused),
            Some("default") => Some(PrivateOriginsOf::Installation),
            Some(_) => return Err(Error::PrivateOrigins),
        };
        let quotas = quotas(params)?;
        if private_origins.is_none() && quotas.is_empty() {
            return Err(Error::Nothing);
        }
        let update = AccountUpdate {
            private_origins,
            quotas,
        };
        Ok(Wanted { account, update })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        let account = account_or_own(&wanted.account, call);
        let catalog = &context.catalog;
        let updated = catalog.update_account(&call.deed, account, &wanted.update);
        let revision = updated.await.map_err(refused_or::<_, Error>)?;
        Ok(Done::served(revision, Environment::Production))
    }
}
