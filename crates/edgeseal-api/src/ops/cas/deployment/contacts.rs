//! `ListContact`: nobody is written to, so there are no contacts. Clients ask for one before they
//! make a job.

use serde::Serialize;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation},
    ops::paging::{BadPage, Page, Spelling},
    request::Params,
};

/// The operation.
pub struct ListContact;

/// An empty page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    current_page: usize,
    show_size: usize,
    total_count: usize,
    contact_list: [(); 0],
}

impl Operation for ListContact {
    type Params = Page;
    type Reply = Listed;
    type Error = BadPage;

    const CODES: &'static [Code] = &[Code::InvalidCurrentPage, Code::InvalidShowSize];

    fn parse(params: &Params) -> Result<Page, BadPage> {
        Page::spelt(Spelling::Show, params, 20, 100)
    }

    async fn run(_: &Context, _: &Authorized, page: Page) -> Result<Done<Listed>, BadPage> {
        Ok(Done::read(Listed {
            current_page: page.number,
            show_size: page.size,
            total_count: 0,
            contact_list: [],
        }))
    }
}
