//! `GetCallerIdentity`: the identity of the caller. Needs no permission.

use edgeseal_core::policy::Principal;
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `GetCallerIdentity`.
pub struct GetCallerIdentity;

/// The identity of the caller. Accounts and users have a `UserId`, sessions a `RoleId`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    identity_type: &'static str,
    account_id: String,
    arn: String,
    principal_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<String>,
}

impl Operation for GetCallerIdentity {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(_: &Context, call: &Authorized, (): ()) -> Result<Success<Reply>, StoreError> {
        Ok(Success::read(reply(call.principal())))
    }
}

fn reply(principal: &Principal) -> Reply {
    let account = principal.account_id().to_string();
    let (identity_type, principal_id, user_id, role_id) = match principal {
        Principal::Account(_) => ("Account", account.clone(), Some(account.clone()), None),
        Principal::User { id, .. } => ("RAMUser", id.clone(), Some(id.clone()), None),
        Principal::Role { id, session, .. } => {
            let principal_id = format!("{id}:{session}");
            ("AssumedRoleUser", principal_id, None, Some(id.clone()))
        }
    };
    Reply {
        identity_type,
        account_id: account,
        arn: principal.arn().to_string(),
        principal_id,
        user_id,
        role_id,
    }
}
