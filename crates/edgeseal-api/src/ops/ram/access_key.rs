//! What the operations on access keys share: whose keys, and how they are shown.

use edgeseal_core::{AccountId, account::AccessKey, identity::UserName, policy::Principal};
use edgeseal_store::{
    Catalog,
    catalog::{IdentityRefused, KeyOwner, NewAccessKey},
};
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, BadParameter},
};
use crate::{authorize::Authorized, code::Code, operation::Trouble, request::Params};

/// An access key as it is shown, its secret only right after it was made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    access_key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_secret: Option<String>,
    status: &'static str,
    create_date: String,
}

impl Shown {
    pub(super) fn known(key: &AccessKey) -> Self {
        Self {
            access_key_id: key.id.clone(),
            access_key_secret: None,
            status: if key.active { "Active" } else { "Inactive" },
            create_date: key.created.to_string(),
        }
    }

    /// The only sight of a new key's secret.
    pub(super) fn new(new: &NewAccessKey) -> Self {
        let secret = String::from_utf8_lossy(new.secret.expose()).into_owned();
        Self {
            access_key_secret: Some(secret),
            ..Self::known(&new.key)
        }
    }
}

/// Which key.
pub(super) fn named(params: &Params) -> Result<String, BadParameter> {
    let code = Code::MissingUserAccessKeyId;
    let key = parameters::required(params, "UserAccessKeyId", code)?;
    Ok(key.to_owned())
}

/// Whose keys: the user's that is named, or the caller's own; `None` means the account's.
pub(super) fn owner(named: Option<UserName>, call: &Authorized) -> Result<Option<UserName>, Error> {
    if named.is_some() {
        return Ok(named);
    }
    match call.principal() {
        Principal::Account(_) => Ok(None),
        Principal::User { name, .. } => UserName::parse(name).map(Some).map_err(|_| Error::NoUser),
        Principal::Role { .. } => Err(Error::NoUser),
    }
}

/// Refuses a user that is not there.
pub(super) async fn must_be(
    catalog: &Catalog,
    account: &AccountId,
    user: Option<&UserName>,
) -> Result<(), Error> {
    let Some(name) = user else { return Ok(()) };
    match catalog.user(account, name).await.map_err(Trouble::from)? {
        Some(_) => Ok(()),
        None => Err(IdentityRefused::NoUser(name.clone()).into()),
    }
}

/// Whose key it must be.
pub(super) const fn key_owner(user: Option<&UserName>) -> KeyOwner<'_> {
    match user {
        Some(name) => KeyOwner::User(name),
        None => KeyOwner::Account,
    }
}
