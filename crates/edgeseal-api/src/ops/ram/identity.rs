//! Users and roles, for the operations that both have.

use edgeseal_core::{
    AccountId,
    identity::{Identity, IdentityName},
};
use edgeseal_store::{Catalog, catalog::IdentityError};
use serde::Serialize;

use super::{error::Error, parameters::InvalidParameter};
use crate::{error::StoreError, request::ParamMap};

/// The name of a user or role, as RAM's operations get it.
pub trait RamIdentity: IdentityName {
    /// The reply that shows a user or role.
    type Reply: Serialize + Send;

    /// The name that a call must give.
    ///
    /// # Errors
    /// [`InvalidParameter`].
    fn from_params(params: &ParamMap) -> Result<Self, InvalidParameter>;

    /// Shows a user or role with all that its kind has.
    fn reply(account: &AccountId, identity: Identity<Self>) -> Self::Reply;
}

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
