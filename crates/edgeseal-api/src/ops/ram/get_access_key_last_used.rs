//! `GetAccessKeyLastUsed`: the hour in which an access key was last used.

use edgeseal_core::identity::UserName;
use edgeseal_store::catalog::AccountError;
use serde::Serialize;

use super::{access_key, error::Error, parameters};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `GetAccessKeyLastUsed`.
pub struct GetAccessKeyLastUsed;

/// When a key was last used.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    access_key_last_used: LastUsed,
}

/// Empty if the key was not used in the last 400 days.
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

    fn parse(Input { params, .. }: Input<'_>) -> Result<(Option<UserName>, String), Error> {
        Ok((
            parameters::optional_user(params)?,
            access_key::parse_key_id(params)?,
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (named, id): (Option<UserName>, String),
    ) -> Result<Success<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::resolve_user(named, call)?;
        access_key::check_user_exists(catalog, account, user.as_ref()).await?;
        let keys = catalog.access_keys_of(account, user.as_ref()).await;
        if !keys
            .map_err(StoreError::from)?
            .iter()
            .any(|key| key.id == id)
        {
            let account = account.clone();
            return Err(AccountError::NoKey { account, key: id }.into());
        }
        let used = context.key_uses.last_used(catalog, &id).await;
        let used = used.map_err(StoreError::from)?;
        let last_used_date = used.map(|used| used.to_string());
        Ok(Success::read(Reply {
            access_key_last_used: LastUsed { last_used_date },
        }))
    }
}
