//! Shared by the operations on access keys: the owner of the keys, and views.

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

/// An access key in a response; the secret is present only right after creation.
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

    /// The only response with a new key's secret.
    pub(super) fn with_secret(new: &NewAccessKey) -> Self {
        let secret = String::from_utf8_lossy(new.secret.expose()).into_owned();
        Self {
            access_key_secret: Some(secret),
            ..Self::without_secret(&new.key)
        }
    }
}

/// The id of the key that the call names.
pub(super) fn parse_key_id(params: &ParamMap) -> Result<String, InvalidParameter> {
    let code = Code::MissingUserAccessKeyId;
    let key = parameters::required(params, "UserAccessKeyId", code)?;
    Ok(key.to_owned())
}

/// The user whose keys the call concerns: the named one, or the caller. `None` means the account.
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

/// Refuses a user that does not exist.
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

/// The required owner of a key.
pub(super) const fn key_owner(user: Option<&UserName>) -> KeyOwner<'_> {
    match user {
        Some(name) => KeyOwner::User(name),
        None => KeyOwner::Account,
    }
}
