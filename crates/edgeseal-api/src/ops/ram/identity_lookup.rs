//! Finds the user or role that a call names.

use edgeseal_core::{
    AccountId,
    identity::{Identity, IdentityName},
};
use edgeseal_store::{Catalog, catalog::IdentityError};

use super::error::Error;
use crate::error::StoreError;

/// The user or role of this name.
///
/// # Errors
/// [`IdentityError::NotFound`], or the failure of the store.
pub(super) async fn find<N: IdentityName>(
    catalog: &Catalog,
    account: &AccountId,
    name: &N,
) -> Result<Identity<N>, Error> {
    let found = catalog.identity(account, name).await;
    let found = found.map_err(StoreError::from)?;
    found.ok_or_else(|| IdentityError::NotFound(name.identity_ref()).into())
}
