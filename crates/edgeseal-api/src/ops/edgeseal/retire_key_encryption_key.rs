//! `RetireKeyEncryptionKey`: removes a key that nothing is sealed under.

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

/// What is left to the operator.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// Sources that still hold the key and that Edgeseal does not write.
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
