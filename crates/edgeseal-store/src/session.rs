//! Temporary keys: what a security token says.
//!
//! A token holds the whole session, sealed under the active key-encryption key, so that a session
//! needs no record in the store and every API node that has the keyring can read it. Nobody else
//! can read or make one. The plain text is `1 ‖ fields (postcard)`, the token is its sealed form
//! (see [`crate::seal`]) in base64url without padding (RFC 4648 §5). A token lasts as long as the
//! keyring holds the key that sealed it, whatever its own time says.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use edgeseal_core::{AccountId, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Key, Keyring, catalog::random_text, seal::UnsealError};

/// Characters of the longest token that is looked at: a session policy of 2,048 characters of four
/// octets, names, and some room.
pub const TOKEN_CHARS_MAX: usize = 16 * 1024;

/// One session of a role, and its temporary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The account that the role belongs to.
    pub account: AccountId,
    /// The role's name.
    pub role: String,
    /// The role's number: a role that is made anew under the same name is another one.
    pub role_id: String,
    /// The session's name, chosen by whoever assumed the role.
    pub name: String,
    /// The policy that narrows the session down, as it was given.
    pub policy: Option<String>,
    /// The first moment at which it is over.
    pub expires: Timestamp,
    /// The temporary key's public name: `STS.` and letters and digits.
    pub access_key: String,
    /// The temporary key's secret: letters and digits.
    pub secret: Secret,
}

/// Why a text is no security token of this Edgeseal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is longer than [`TOKEN_CHARS_MAX`].
    #[error("it is longer than {TOKEN_CHARS_MAX} characters")]
    TooLong,
    /// It is not base64url without padding.
    #[error("it is not written in base64url")]
    Encoding,
    /// It was not sealed here, was changed, or its key-encryption key is gone.
    #[error(transparent)]
    Sealed(#[from] UnsealError),
    /// It was sealed here and says something else, or says it as another release does.
    #[error("it was made by another release")]
    UnsupportedVersion,
}

/// The fields as they are written. The order is the format: a change needs another version.
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

/// A new temporary key: its public name and its secret, of 143 and 262 random bits.
#[must_use]
pub fn temporary_key() -> (String, Secret) {
    let access_key = format!("STS.{}", random_text::<24>());
    (access_key, Secret::from(random_text::<44>()))
}

impl Session {
    /// The security token: letters, digits, `-` and `_`.
    #[must_use]
    pub fn seal(&self, keyring: &Keyring) -> String {
        URL_SAFE_NO_PAD.encode(keyring.seal(&self.plain(), &Key::security_token()))
    }

    /// Reads a security token. Whether the session is over, and whether the token belongs to the
    /// key that signed, is for the caller to see.
    ///
    /// # Errors
    /// [`InvalidToken`] unless [`Session::seal`] made exactly this text under a key of the ring.
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
        // A length of at most ten octets before each text, and the time. One buffer that never
        // grows leaves no copy of the secret behind.
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
