//! `RotateKeyEncryptionKey`: another key seals from now on, and what is sealed is sealed anew.

use serde::Serialize;

use super::key_encryption_key::{Error, keeper, record};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation},
    request::Params,
};

/// The operation.
pub struct RotateKeyEncryptionKey;

/// Which key seals from now on.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    key_id: String,
}

impl Operation for RotateKeyEncryptionKey {
    type Params = ();
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::ResealingUnderWay,
        Code::NoNewKeyEncryptionKey,
        Code::KeySourceUnusable,
    ];

    fn parse(_: &Params) -> Result<(), Error> {
        Ok(())
    }

    async fn run(context: &Context, call: &Authorized, (): ()) -> Result<Done<Reply>, Error> {
        let keeper = keeper(context)?;
        let active = keeper.rotate().await?;
        let note = format!("sealing with key {active} from now on");
        let recorded = record(context, call, &note).await?;
        let reply = Reply {
            key_id: active.to_string(),
        };
        Ok(Done::with(reply, recorded.revision, None))
    }
}
