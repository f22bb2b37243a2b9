//! `GetAccessKeyLastUsed`: the hour in which an access key was last used.

use edgeseal_core::identity::UserName;
use edgeseal_store::catalog::AccountRefused;
use serde::Serialize;

use super::{access_key, error::Error, parameters};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct GetAccessKeyLastUsed;

/// When a key was last used.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    access_key_last_used: LastUsed,
}

/// Nothing, if the key has not been used within 400 days.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LastUsed {
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_date: Option<String>,
}

impl Operation for GetAccessKeyLastUsed {
    type Params = (Option<UserName>, String);
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::UserNameChars,
        Code::UserNameLength,
        Code::MissingUserAccessKeyId,
        Code::UserNotFound,
        Code::UserKeyNotFound,
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
        (named, id): (Option<UserName>, String),
    ) -> Result<Done<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::owner(named, call)?;
        access_key::must_be(catalog, account, user.as_ref()).await?;
        let keys = catalog.access_keys_of(account, user.as_ref()).await;
        if !keys.map_err(Trouble::from)?.iter().any(|key| key.id == id) {
            let account = account.clone();
            return Err(AccountRefused::NoKey { account, key: id }.into());
        }
        let used = context.key_uses.last(catalog, &id).await;
        let used = used.map_err(Trouble::from)?;
        let last_used_date = used.map(|used| used.to_string());
        Ok(Done::read(Reply {
            access_key_last_used: LastUsed { last_used_date },
        }))
    }
}
