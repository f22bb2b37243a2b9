//! `ListUsers`, `ListRoles`: the users or roles of the account, by name, page by page.

use std::marker::PhantomData;

use edgeseal_core::identity::{Identity, IdentityKind};
use serde::Serialize;

use super::{
    error::Error,
    identity::RamIdentity,
    marker_page::{MarkerPage, PageInfo},
    parameters,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `ListUsers` or `ListRoles`.
pub struct ListIdentities<N>(PhantomData<N>);

/// A page of users or roles.
#[derive(Serialize)]
pub struct Reply<L> {
    #[serde(flatten)]
    position: PageInfo,
    #[serde(flatten)]
    list: L,
}

impl<N: RamIdentity> Operation for ListIdentities<N> {
    type Params = MarkerPage;
    type Reply = Reply<N::List>;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<MarkerPage, Error> {
        if N::KIND == IdentityKind::Role {
            parameters::reject_tags(params)?;
        }
        Ok(MarkerPage::parse(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        page: MarkerPage,
    ) -> Result<Success<Reply<N::List>>, Error> {
        let account = call.account();
        let all = context.catalog.identities(account).await;
        let all = all.map_err(StoreError::from)?;
        let (page, position) = page.cut(all, |one: &Identity<N>| one.name.to_string());
        let list = N::list(account, page);
        Ok(Success::read(Reply { position, list }))
    }
}
