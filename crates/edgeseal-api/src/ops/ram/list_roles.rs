//! `ListRoles`: the roles of the account, by name, page by page.

use edgeseal_core::identity::Role;
use serde::Serialize;

use super::{
    error::Error,
    marker_page::{MarkerPage, PageInfo},
    parameters,
    role::RoleView,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `ListRoles`.
pub struct ListRoles;

/// A page of roles.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    position: PageInfo,
    roles: Roles,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Roles {
    role: Vec<RoleView>,
}

impl Operation for ListRoles {
    type Params = MarkerPage;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<MarkerPage, Error> {
        parameters::reject_tags(params)?;
        Ok(MarkerPage::parse(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        page: MarkerPage,
    ) -> Result<Success<Reply>, Error> {
        let account = call.account();
        let all = context.catalog.identities(account).await;
        let roles = all.map_err(StoreError::from)?;
        let (roles, position) = page.cut(roles, |role: &Role| role.name.to_string());
        let shown = roles
            .into_iter()
            .map(|role| RoleView::summary(account, role));
        Ok(Success::read(Reply {
            position,
            roles: Roles {
                role: shown.collect(),
            },
        }))
    }
}
