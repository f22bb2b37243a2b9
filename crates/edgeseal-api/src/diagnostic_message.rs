//! Why a permission is missing, for the eyes of the account that owns the things: sealed, so that
//! whoever is refused learns no name of a policy, and hands it to somebody who may read it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::Secret;
use edgeseal_store::{Key, Keyring};
use serde::{Deserialize, Serialize};

use crate::operation::AccessDenied;

/// Why a permission is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticMessage {
    /// What the caller was told as well.
    #[serde(rename = "denied")]
    pub access_denied: AccessDenied,
    /// On what.
    pub resource: String,
    /// The policy that denied it, where policies of its kind have names.
    pub policy: Option<String>,
    /// The reason in a sentence.
    pub reason: String,
}

impl DiagnosticMessage {
    /// The sealed form.
    #[must_use]
    pub fn encode(&self, keyring: &Keyring) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        STANDARD.encode(keyring.seal(&Secret::new(json), &Key::diagnosis()))
    }

    /// The diagnosis of a sealed form that was made here.
    #[must_use]
    pub fn decode(text: &str, keyring: &Keyring) -> Option<Self> {
        let sealed = STANDARD.decode(text).ok()?;
        let json = keyring.open(&sealed, &Key::diagnosis()).ok()?;
        serde_json::from_slice(json.expose()).ok()
    }
}
