//! `DescribeCdnUserQuota`: what an account may have. The edge has no cache, so there is nothing to
//! refresh and to preload: those quotas are zero.

use serde::Serialize;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct DescribeCdnUserQuota;

/// The quotas.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// As many as the edge is made for; no account is cut off.
    domain_quota: u32,
    block_quota: u32,
    block_remain: u32,
    refresh_url_quota: u32,
    refresh_url_remain: u32,
    refresh_dir_quota: u32,
    refresh_dir_remain: u32,
    preload_quota: u32,
    preload_remain: u32,
    ignore_params_quota: u32,
    ignore_params_remain: u32,
}

impl Operation for DescribeCdnUserQuota {
    type Params = ();
    type Reply = Reply;
    type Error = Trouble;

    const CODES: &'static [Code] = &[];

    fn parse(_: &Params) -> Result<(), Trouble> {
        Ok(())
    }

    async fn run(_: &Context, _: &Authorized, (): ()) -> Result<Done<Reply>, Trouble> {
        Ok(Done::read(Reply {
            domain_quota: 1_000_000,
            ..Reply::default()
        }))
    }
}
