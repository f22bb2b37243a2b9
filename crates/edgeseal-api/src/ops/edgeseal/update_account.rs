//! `UpdateAccount`: what the operator allows an account.

use edgeseal_core::{AccountId, domain::Environment};

use super::access_key::{Error, account, account_or_own};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct UpdateAccount;

/// Which account, and whether its origins may have addresses that are not public; `None`: as the
/// installation has it.
pub struct Wanted {
    account: Option<AccountId>,
    private_origins: Option<bool>,
}

impl Operation for UpdateAccount {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidAccountId,
        Code::InvalidPrivateOrigins,
        Code::AccountNotFound,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        let account = account(params)?;
        let private_origins = match params.given("PrivateOrigins") {
            Some("allowed") => Some(true),
            Some("refused") => Some(false),
            Some("default") => None,
            _ => return Err(Error::PrivateOrigins),
        };
        Ok(Wanted {
            account,
            private_origins,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        let account = account_or_own(&wanted.account, call);
        let private_origins = wanted.private_origins;
        let set = context
            .catalog
            .set_private_origins(&call.deed, account, private_origins);
        let revision = set.await.map_err(refused_or::<_, Error>)?;
        Ok(Done::served(revision, Environment::Production))
    }
}
