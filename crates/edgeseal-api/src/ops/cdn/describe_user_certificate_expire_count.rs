//! `DescribeUserCertificateExpireCount`: how many domains need a new certificate.

use edgeseal_core::certificate::SOON_MS;
use serde::Serialize;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct DescribeUserCertificateExpireCount;

/// Domains with HTTPS on whose certificate has ended, and those whose certificate ends within 30
/// days.
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
    type Error = Trouble;

    const CODES: &'static [Code] = &[];

    fn parse(_: &Params) -> Result<(), Trouble> {
        Ok(())
    }

    async fn run(context: &Context, call: &Authorized, (): ()) -> Result<Done<Reply>, Trouble> {
        let now = call.now();
        let (expired_count, expire_within_30_days_count) = context
            .catalog
            .ending(call.account(), now, now.plus_ms(SOON_MS))
            .await?;
        let reply = Reply {
            expired_count,
            expire_within_30_days_count,
        };
        Ok(Done::read(reply))
    }
}
