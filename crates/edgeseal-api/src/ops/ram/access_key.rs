//! What the operations on access keys share: whose keys, and how they are shown.

use edgeseal_core::{AccountId, account::AccessKey, identity::UserName, policy::Principal};
use edgeseal_store::{
    Catalog,
    catalog::{KeyOwner, NewAccessKey},
};
use serde::Serialize;

use super::{
    error::Error,
    identity,
    parameters::{self, InvalidParameter},
};
use crate::{authorize::Authorized, code::Code, request::ParamMap};

/// An access key as it is shown, its secret only right after it was made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccessKeyView {
    access_key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_secret: Option<String>,
    status: &'static str,
    create_date: String,
}

impl AccessKeyView {
    pub(super) fn without_secret(key: &AccessKey) -> Self {
        Self {
            access_key_id: key.id.clone(),
            access_key_secret: None,
            status: if key.active { "Active" } else { "Inactive" },
            create_date: key.created.to_string(),
        }
    }

    /// The only sight of a new key's secret.
    pub(super) fn with_secret(new: &NewAccessKey) -> Self {
        let secret = String::from_utf8_lossy(new.secret.expose()).into_owned();
        Self {
            access_key_secret: Some(secret),
            ..Self::without_secret(&new.key)
        }
    }
}

/// Which key.
pub(super) fn parse_key_id(params: &ParamMap) -> Result<String, InvalidParameter> {
    let code = Code::MissingUserAccessKeyId;
    let key = parameters::required(params, "UserAccessKeyId", code)?;
    Ok(key.to_owned())
}

/// Whose keys: the user's that is named, or the caller's own; `None` means the account's.
pub(super) fn resolve_user(
    named: Option<UserName>,
    call: &Authorized,
) -> Result<Option<UserName>, Error> {
    if named.is_some() {
        return Ok(named);
    }
    match call.principal() {
        Principal::Account(_) => Ok(None),
        Principal::User { name, .. } => UserName::parse(name)
            .map(Some)
            .map_err(|_| Error::SessionHasNoKeys),
        Principal::Role { .. } => Err(Error::SessionHasNoKeys),
    }
}

/// Refuses a user that is not there.
pub(super) async fn check_user_exists(
    catalog: &Catalog,
    account: &AccountId,
    user: Option<&UserName>,
) -> Result<(), Error> {
    if let Some(name) = user {
        identity::find(catalog, account, name).await?;
    }
    Ok(())
}

/// Whose key it must be.
pub(super) const fn key_owner(user: Option<&UserName>) -> KeyOwner<'_> {
    match user {
        Some(name) => KeyOwner::User(name),
        None => KeyOwner::Account,
    }
}
