//! Parameters, views and errors, shared by the actions on accounts and access keys.

use edgeseal_core::{
    AccountId,
    account::{AccessKey, InvalidAccountId},
    quota::{InvalidQuota, Quota, QuotaKind},
};
use edgeseal_store::catalog::{AccountError, NewAccessKey};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    error::{StoreError, api_error},
    ops::quota,
    request::ParamMap,
};

/// The account; `None` means the caller's own.
pub(super) fn account(params: &ParamMap) -> Result<Option<AccountId>, Error> {
    params
        .get_non_empty("AccountId")
        .map(|text| AccountId::parse(text).map_err(Error::AccountId))
        .transpose()
}

/// The account in `account`, or the caller's own.
pub(super) fn account_or_own<'a>(
    named: &'a Option<AccountId>,
    call: &'a Authorized,
) -> &'a AccountId {
    named.as_ref().unwrap_or_else(|| call.account())
}

/// The quotas to set; `None` sets the default of the installation.
pub(super) fn quotas(params: &ParamMap) -> Result<Vec<(QuotaKind, Option<Quota>)>, Error> {
    let mut chosen = Vec::new();
    for kind in QuotaKind::ALL {
        let param = quota::parameter(kind);
        match params.get_non_empty(param) {
            None => {}
            Some(word) if word.eq_ignore_ascii_case("default") => chosen.push((kind, None)),
            Some(text) => {
                let quota = text.parse();
                let quota = quota.map_err(|reason| Error::Quota { param, reason })?;
                chosen.push((kind, Some(quota)));
            }
        }
    }
    Ok(chosen)
}

/// The access key.
pub(super) fn key(params: &ParamMap) -> Result<String, Error> {
    params
        .get_non_empty("UserAccessKeyId")
        .map(str::to_owned)
        .ok_or(Error::NoKeyNamed)
}

/// An access key in a response, with its secret only right after creation.
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

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an account id.
    #[error("AccountId: {0}")]
    AccountId(InvalidAccountId),
    /// No key is named.
    #[error("name the access key in UserAccessKeyId")]
    NoKeyNamed,
    /// No status.
    #[error("set Status to Active or Inactive")]
    NoStatus,
    /// No such status.
    #[error("Status is {given:?}; use Active or Inactive")]
    Status {
        /// The value given.
        given: String,
    },
    /// No name for the account.
    #[error("name the account in AccountName")]
    NoName,
    /// The account name is invalid.
    #[error("AccountName must have 1 to 64 letters, digits, dots, dashes or underscores")]
    Name,
    /// Not a value of PrivateOrigins.
    #[error(
        "set PrivateOrigins to allowed, refused or default: whether origins of the account may have private addresses"
    )]
    PrivateOrigins,
    /// Nothing to change.
    #[error(
        "nothing to change: give PrivateOrigins, QuotaDomains, QuotaCertificates or QuotaCsrKeys"
    )]
    NoChange,
    /// Not a quota.
    #[error("{param}: {reason}, or \"default\" for the default of the installation")]
    Quota {
        /// The parameter.
        param: &'static str,
        /// The cause.
        reason: InvalidQuota,
    },
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] AccountError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

api_error!(Error {
    AccountId => InvalidAccountId,
    NoKeyNamed => MissingUserAccessKeyId,
    NoStatus => MissingStatus,
    Status => InvalidStatus,
    NoName => MissingAccountName,
    Name => InvalidAccountName,
    PrivateOrigins | NoChange => InvalidPrivateOrigins,
    Quota => InvalidQuota,
    Refused(AccountError::NameTaken { .. }) => AccountAlreadyExists,
    Refused(AccountError::NoAccount { .. }) => AccountNotFound,
    // Only RAM's actions create keys of users.
    Refused(AccountError::NoUser { .. }) => UserAccessKeyNotFound,
    Refused(AccountError::TooManyKeys { .. }) => TooManyAccessKeys,
    Refused(AccountError::NoKey { .. }) => UserAccessKeyNotFound,
    Refused(AccountError::LastRootKey { .. }) => LastRootAccessKey,
    Store(StoreError),
});
