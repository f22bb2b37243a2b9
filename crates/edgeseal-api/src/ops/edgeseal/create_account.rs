//! `CreateAccount`: creates an account with its first access key.

use edgeseal_core::{account::Account, quota::QuotaOverrides};
use edgeseal_store::catalog::{NewAccessKey, random_account_id};
use serde::Serialize;

use super::access_key::{AccessKeyView, Error, quotas};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{Input, Operation, Success},
};

/// `CreateAccount`.
pub struct CreateAccount;

/// The account and its key: the only response with the key's secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    account_id: String,
    account_name: String,
    access_key: AccessKeyView,
}

impl Operation for CreateAccount {
    type Params = (String, QuotaOverrides);
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(String, QuotaOverrides), Error> {
        let name = params.get_non_empty("AccountName").ok_or(Error::NoName)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.len() > 64 || !name.chars().all(plain) {
            return Err(Error::Name);
        }
        let mut chosen = QuotaOverrides::default();
        for (kind, quota) in quotas(params)? {
            chosen.set(kind, quota);
        }
        Ok((name.to_owned(), chosen))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, quotas): (String, QuotaOverrides),
    ) -> Result<Success<Reply>, Error> {
        let account = Account {
            id: random_account_id(),
            name,
            root: false,
            created: call.now(),
            private_origins: None,
            quotas,
        };
        let key = NewAccessKey::generate(account.id.clone(), None, call.now());
        let created = context
            .catalog
            .create_account(&call.audit, &account, &key)
            .await;
        let committed = created.map_err(from_change_error::<_, Error>)?;
        let reply = Reply {
            account_id: account.id.to_string(),
            account_name: account.name,
            access_key: AccessKeyView::with_secret(&key),
        };
        Ok(Success::changed_with(reply, committed.revision, None))
    }
}
