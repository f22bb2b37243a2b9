//! `ListUsers`: the users of the account, by name, page by page.

use edgeseal_core::identity::User;
use serde::Serialize;

use super::{
    error::Error,
    marker_page::{MarkerPage, PageInfo},
    user::UserView,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `ListUsers`.
pub struct ListUsers;

/// A page of users.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    position: PageInfo,
    users: Users,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Users {
    user: Vec<UserView>,
}

impl Operation for ListUsers {
    type Params = MarkerPage;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<MarkerPage, Error> {
        Ok(MarkerPage::parse(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        page: MarkerPage,
    ) -> Result<Success<Reply>, Error> {
        let all = context.catalog.identities(call.account()).await;
        let users = all.map_err(StoreError::from)?;
        let (users, position) = page.cut(users, |user: &User| user.name.to_string());
        let user = users.into_iter().map(UserView::of).collect();
        Ok(Success::read(Reply {
            position,
            users: Users { user },
        }))
    }
}
