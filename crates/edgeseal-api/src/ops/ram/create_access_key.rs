//! `CreateAccessKey`: creates a further access key of a user or of the account.

use edgeseal_core::identity::UserName;
use edgeseal_store::catalog::NewAccessKey;
use serde::Serialize;

use super::{
    access_key::{self, AccessKeyView},
    error::Error,
    parameters,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{Input, Operation, Success},
};

/// `CreateAccessKey`.
pub struct CreateAccessKey;

/// The key: the only response with its secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    access_key: AccessKeyView,
}

impl Operation for CreateAccessKey {
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
        let user = access_key::resolve_user(named, call)?;
        let key = NewAccessKey::generate(call.account().clone(), user, call.now());
        let created = context.catalog.create_access_key(&call.audit, &key).await;
        let revision = created.map_err(from_change_error::<_, Error>)?.revision;
        let access_key = AccessKeyView::with_secret(&key);
        Ok(Success::changed_with(Reply { access_key }, revision, None))
    }
}
