//! What the actions on key-encryption keys share: who keeps them, which key, why not.

use std::sync::Arc;

use edgeseal_store::{
    Fault,
    catalog::{ChangeError, Committed},
    seal::KeyId,
};

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    key_encryption::{KeyEncryption, KeyRefused},
    operation::{Failure, Trouble, refused_or, shown},
    request::Params,
};

/// The keeper of the keys.
pub(super) fn keeper(context: &Context) -> Result<&Arc<dyn KeyEncryption>, Error> {
    let none = || Trouble::Fault(Fault::new("reach the keeper of the keys: there is none"));
    Ok(context.key_encryption.as_ref().ok_or_else(none)?)
}

/// Which key.
pub(super) fn key(params: &Params) -> Result<KeyId, Error> {
    let given = params.given("KeyId").ok_or(Error::NoKeyNamed)?;
    KeyId::parse(given).ok_or_else(|| Error::KeyId {
        given: shown(given),
    })
}

/// Writes into the audit what is about to be done, and uses the nonce up.
pub(super) async fn record(
    context: &Context,
    call: &Authorized,
    note: &str,
) -> Result<Committed<()>, Error> {
    let recorded = context
        .catalog
        .transact(&call.deed, |mut draft| async move {
            draft.note(note.to_owned());
            Ok::<_, ChangeError<Error>>((draft, ()))
        });
    recorded.await.map_err(refused_or::<_, Error>)
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No key is named.
    #[error("name the key in KeyId: eight hex digits, as DescribeKeyEncryption shows them")]
    NoKeyNamed,
    /// No id of a key.
    #[error("KeyId is {given:?}; it must be eight hex digits, as DescribeKeyEncryption shows them")]
    KeyId {
        /// What was given.
        given: String,
    },
    /// The keeper of the keys refuses.
    #[error(transparent)]
    Refused(#[from] KeyRefused),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoKeyNamed => Code::MissingKeyId,
            Self::KeyId { .. } => Code::InvalidKeyId,
            Self::Refused(why) => refused_code(why),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            // The cause is logged and stays inside.
            Self::Refused(KeyRefused::Fault(_)) => Some("the store failed".to_owned()),
            other => Some(other.to_string()),
        }
    }
}

const fn refused_code(why: &KeyRefused) -> Code {
    match why {
        KeyRefused::Resealing { .. } => Code::ResealingUnderWay,
        KeyRefused::NoNewKey { .. } => Code::NoNewKeyEncryptionKey,
        KeyRefused::Source { .. } => Code::KeySourceUnusable,
        KeyRefused::Active { .. } | KeyRefused::InUse { .. } | KeyRefused::Unreadable { .. } => {
            Code::KeyEncryptionKeyInUse
        }
        KeyRefused::Unknown { .. } => Code::KeyEncryptionKeyNotFound,
        KeyRefused::Fault(_) => Code::ServiceUnavailable,
    }
}
