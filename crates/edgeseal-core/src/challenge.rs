//! Challenges of ACME: what a certificate authority reads at a name to see that whoever ordered a
//! certificate controls it (RFC 8555 §8.3: http-01; RFC 8737: tls-alpn-01).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::certificate::Digest;

/// The path below which http-01 responses are read (RFC 8555 §8.3); a token follows it.
pub const HTTP_01_PATH: &str = "/.well-known/acme-challenge/";
/// The only protocol that a tls-alpn-01 validation offers (RFC 8737 §4).
pub const TLS_ALPN_01_PROTOCOL: &[u8] = b"acme-tls/1";

/// Longest token. RFC 8555 §8.3 sets none; authorities use 22 to 43 characters.
const TOKEN_MAX: usize = 128;
/// Characters of a SHA-256 thumbprint in base64url without padding (RFC 8555 §8.1, RFC 7638).
const THUMBPRINT_LEN: usize = 43;

/// The token of a challenge: base64url without padding, 1 to 128 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Box<str>);

/// A token and the thumbprint of the account key, joined by a dot (RFC 8555 §8.1). Not secret: any
/// client may read it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyAuthorization(Box<str>);

/// The text is not a token, or not a key authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the challenge of the authority has not the form of RFC 8555 §8.1")]
pub struct InvalidChallenge;

impl Token {
    /// Parses a token, for example from the path of a request.
    ///
    /// # Errors
    /// [`InvalidChallenge`] for another alphabet or length.
    pub fn parse(text: &str) -> Result<Self, InvalidChallenge> {
        let well_formed = (1..=TOKEN_MAX).contains(&text.len()) && is_base64url(text);
        well_formed
            .then(|| Self(text.into()))
            .ok_or(InvalidChallenge)
    }

    /// The token of a request for [`HTTP_01_PATH`], whatever its host; `None` for any other path.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Self::parse(path.strip_prefix(HTTP_01_PATH)?).ok()
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyAuthorization {
    /// Parses a key authorization.
    ///
    /// # Errors
    /// [`InvalidChallenge`] if it is not a [`Token`], a dot and a SHA-256 thumbprint.
    pub fn parse(text: &str) -> Result<Self, InvalidChallenge> {
        let (token, thumbprint) = text.split_once('.').ok_or(InvalidChallenge)?;
        Token::parse(token)?;
        let well_formed = thumbprint.len() == THUMBPRINT_LEN && is_base64url(thumbprint);
        well_formed
            .then(|| Self(text.into()))
            .ok_or(InvalidChallenge)
    }

    /// Its token.
    #[must_use]
    pub fn token(&self) -> Token {
        Token(self.0.split('.').next().unwrap_or_default().into())
    }

    /// Its SHA-256, which a tls-alpn-01 certificate contains (RFC 8737 §3).
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The text, which is the whole body of an http-01 response.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_base64url(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl TryFrom<String> for KeyAuthorization {
    type Error = InvalidChallenge;

    fn try_from(text: String) -> Result<Self, InvalidChallenge> {
        Self::parse(&text)
    }
}

impl From<KeyAuthorization> for String {
    fn from(authorization: KeyAuthorization) -> Self {
        authorization.0.into()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_parsed_is_safe_in_a_key_and_prints_itself(text in "[-_./=a-zA-Z0-9ä]{0,140}") {
            if let Ok(token) = Token::parse(&text) {
                prop_assert!(!text.contains('/') && text.is_ascii());
                prop_assert_eq!(token.to_string(), &*text);
            }
            let _ = Token::of_path(&text);
            if let Ok(authorization) = KeyAuthorization::parse(&text) {
                prop_assert_eq!(authorization.as_str(), text);
            }
        }
    }

    const THUMBPRINT: &str = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    #[test]
    fn a_token_is_base64url_of_bounded_length() {
        assert_eq!(Token::parse(TOKEN).unwrap().as_str(), TOKEN);
        assert!(Token::parse(&"a".repeat(TOKEN_MAX)).is_ok());
        let long = "a".repeat(TOKEN_MAX + 1);
        for other in ["", "a/b", "../x", "a.b", "a=", "a+b", "a%2Fb", "ä", &long] {
            assert_eq!(Token::parse(other), Err(InvalidChallenge), "{other}");
        }
        let path = format!("{HTTP_01_PATH}{TOKEN}");
        assert_eq!(Token::of_path(&path), Token::parse(TOKEN).ok());
        assert_eq!(Token::of_path(&format!("{path}/")), None);
        assert_eq!(Token::of_path(HTTP_01_PATH), None);
    }

    #[test]
    fn a_key_authorization_is_a_token_and_a_thumbprint() {
        let text = format!("{TOKEN}.{THUMBPRINT}");
        let authorization = KeyAuthorization::parse(&text).unwrap();
        assert_eq!(authorization.token().as_str(), TOKEN);
        assert_eq!(authorization.digest(), Digest::of(text.as_bytes()));
        let long = format!("{text}a");
        let no_token = format!(".{THUMBPRINT}");
        for other in [TOKEN, &no_token, &long, "a.b", &text[1..text.len() - 1]] {
            assert!(KeyAuthorization::parse(other).is_err(), "{other}");
        }
        let json = serde_json::to_string(&authorization).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert!(serde_json::from_str::<KeyAuthorization>("\"a/b\"").is_err());
    }
}
