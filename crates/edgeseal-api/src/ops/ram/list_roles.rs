//! `ListRoles`: the roles of the account, by name, page by page.

use serde::Serialize;

use super::{
    error::Error,
    page::{Page, Position},
    parameters,
    role::Shown,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct ListRoles;

/// A page of roles.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    position: Position,
    roles: Roles,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Roles {
    role: Vec<Shown>,
}

impl Operation for ListRoles {
    type Params = Page;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[Code::MaxItemsValue, Code::MarkerValue, Code::TagValue];

    fn parse(params: &Params) -> Result<Page, Error> {
        parameters::no_tags(params)?;
        Ok(Page::of(params)?)
    }

    async fn run(context: &Context, call: &Authorized, page: Page) -> Result<Done<Reply>, Error> {
        let account = call.account();
        let all = context.catalog.roles(account, None, usize::MAX).await;
        let roles = all.map_err(Trouble::from)?.items;
        let (roles, position) = page.cut(roles, |role| role.name.to_string());
        let shown = roles.into_iter().map(|role| Shown::listed(account, role));
        Ok(Done::read(Reply {
            position,
            roles: Roles {
                role: shown.collect(),
            },
        }))
    }
}
