//! `DescribeRefreshQuota`, in the DCDN `DescribeDcdnRefreshQuota`: the quotas of refreshing and
//! preloading. Nothing is cached, so nothing is used; the numbers are the cloud's defaults, so that
//! a script which checks them before refreshing continues.

use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `DescribeRefreshQuota`.
pub struct DescribeRefreshQuota;

/// `DescribeDcdnRefreshQuota`.
pub struct DescribeDcdnRefreshQuota;

/// URLs per day.
pub(super) const URLS: u32 = 10_000;
/// Directories per day.
pub(super) const DIRECTORIES: u32 = 100;
/// Regular expressions per day.
const REGEXES: u32 = 20;
/// URLs without their query per day.
pub(super) const IGNORE_PARAMS: u32 = 100;
/// URLs to preload per day.
pub(super) const PRELOADS: u32 = 1000;

/// The quotas and what is left of them: numbers as strings.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    shared: Shared,
    preload_edge_quota: String,
    preload_edge_remain: String,
}

/// The members that both products have.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Shared {
    url_quota: String,
    url_remain: String,
    dir_quota: String,
    dir_remain: String,
    regex_quota: String,
    regex_remain: String,
    ignore_params_quota: String,
    ignore_params_remain: String,
    preload_quota: String,
    preload_remain: String,
    block_quota: String,
    block_remain: String,
}

impl Operation for DescribeRefreshQuota {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(_: &Context, _: &Authorized, (): ()) -> Result<Success<Reply>, StoreError> {
        Ok(Success::read(Reply {
            shared: Shared::unused(),
            preload_edge_quota: PRELOADS.to_string(),
            preload_edge_remain: PRELOADS.to_string(),
        }))
    }
}

impl Operation for DescribeDcdnRefreshQuota {
    type Params = ();
    type Reply = Shared;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(_: &Context, _: &Authorized, (): ()) -> Result<Success<Shared>, StoreError> {
        Ok(Success::read(Shared::unused()))
    }
}

impl Shared {
    fn unused() -> Self {
        Self {
            url_quota: URLS.to_string(),
            url_remain: URLS.to_string(),
            dir_quota: DIRECTORIES.to_string(),
            dir_remain: DIRECTORIES.to_string(),
            regex_quota: REGEXES.to_string(),
            regex_remain: REGEXES.to_string(),
            ignore_params_quota: IGNORE_PARAMS.to_string(),
            ignore_params_remain: IGNORE_PARAMS.to_string(),
            preload_quota: PRELOADS.to_string(),
            preload_remain: PRELOADS.to_string(),
            // Nothing can be blocked.
            block_quota: 0.to_string(),
            block_remain: 0.to_string(),
        }
    }
}
