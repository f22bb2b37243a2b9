//! `RetireKeyEncryptionKey`: removes a key that nothing is sealed under.

use edgeseal_store::seal::KeyId;
use serde::Serialize;

use super::key_encryption_key::{self, Error, key_encryption, record};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Operation, Success},
    request::ParamMap,
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

    const CODES: &'static [Code] = &[
        Code::MissingKeyId,
        Code::InvalidKeyId,
        Code::ResealInProgress,
        Code::KeySourceUnusable,
        Code::KeyEncryptionKeyInUse,
        Code::KeyEncryptionKeyNotFound,
    ];

    fn parse(params: &ParamMap) -> Result<KeyId, Error> {
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
