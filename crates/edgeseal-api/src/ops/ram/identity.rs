//! Users and roles, for the operations that exist for both.

use edgeseal_core::{
    AccountId,
    identity::{Identity, IdentityName},
};
use edgeseal_store::{Catalog, catalog::IdentityError};
use serde::Serialize;

use super::{error::Error, parameters::InvalidParameter};
use crate::{error::StoreError, request::ParamMap};

/// The name of a user or role, as RAM's operations receive it.
pub trait RamIdentity: IdentityName {
    /// The reply that shows a user or role.
    type Reply: Serialize + Send;
    /// The users or roles of a page.
    type List: Serialize + Send;

    /// The name that the call must give.
    ///
    /// # Errors
    /// [`InvalidParameter`].
    fn from_params(params: &ParamMap) -> Result<Self, InvalidParameter>;

    /// The profile of a new user or role.
    ///
    /// # Errors
    /// [`InvalidParameter`].
    fn new_profile(params: &ParamMap) -> Result<Self::Profile, InvalidParameter>;

    /// The reply with all members of a user or role.
    fn reply(account: &AccountId, identity: Identity<Self>) -> Self::Reply;

    /// The reply for a new user or role, without the date of the last change.
    fn created(account: &AccountId, identity: Identity<Self>) -> Self::Reply;

    /// The list with these users or roles.
    fn list(account: &AccountId, identities: Vec<Identity<Self>>) -> Self::List;
}

/// Finds the user or role of this name.
///
/// # Errors
/// [`IdentityError::NotFound`], or the store failed.
pub(super) async fn find<N: IdentityName>(
    catalog: &Catalog,
    account: &AccountId,
    name: &N,
) -> Result<Identity<N>, Error> {
    let found = catalog.identity(account, name).await;
    let found = found.map_err(StoreError::from)?;
    found.ok_or_else(|| IdentityError::NotFound(name.identity_ref()).into())
}
