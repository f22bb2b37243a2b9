//! `DescribeUserCertificateExpireCount`: how many domains need a new certificate.

use edgeseal_core::certificate::ends_soon;
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
#[derive(Default, Serialize)]
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
        let mut reply = Reply::default();
        let now = call.now();
        let each = context.catalog.each_domain(call.account(), |_, summary| {
            let Some(bound) = summary.bound.as_ref().filter(|bound| bound.enabled) else {
                return;
            };
            if bound.expires < now {
                reply.expired_count += 1;
            } else if ends_soon(bound.expires, now) {
                reply.expire_within_30_days_count += 1;
            }
        });
        each.await?;
        Ok(Done::read(reply))
    }
}
