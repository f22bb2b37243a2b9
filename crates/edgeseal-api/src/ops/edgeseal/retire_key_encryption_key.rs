//! `RetireKeyEncryptionKey`: removes a key under which no record is sealed.

use edgeseal_store::seal::KeyId;
use serde::Serialize;

use super::key_encryption_key::{self, Error, key_encryption, record};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `RetireKeyEncryptionKey`.
pub struct RetireKeyEncryptionKey;

/// What remains for the operator to do.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// Sources that still hold the key, because Edgeseal does not write to them.
    still_in: Vec<String>,
}

impl Operation for RetireKeyEncryptionKey {
    type Params = KeyId;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<KeyId, Error> {
        key_encryption_key::key(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        key: KeyId,
    ) -> Result<Success<Reply>, Error> {
        let keeper = key_encryption(context)?;
        let still_in = keeper.retire(key).await?;
        let note = format!("key {key} opens nothing any more");
        let recorded = record(context, call, &note).await?;
        Ok(Success::changed_with(
            Reply { still_in },
            recorded.revision,
            None,
        ))
    }
}
