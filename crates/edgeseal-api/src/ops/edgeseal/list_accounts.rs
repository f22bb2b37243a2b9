//! `ListAccounts`: all accounts with their access keys, without secrets.

use edgeseal_core::{account::Account, quota::Quota};
use edgeseal_store::{Catalog, Fault};
use serde::Serialize;

use super::access_key::{AccessKeyView, Error};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `ListAccounts`.
pub struct ListAccounts;

/// All accounts, ordered by id.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    accounts: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    account_id: String,
    account_name: String,
    root: bool,
    create_date: String,
    /// `allowed`, `refused` or `default`; see `UpdateAccount`.
    private_origins: &'static str,
    /// A number, `unlimited` or `default`; see `UpdateAccount`.
    quota_domains: String,
    quota_certificates: String,
    quota_csr_keys: String,
    access_keys: Vec<AccessKeyView>,
}

impl Operation for ListAccounts {
    type Params = ();
    type Reply = Reply;
    type Error = Error;

    fn parse(_: Input<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn run(context: &Context, _: &Authorized, (): ()) -> Result<Success<Reply>, Error> {
        let mut rows = Vec::new();
        for account in context.catalog.accounts().await.map_err(StoreError::from)? {
            rows.push(
                Row::of(&context.catalog, account)
                    .await
                    .map_err(StoreError::from)?,
            );
        }
        Ok(Success::read(Reply { accounts: rows }))
    }
}

impl Row {
    async fn of(catalog: &Catalog, account: Account) -> Result<Self, Fault> {
        let keys = catalog.access_keys_of(&account.id, None).await?;
        let chosen = |quota: Option<Quota>| {
            quota.map_or_else(|| "default".to_owned(), |quota| quota.to_string())
        };
        Ok(Self {
            account_id: account.id.to_string(),
            account_name: account.name,
            root: account.root,
            create_date: account.created.to_string(),
            private_origins: match account.private_origins {
                Some(true) => "allowed",
                Some(false) => "refused",
                None => "default",
            },
            quota_domains: chosen(account.quotas.domains),
            quota_certificates: chosen(account.quotas.certificates),
            quota_csr_keys: chosen(account.quotas.csr_keys),
            access_keys: keys.iter().map(AccessKeyView::without_secret).collect(),
        })
    }
}
