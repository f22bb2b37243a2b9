//! Sessions of roles, and the security tokens that carry them.
//!
//! A token contains the whole session, sealed under the active key-encryption key, so a session
//! needs no record in the store and every API node with the keyring can read it. No other party can
//! read or create one. The plaintext is `1 ‖ fields (postcard)`; the token is its sealed form (see
//! [`crate::seal`]) in base64url without padding (RFC 4648 §5). A token becomes invalid when its
//! key leaves the keyring, even before it expires.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use edgeseal_core::{AccountId, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Key, Keyring, random, seal::UnsealError};

/// Longest token that is decoded, in characters: a session policy of 2,048 characters of four
/// bytes, names, and some margin.
pub const TOKEN_CHARS_MAX: usize = 16 * 1024;

/// A session of a role, with its temporary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The account that the role belongs to.
    pub account: AccountId,
    /// The role's name.
    pub role: String,
    /// The role's ID: a role that is recreated under the same name has another one.
    pub role_id: String,
    /// The session's name, chosen by the principal that assumed the role.
    pub name: String,
    /// The session policy, as it was written.
    pub policy: Option<String>,
    /// When it expires (exclusive).
    pub expires: Timestamp,
    /// The temporary access key ID: `STS.` and letters and digits.
    pub access_key: String,
    /// The temporary key's secret: letters and digits.
    pub secret: Secret,
}

/// Why a string is not a security token of this Edgeseal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is longer than [`TOKEN_CHARS_MAX`].
    #[error("it is longer than {TOKEN_CHARS_MAX} characters")]
    TooLong,
    /// It is not base64url without padding.
    #[error("it is not base64url")]
    Encoding,
    /// It was not sealed here, was changed, or its key-encryption key is gone.
    #[error(transparent)]
    Sealed(#[from] UnsealError),
    /// It was sealed here, but is not a token or has another version.
    #[error("it was made by another release")]
    UnsupportedVersion,
}

/// The serialized fields. Their order is the format: changing it needs another version.
#[derive(Serialize, Deserialize)]
struct TokenPayload<'a> {
    account: AccountId,
    role: &'a str,
    role_id: &'a str,
    name: &'a str,
    policy: Option<&'a str>,
    expires: Timestamp,
    access_key: &'a str,
    secret: &'a [u8],
}

const VERSION: u8 = 1;

/// A new temporary key: its ID and its secret, of 143 and 262 random bits.
#[must_use]
pub fn temporary_key() -> (String, Secret) {
    let access_key = format!("STS.{}", random::text::<24>());
    (access_key, Secret::from(random::text::<44>()))
}

impl Session {
    /// The security token: letters, digits, `-` and `_`.
    #[must_use]
    pub fn seal(&self, keyring: &Keyring) -> String {
        URL_SAFE_NO_PAD.encode(keyring.seal(&self.plain(), &Key::security_token()))
    }

    /// Decodes a security token. The caller checks whether the session has expired, and whether the
    /// token belongs to the key that signed the call.
    ///
    /// # Errors
    /// [`InvalidToken`] unless [`Session::seal`] made exactly this token under a key of the
    /// keyring.
    pub fn open(token: &str, keyring: &Keyring) -> Result<Self, InvalidToken> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(InvalidToken::TooLong);
        }
        let sealed = URL_SAFE_NO_PAD.decode(token);
        let sealed = sealed.map_err(|_| InvalidToken::Encoding)?;
        let plain = keyring.open(&sealed, &Key::security_token())?;
        let Some((&VERSION, rest)) = plain.expose().split_first() else {
            return Err(InvalidToken::UnsupportedVersion);
        };
        let (fields, rest) = postcard::take_from_bytes::<TokenPayload<'_>>(rest)
            .map_err(|_| InvalidToken::UnsupportedVersion)?;
        if !rest.is_empty() {
            return Err(InvalidToken::UnsupportedVersion);
        }
        Ok(Self {
            account: fields.account,
            role: fields.role.to_owned(),
            role_id: fields.role_id.to_owned(),
            name: fields.name.to_owned(),
            policy: fields.policy.map(str::to_owned),
            expires: fields.expires,
            access_key: fields.access_key.to_owned(),
            secret: Secret::new(fields.secret.to_vec()),
        })
    }

    fn plain(&self) -> Secret {
        let policy = self.policy.as_deref();
        let fields = TokenPayload {
            account: self.account.clone(),
            role: &self.role,
            role_id: &self.role_id,
            name: &self.name,
            policy,
            expires: self.expires,
            access_key: &self.access_key,
            secret: self.secret.expose(),
        };
        let texts = [
            self.account.as_str(),
            &self.role,
            &self.role_id,
            &self.name,
            policy.unwrap_or_default(),
            &self.access_key,
        ];
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        // A length of at most ten bytes before each string, and the time. A buffer that never grows
        // leaves no copy of the secret behind.
        let room = 1 + bytes + self.secret.expose().len() + 10 * (texts.len() + 3);
        let mut buffer = Zeroizing::new(vec![0; room]);
        buffer[0] = VERSION;
        let written = postcard::to_slice(&fields, &mut buffer[1..])
            .expect("the buffer has room for every field")
            .len();
        Secret::new(buffer[..=written].to_vec())
    }
}

#[cfg(test)]
mod tests;
