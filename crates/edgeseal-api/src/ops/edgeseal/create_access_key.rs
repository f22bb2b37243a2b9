//! `CreateAccessKey`: creates a further access key of an account.

use edgeseal_core::AccountId;
use edgeseal_store::catalog::NewAccessKey;
use serde::Serialize;

use super::access_key::{self, AccessKeyView, Error};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{Change, Input, Operation, Success},
};

/// `CreateAccessKey`.
pub struct CreateAccessKey;

/// The key, in the form of RAM's response: the only response with its secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    access_key: AccessKeyView,
}

impl Operation for CreateAccessKey {
    type Params = Option<AccountId>;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Option<AccountId>, Error> {
        access_key::account(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        account: Option<AccountId>,
    ) -> Result<Success<Reply>, Error> {
        let account = access_key::account_or_own(&account, call);
        let key = NewAccessKey::generate(account.clone(), None, call.now());
        let created = context.catalog.create_access_key(&call.audit, &key).await;
        let committed = created.map_err(from_change_error::<_, Error>)?;
        let change = Some(Change {
            revision: committed.revision,
            environment: None,
        });
        Ok(Success {
            reply: Reply {
                access_key: AccessKeyView::with_secret(&key),
            },
            change,
            warnings: Vec::new(),
        })
    }
}
