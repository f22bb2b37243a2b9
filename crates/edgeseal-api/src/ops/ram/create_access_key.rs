//! `CreateAccessKey`: another access key of a user or of the account; the only sight of its secret.

use edgeseal_core::identity::UserName;
use edgeseal_store::catalog::NewAccessKey;
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
    operation::{Done, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct CreateAccessKey;

/// The key with the only sight of its secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    access_key: Shown,
}

impl Operation for CreateAccessKey {
    type Params = Option<UserName>;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::UserNameChars,
        Code::UserNameLength,
        Code::UserNotFound,
        Code::TooManyUserKeys,
    ];

    fn parse(params: &Params) -> Result<Option<UserName>, Error> {
        Ok(parameters::user_if_named(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        named: Option<UserName>,
    ) -> Result<Done<Reply>, Error> {
        let user = access_key::owner(named, call)?;
        let key = NewAccessKey::generate(call.account().clone(), user, call.now());
        let created = context.catalog.create_access_key(&call.deed, &key).await;
        let revision = created.map_err(refused_or::<_, Error>)?.revision;
        let access_key = Shown::new(&key);
        Ok(Done::with(Reply { access_key }, revision, None))
    }
}
