//! Tokens of identity providers: who stands behind a token that a provider issued.
//!
//! An OpenID Connect ID token is a JSON Web Token (RFC 7519) in a compact JSON Web Signature (RFC
//! 7515). It is believed only if a key of the configured provider signed it with RS256 or ES256, and
//! the key is of the kind that the algorithm needs: whatever else a token says of how it is to be
//! checked (`none`, an HMAC, a key or an address in its header) counts for nothing.
//!
//! The order is: shape, algorithm, key, signature, and only then what the token claims.

mod jwks;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{AccountId, Timestamp};

pub use jwks::{InvalidJwks, JWKS_BYTES_MAX, Jwks};

/// Characters of the longest token, as the page of `AssumeRoleWithOIDC` has it.
pub const TOKEN_BYTES_MAX: usize = 20_000;
/// How far the provider's clock may be off, in milliseconds.
pub const LEEWAY_MS: i64 = 60_000;
/// Octets of the longest subject: OpenID Connect Core §2 allows 255 ASCII characters, and some
/// providers write whole paths.
const SUBJECT_BYTES_MAX: usize = 1024;

/// An identity provider whose tokens an account believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Whose roles it can open.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: String,
    /// The issuer, exactly as its tokens say it.
    pub issuer: String,
    /// The audiences that tokens may be made for.
    pub client_ids: Vec<String>,
    /// How long ago a token may have been issued, in milliseconds, however long it says that it is
    /// good.
    pub max_token_age_ms: i64,
}

/// What a believed token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it; the provider's issuer.
    pub issuer: String,
    /// Whom it is about.
    pub subject: String,
    /// For whom it was made: the first of its audiences that the provider has among its client ids.
    pub audience: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// Why a token is not believed. What comes before [`InvalidIdToken::Signature`] may be anybody's
/// text; such text is cut short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdToken {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token has {bytes} octets; {TOKEN_BYTES_MAX} are allowed")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// Not three parts.
    #[error("the token has {parts} parts; a signed token has 3, with dots between them")]
    Parts {
        /// How many it has.
        parts: usize,
    },
    /// A part that is not base64url without padding.
    #[error("the {part} of the token is not written in base64url")]
    Encoding {
        /// Which.
        part: Part,
    },
    /// A part that is no JSON object, or lacks what it needs.
    #[error("the {part} of the token does not read: {why}")]
    Json {
        /// Which.
        part: Part,
        /// What is wrong; none of the token's own text.
        why: &'static str,
    },
    /// Neither RS256 nor ES256.
    #[error("the token is signed with {given:?}; RS256 and ES256 are believed")]
    Algorithm {
        /// What its header says.
        given: String,
    },
    /// The header demands what is not known here (RFC 7515 §4.1.11).
    #[error("the token's header has \"crit\": it demands what is not known here")]
    Critical,
    /// The header does not name the key.
    #[error("the token's header names no key (\"kid\")")]
    NoKeyId,
    /// The provider has no such key, or has it for something else.
    #[error("the provider has no key {kid:?} for {algorithm}")]
    UnknownKey {
        /// What the header names.
        kid: String,
        /// What it would have to be for.
        algorithm: &'static str,
    },
    /// The key did not sign it.
    #[error("the signature of the token is not that of the provider's key {kid:?}")]
    Signature {
        /// The key.
        kid: String,
    },
    /// Another issuer.
    #[error("the token was issued by {given:?}, the provider's issuer is {expected:?}")]
    Issuer {
        /// The token's.
        given: String,
        /// The provider's.
        expected: String,
    },
    /// Made for somebody else.
    #[error("the token was made for {given:?}; none of it is a client id of the provider")]
    Audience {
        /// The token's audiences.
        given: Vec<String>,
    },
    /// Its time is over.
    #[error("the token ended at {at}; the server's clock says {now}")]
    Expired {
        /// When it ended.
        at: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// It was issued too long ago.
    #[error(
        "the token was issued at {at}; the provider's tokens are believed for {max_age_ms} ms, and the server's clock says {now}"
    )]
    TooOld {
        /// When it was issued.
        at: Timestamp,
        /// How long ago that may be.
        max_age_ms: i64,
        /// The server's time.
        now: Timestamp,
    },
    /// Its time has not come.
    #[error("the token is good from {at} on; the server's clock says {now}")]
    NotYetValid {
        /// From when on.
        at: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first.
    Header,
    /// The second.
    Payload,
    /// The third.
    Signature,
}

/// The two algorithms that are believed (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

/// What an ID token must have (OpenID Connect Core §2), and `nbf` (RFC 7519 §4.1.5).
#[derive(Deserialize)]
struct RawClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: serde_json::Number,
    iat: serde_json::Number,
    nbf: Option<serde_json::Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Believes a token of `provider`, or says why not.
///
/// # Errors
/// [`InvalidIdToken`]. [`InvalidIdToken::UnknownKey`] may be a matter of keys that are not the
/// newest.
pub fn verify(
    token: &str,
    keys: &Jwks,
    provider: &Provider,
    now: Timestamp,
) -> Result<Claims, InvalidIdToken> {
    if token.len() > TOKEN_BYTES_MAX {
        let octets = token.len();
        return Err(InvalidIdToken::TooLong { bytes: octets });
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        let parts = parts.len();
        return Err(InvalidIdToken::Parts { parts });
    };
    let signed = &token[..header.len() + 1 + claims.len()];
    let header: Header = decode_json(header, Part::Header)?;
    let algorithm = Algorithm::parse(&header.alg).ok_or_else(|| InvalidIdToken::Algorithm {
        given: truncate(&header.alg),
    })?;
    if header.crit.is_some() {
        return Err(InvalidIdToken::Critical);
    }
    let kid = header.kid.filter(|kid| !kid.is_empty());
    let kid = kid.ok_or(InvalidIdToken::NoKeyId)?;
    let signature = decode(signature, Part::Signature)?;
    match keys.verify(&kid, algorithm, signed.as_bytes(), &signature) {
        Some(true) => {}
        Some(false) => {
            return Err(InvalidIdToken::Signature {
                kid: truncate(&kid),
            });
        }
        None => {
            return Err(InvalidIdToken::UnknownKey {
                kid: truncate(&kid),
                algorithm: algorithm.name(),
            });
        }
    }
    check_claims(decode_json(claims, Part::Payload)?, provider, now)
}

/// What a token claims, once its signature is known to be good.
fn check_claims(
    claimed: RawClaims,
    provider: &Provider,
    now: Timestamp,
) -> Result<Claims, InvalidIdToken> {
    if claimed.iss != provider.issuer {
        return Err(InvalidIdToken::Issuer {
            given: truncate(&claimed.iss),
            expected: provider.issuer.clone(),
        });
    }
    let audiences = match claimed.aud {
        Audience::One(one) => vec![one],
        Audience::Many(several) => several,
    };
    let known = |audience: &&String| provider.client_ids.contains(audience);
    let Some(audience) = audiences.iter().find(known) else {
        let given = audiences.iter().take(5).map(|one| truncate(one)).collect();
        return Err(InvalidIdToken::Audience { given });
    };
    if claimed.sub.is_empty() || claimed.sub.len() > SUBJECT_BYTES_MAX {
        return Err(InvalidIdToken::Json {
            part: Part::Payload,
            why: "\"sub\" is empty or too long",
        });
    }
    let (expires, issued) = (
        parse_numeric_date(&claimed.exp)?,
        parse_numeric_date(&claimed.iat)?,
    );
    let starts = claimed
        .nbf
        .as_ref()
        .map_or(Ok(issued), parse_numeric_date)?;
    check_times(issued, starts, expires, provider.max_token_age_ms, now)?;
    Ok(Claims {
        issuer: claimed.iss,
        subject: claimed.sub,
        audience: audience.clone(),
        issued,
        expires,
    })
}

fn check_times(
    issued: Timestamp,
    starts: Timestamp,
    expires: Timestamp,
    within_ms: i64,
    now: Timestamp,
) -> Result<(), InvalidIdToken> {
    if now.since_ms(expires) >= LEEWAY_MS {
        return Err(InvalidIdToken::Expired { at: expires, now });
    }
    for at in [starts, issued] {
        if at.since_ms(now) > LEEWAY_MS {
            return Err(InvalidIdToken::NotYetValid { at, now });
        }
    }
    if now.since_ms(issued) >= within_ms.saturating_add(LEEWAY_MS) {
        return Err(InvalidIdToken::TooOld {
            at: issued,
            max_age_ms: within_ms,
            now,
        });
    }
    Ok(())
}

fn decode_json<T: DeserializeOwned>(text: &str, part: Part) -> Result<T, InvalidIdToken> {
    let json = decode(text, part)?;
    serde_json::from_slice(&json).map_err(|error| InvalidIdToken::Json {
        part,
        why: match error.classify() {
            serde_json::error::Category::Data => {
                "a member is missing, twice there or of another type"
            }
            _ => "it is no JSON object",
        },
    })
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, InvalidIdToken> {
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|_| InvalidIdToken::Encoding { part })
}

/// A NumericDate (RFC 7519 §2), which may have a fraction. What is after the year 9999 is a mistake
/// of units.
fn parse_numeric_date(number: &serde_json::Number) -> Result<Timestamp, InvalidIdToken> {
    const LAST: f64 = 253_402_300_799.0;
    let seconds = number.as_f64().filter(|s| (0.0..=LAST).contains(s));
    let ms = seconds.map(|seconds| (seconds * 1000.0) as i64);
    ms.map(Timestamp::from_unix_ms).ok_or(InvalidIdToken::Json {
        part: Part::Payload,
        why: "a time is no number of seconds since 1970",
    })
}

fn truncate(text: &str) -> String {
    const SHOWN_MAX: usize = 120;
    text.chars().take(SHOWN_MAX).collect()
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        [Self::Rs256, Self::Es256]
            .into_iter()
            .find(|one| one.name() == name)
    }

    /// Its name in headers and keys.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "body",
            Self::Signature => "signature",
        })
    }
}

#[cfg(test)]
mod tests;
