//! `DescribeCdnUserQuota`: the quotas of an account, and how much is left. The edge has no cache,
//! so refreshing and preloading use nothing.
//!
//! `DomainRemain` and the members on certificates and signing requests are additions.

use edgeseal_core::quota::{Quota, QuotaKind};
use serde::Serialize;

use super::describe_refresh_quota::{DIRECTORIES, IGNORE_PARAMS, PRELOADS, URLS};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::quota,
};

/// `DescribeCdnUserQuota`.
pub struct DescribeCdnUserQuota;

/// The quotas.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    domain_quota: u64,
    domain_remain: u64,
    certificate_quota: u64,
    certificate_remain: u64,
    csr_key_quota: u64,
    csr_key_remain: u64,
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

/// Stands for no limit: the SDKs of some languages parse signed 32-bit integers.
const UNLIMITED: u64 = i32::MAX as u64;

impl Operation for DescribeCdnUserQuota {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (): (),
    ) -> Result<Success<Reply>, StoreError> {
        let (domain_quota, domain_remain) = shown(context, call, QuotaKind::Domains).await?;
        let (certificate_quota, certificate_remain) =
            shown(context, call, QuotaKind::Certificates).await?;
        let (csr_key_quota, csr_key_remain) = shown(context, call, QuotaKind::CsrKeys).await?;
        Ok(Success::read(Reply {
            domain_quota,
            domain_remain,
            certificate_quota,
            certificate_remain,
            csr_key_quota,
            csr_key_remain,
            refresh_url_quota: URLS,
            refresh_url_remain: URLS,
            refresh_dir_quota: DIRECTORIES,
            refresh_dir_remain: DIRECTORIES,
            preload_quota: PRELOADS,
            preload_remain: PRELOADS,
            ignore_params_quota: IGNORE_PARAMS,
            ignore_params_remain: IGNORE_PARAMS,
            // Nothing can be blocked.
            ..Reply::default()
        }))
    }
}

/// The quota of this kind, and how much of it is left.
async fn shown(
    context: &Context,
    call: &Authorized,
    kind: QuotaKind,
) -> Result<(u64, u64), StoreError> {
    let quota = match quota::for_account(context, call.account(), kind).await? {
        Quota::AtMost(limit) => u64::from(limit).min(UNLIMITED),
        Quota::Unlimited => UNLIMITED,
    };
    let used = context.catalog.used(call.account(), kind).await?;
    Ok((quota, quota.saturating_sub(used)))
}
