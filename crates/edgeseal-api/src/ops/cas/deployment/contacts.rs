//! `ListContact`: an empty list, because nobody is notified. Clients call it before they create a
//! job.

use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
    ops::paging::{InvalidPage, Page, PageParamNames},
};

/// `ListContact`.
pub struct ListContact;

/// An empty page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    current_page: usize,
    show_size: usize,
    total_count: usize,
    contact_list: [(); 0],
}

impl Operation for ListContact {
    type Params = Page;
    type Reply = Reply;
    type Error = InvalidPage;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Page, InvalidPage> {
        Page::parse_with(PageParamNames::CurrentShow, params, 20, 100)
    }

    async fn run(_: &Context, _: &Authorized, page: Page) -> Result<Success<Reply>, InvalidPage> {
        Ok(Success::read(Reply {
            current_page: page.number,
            show_size: page.size,
            total_count: 0,
            contact_list: [],
        }))
    }
}
