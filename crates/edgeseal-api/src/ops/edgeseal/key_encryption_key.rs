//! Shared by the actions on key-encryption keys: access to the key manager, the key id and errors.

use std::sync::Arc;

use edgeseal_store::{
    Fault,
    catalog::{ChangeError, Committed},
    seal::KeyId,
};

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    key_encryption::{KeyEncryption, KeyEncryptionError},
    request::ParamMap,
    sanitize::sanitize,
};

/// The component that manages the keys.
pub(super) fn key_encryption(context: &Context) -> Result<&Arc<dyn KeyEncryption>, Error> {
    let none = || StoreError::Fault(Fault::new("reach the keeper of the keys: there is none"));
    Ok(context.key_encryption.as_ref().ok_or_else(none)?)
}

/// The key that the call names.
pub(super) fn key(params: &ParamMap) -> Result<KeyId, Error> {
    let given = params.get_non_empty("KeyId").ok_or(Error::NoKeyNamed)?;
    KeyId::parse(given).ok_or_else(|| Error::KeyId {
        given: sanitize(given),
    })
}

/// Writes the intended change into the audit log, and uses up the nonce.
pub(super) async fn record(
    context: &Context,
    call: &Authorized,
    note: &str,
) -> Result<Committed<()>, Error> {
    let recorded = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            draft.note(note.to_owned());
            Ok::<_, ChangeError<Error>>((draft, ()))
        });
    recorded.await.map_err(from_change_error::<_, Error>)
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No key id.
    #[error("name the key in KeyId: eight hex digits, as DescribeKeyEncryption shows them")]
    NoKeyNamed,
    /// Not a key id.
    #[error("KeyId is {given:?}; it must be eight hex digits, as DescribeKeyEncryption shows them")]
    KeyId {
        /// The value given.
        given: String,
    },
    /// The change of the keys is refused.
    #[error(transparent)]
    Refused(#[from] KeyEncryptionError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

api_error!(Error {
    NoKeyNamed => MissingKeyId,
    KeyId => InvalidKeyId,
    Refused(KeyEncryptionError::Resealing { .. }) => ResealInProgress,
    Refused(KeyEncryptionError::NoNewKey { .. }) => NoNewKeyEncryptionKey,
    Refused(KeyEncryptionError::Source { .. }) => KeySourceUnusable,
    Refused(KeyEncryptionError::Active { .. }) => KeyEncryptionKeyInUse,
    Refused(KeyEncryptionError::InUse { .. }) => KeyEncryptionKeyInUse,
    Refused(KeyEncryptionError::Unreadable { .. }) => KeyEncryptionKeyInUse,
    Refused(KeyEncryptionError::Unknown { .. }) => KeyEncryptionKeyNotFound,
    Refused(KeyEncryptionError::Fault(_)) => ServiceUnavailable,
    Store(StoreError),
}
fn detail(&self) -> Option<String> {
    match self {
        Self::Store(error) => error.detail(),
        // The cause is logged and never sent.
        Self::Refused(KeyEncryptionError::Fault(_)) => Some("the store failed".to_owned()),
        other => Some(other.to_string()),
    }
});
