//! ID tokens of OpenID Connect providers: verification and the claims in them.
//!
//! An OpenID Connect ID token is a JSON Web Token (RFC 7519) in a compact JSON Web Signature (RFC
//! 7515). It is accepted only if a key of the configured provider signed it with RS256 or ES256,
//! and the key has the type that the algorithm needs. Anything else that the token says about its
//! own verification (`none`, an HMAC, a key or a URL in its header) is ignored.
//!
//! Checks run in this order: shape, algorithm, key, signature, and only then the claims.

mod jwks;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{AccountId, Timestamp};

pub use jwks::{InvalidJwks, JWKS_BYTES_MAX, Jwks};

/// Longest token, in bytes: the limit of the page of `AssumeRoleWithOIDC`.
pub const TOKEN_BYTES_MAX: usize = 20_000;
/// How far the provider's clock may be off, in milliseconds.
pub const LEEWAY_MS: i64 = 60_000;
/// Longest subject, in bytes: OpenID Connect Core §2 allows 255 ASCII characters, and some
/// providers write whole paths.
const SUBJECT_BYTES_MAX: usize = 1024;

/// An identity provider whose tokens an account accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The account whose roles its tokens can assume.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: String,
    /// The issuer, exactly as its tokens state it.
    pub issuer: String,
    /// The accepted audiences of its tokens.
    pub client_ids: Vec<String>,
    /// Longest accepted age of a token, in milliseconds, whatever expiry the token states.
    pub max_token_age_ms: i64,
}

/// The claims of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The issuer, equal to the provider's.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// The first of its audiences that is among the provider's client IDs.
    pub audience: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
}

/// Why a token is rejected. Errors before [`InvalidIdToken::Signature`] may quote unauthenticated
/// text, which is truncated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdToken {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token has {bytes} bytes; at most {TOKEN_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Not three parts.
    #[error("the token has {parts} parts; a signed token has 3, separated by dots")]
    Parts {
        /// How many it has.
        parts: usize,
    },
    /// A part that is not base64url without padding.
    #[error("the {part} of the token is not base64url")]
    Encoding {
        /// Which part.
        part: Part,
    },
    /// A part that is not a JSON object, or lacks a required member.
    #[error("the {part} of the token cannot be decoded: {why}")]
    Json {
        /// Which part.
        part: Part,
        /// What is wrong; it quotes none of the token.
        why: &'static str,
    },
    /// Neither RS256 nor ES256.
    #[error("the token is signed with {given:?}; RS256 and ES256 are accepted")]
    Algorithm {
        /// The `alg` of its header.
        given: String,
    },
    /// The header lists critical extensions, none of which is supported (RFC 7515 §4.1.11).
    #[error("the token's header has \"crit\": no extension is supported")]
    Critical,
    /// The header has no key ID.
    #[error("the token's header names no key (\"kid\")")]
    NoKeyId,
    /// The provider has no such key for this algorithm.
    #[error("the provider has no key {kid:?} for {algorithm}")]
    UnknownKey {
        /// The key ID of the header.
        kid: String,
        /// The algorithm that needs it.
        algorithm: &'static str,
    },
    /// The signature does not verify.
    #[error("the signature of the token does not verify with the provider's key {kid:?}")]
    Signature {
        /// The key ID.
        kid: String,
    },
    /// Another issuer.
    #[error("the token was issued by {given:?}; the provider's issuer is {expected:?}")]
    Issuer {
        /// The token's.
        given: String,
        /// The provider's.
        expected: String,
    },
    /// None of its audiences is a client ID of the provider.
    #[error("the token's audience is {given:?}; none of it is a client ID of the provider")]
    Audience {
        /// The token's audiences.
        given: Vec<String>,
    },
    /// It has expired.
    #[error("the token expired at {at}; the server's clock says {now}")]
    Expired {
        /// When it expired.
        at: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// It was issued too long ago.
    #[error(
        "the token was issued at {at}; the provider's tokens are accepted for {max_age_ms} ms, and the server's clock says {now}"
    )]
    TooOld {
        /// When it was issued.
        at: Timestamp,
        /// Longest accepted age, in milliseconds.
        max_age_ms: i64,
        /// The server's time.
        now: Timestamp,
    },
    /// It is not yet valid.
    #[error("the token is not valid before {at}; the server's clock says {now}")]
    NotYetValid {
        /// When it becomes valid.
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

/// The accepted algorithms (RFC 7518 §3.1).
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

/// The claims that an ID token must have (OpenID Connect Core §2), and `nbf` (RFC 7519 §4.1.5).
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

/// Verifies a token of `provider`.
///
/// # Errors
/// [`InvalidIdToken`]. [`InvalidIdToken::UnknownKey`] can mean that `keys` are outdated.
pub fn verify(
    token: &str,
    keys: &Jwks,
    provider: &Provider,
    now: Timestamp,
) -> Result<Claims, InvalidIdToken> {
    if token.len() > TOKEN_BYTES_MAX {
        let bytes = token.len();
        return Err(InvalidIdToken::TooLong { bytes });
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

/// Checks the claims of a token whose signature has been verified.
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
                "a member is missing, duplicated or of the wrong type"
            }
            _ => "it is not a JSON object",
        },
    })
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, InvalidIdToken> {
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|_| InvalidIdToken::Encoding { part })
}

/// A NumericDate (RFC 7519 §2), which may have a fraction. A date after the year 9999 is a mistake
/// of units.
fn parse_numeric_date(number: &serde_json::Number) -> Result<Timestamp, InvalidIdToken> {
    const LAST: f64 = 253_402_300_799.0;
    let seconds = number.as_f64().filter(|s| (0.0..=LAST).contains(s));
    let ms = seconds.map(|seconds| (seconds * 1000.0) as i64);
    ms.map(Timestamp::from_unix_ms).ok_or(InvalidIdToken::Json {
        part: Part::Payload,
        why: "a time is not a number of seconds since 1970",
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
