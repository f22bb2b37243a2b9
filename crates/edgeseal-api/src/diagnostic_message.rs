//! The diagnosis of a denied call, for the account that owns the resources. It is sealed: the
//! denied caller learns no policy names, and can hand it to somebody who may decode it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::Secret;
use edgeseal_store::{Key, Keyring};
use serde::{Deserialize, Serialize};

use crate::error::AccessDenied;

/// The diagnosis of a denied call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticMessage {
    /// What the caller gets in plaintext.
    #[serde(rename = "denied")]
    pub access_denied: AccessDenied,
    /// The resource.
    pub resource: String,
    /// The name of the policy that denied it, if its kind has names.
    pub policy: Option<String>,
    /// The reason as a sentence.
    pub reason: String,
}

impl DiagnosticMessage {
    /// The sealed form.
    #[must_use]
    pub fn encode(&self, keyring: &Keyring) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        STANDARD.encode(keyring.seal(&Secret::new(json), &Key::diagnosis()))
    }

    /// Decodes a sealed diagnosis; `None` if it was not issued here.
    #[must_use]
    pub fn decode(text: &str, keyring: &Keyring) -> Option<Self> {
        let sealed = STANDARD.decode(text).ok()?;
        let json = keyring.open(&sealed, &Key::diagnosis()).ok()?;
        serde_json::from_slice(json.expose()).ok()
    }
}
