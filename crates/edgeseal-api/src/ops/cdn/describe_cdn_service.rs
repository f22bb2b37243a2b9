//! `DescribeCdnService`: since when the account has the service. Nothing is charged or locked here.

use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `DescribeCdnService`.
pub struct DescribeCdnService;

/// The service.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    instance_id: String,
    opening_time: String,
    internet_charge_type: &'static str,
    changing_charge_type: &'static str,
    changing_affect_time: &'static str,
    dynamic_billing_type: &'static str,
    changing_dynamic_billing_type: &'static str,
    operation_locks: Locks,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Locks {
    lock_reason: [(); 0],
}

impl Operation for DescribeCdnService {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(_: &Context, call: &Authorized, (): ()) -> Result<Success<Reply>, StoreError> {
        let account = call.principal().owner();
        Ok(Success::read(Reply {
            instance_id: account.id.to_string(),
            opening_time: account.created.to_string(),
            internet_charge_type: "PayByTraffic",
            changing_charge_type: "PayByTraffic",
            changing_affect_time: "",
            dynamic_billing_type: "",
            changing_dynamic_billing_type: "",
            operation_locks: Locks { lock_reason: [] },
        }))
    }
}
