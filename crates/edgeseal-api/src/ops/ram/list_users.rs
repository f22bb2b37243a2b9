//! `ListUsers`: the users of the account, by name, page by page.

use serde::Serialize;

use super::{
    error::Error,
    page::{Page, Position},
    user::Shown,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct ListUsers;

/// A page of users.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    position: Position,
    users: Users,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Users {
    user: Vec<Shown>,
}

impl Operation for ListUsers {
    type Params = Page;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[Code::MaxItemsValue, Code::MarkerValue];

    fn parse(params: &Params) -> Result<Page, Error> {
        Ok(Page::of(params)?)
    }

    async fn run(context: &Context, call: &Authorized, page: Page) -> Result<Done<Reply>, Error> {
        let all = context
            .catalog
            .users(call.account(), None, usize::MAX)
            .await;
        let users = all.map_err(Trouble::from)?.items;
        let (users, position) = page.cut(users, |user| user.name.to_string());
        let user = users.into_iter().map(Shown::of).collect();
        Ok(Done::read(Reply {
            position,
            users: Users { user },
        }))
    }
}
