//! `ListAccessKeys`: the access keys of a user or of the account, oldest first.

use edgeseal_core::identity::UserName;
use serde::Serialize;

use super::{
    access_key::{self, Shown},
    error::Error,
    parameters,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
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
    access_key: Vec<Shown>,
}

impl Operation for ListAccessKeys {
    type Params = Option<UserName>;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::UserNameChars,
        Code::UserNameLength,
        Code::UserNotFound,
    ];

    fn parse(params: &Params) -> Result<Option<UserName>, Error> {
        Ok(parameters::user_if_named(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        named: Option<UserName>,
    ) -> Result<Done<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let user = access_key::owner(named, call)?;
        access_key::must_be(catalog, account, user.as_ref()).await?;
        let keys = catalog.access_keys_of(account, user.as_ref()).await;
        let keys = keys.map_err(Trouble::from)?;
        let access_key = keys.iter().map(Shown::known).collect();
        Ok(Done::read(Reply {
            access_keys: AccessKeys { access_key },
        }))
    }
}
