//! `ListAccessKeys`: the access keys of a user or of the account, oldest first.

use edgeseal_core::identity::UserName;
use serde::Serialize;

use super::{
    access_key::{self, AccessKeyView},
    error::Error,
    parameters,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `ListAccessKeys`.
pub struct ListAccessKeys;

/// Access keys, without their secrets.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    access_keys: AccessKeys,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccessKeys {
    access_key: Vec<AccessKeyView>,
}

impl Operation for ListAccessKeys {
    type Params = Option<UserName>;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Option<UserName>, Error> {
        Ok(parameters::optional_user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        named: Option<UserName>,
    ) -> Result<Success<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::resolve_user(named, call)?;
        access_key::check_user_exists(catalog, account, user.as_ref()).await?;
        let keys = catalog.access_keys_of(account, user.as_ref()).await;
        let keys = keys.map_err(StoreError::from)?;
        let access_key = keys.iter().map(AccessKeyView::without_secret).collect();
        Ok(Success::read(Reply {
            access_keys: AccessKeys { access_key },
        }))
    }
}
