//! `DescribeUserCertificateExpireCount`: the number of domains that need a new certificate.

use edgeseal_core::certificate::EXPIRY_WARNING_MS;
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `DescribeUserCertificateExpireCount`.
pub struct DescribeUserCertificateExpireCount;

/// Domains with HTTPS enabled whose certificate has expired, and those whose certificate expires
/// within 30 days.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    expired_count: usize,
    #[serde(rename = "ExpireWithin30DaysCount")]
    expire_within_30_days_count: usize,
}

impl Operation for DescribeUserCertificateExpireCount {
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
        let now = call.now();
        let (expired_count, expire_within_30_days_count) = context
            .catalog
            .count_expiring(call.account(), now, now.plus_ms(EXPIRY_WARNING_MS))
            .await?;
        let reply = Reply {
            expired_count,
            expire_within_30_days_count,
        };
        Ok(Success::read(reply))
    }
}
