//! `RotateKeyEncryptionKey`: switches to another sealing key, and reseals all records.

use serde::Serialize;

use super::key_encryption_key::{Error, key_encryption, record};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `RotateKeyEncryptionKey`.
pub struct RotateKeyEncryptionKey;

/// The new sealing key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    key_id: String,
    /// Whether it seals only once every process on the store has it.
    pending: bool,
}

impl Operation for RotateKeyEncryptionKey {
    type Params = ();
    type Reply = Reply;
    type Error = Error;

    fn parse(_: Input<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn run(context: &Context, call: &Authorized, (): ()) -> Result<Success<Reply>, Error> {
        let keeper = key_encryption(context)?;
        let active = keeper.rotate().await?;
        let pending = keeper.status().keys.first() != Some(&active);
        let note = if pending {
            format!("sealing with key {active} once every node has it")
        } else {
            format!("sealing with key {active} from now on")
        };
        let recorded = record(context, call, &note).await?;
        let reply = Reply {
            key_id: active.to_string(),
            pending,
        };
        Ok(Success::changed_with(reply, recorded.revision, None))
    }
}
