//! JSON Web Key Sets (RFC 7517).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::Algorithm;

/// Largest key set, in bytes: ten times those of large providers.
pub const JWKS_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a coordinate on P-256.
const P256_COORDINATE_BYTES: usize = 32;
/// Bytes of an RSA modulus: 2048 to 8192 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The public keys of a provider (RFC 7517 §5) that can verify tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwks {
    keys: Vec<Key>,
}

/// Why parsing a key set failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwks {
    /// Longer than [`JWKS_BYTES_MAX`].
    #[error("the key set has {bytes} bytes; at most {JWKS_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Not a JSON object with a list `keys`.
    #[error("the key set is not a JSON object with a list \"keys\"")]
    Json,
    /// No key in it can verify a token.
    #[error("the key set has no key for RS256 or ES256 that has a \"kid\"")]
    Empty,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    kid: String,
    material: PublicKey,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PublicKey {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point (SEC 1 §2.3.3).
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwks {
    /// Parses a key set. Keys of other kinds, for other uses, malformed or without a `kid` are
    /// skipped, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// [`InvalidJwks`].
    pub fn parse(json: &[u8]) -> Result<Self, InvalidJwks> {
        if json.len() > JWKS_BYTES_MAX {
            let bytes = json.len();
            return Err(InvalidJwks::TooLong { bytes });
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| InvalidJwks::Json)?;
        let keys = set.keys.into_iter().filter_map(Key::from_jwk).collect();
        let set = Self { keys };
        if set.keys.is_empty() {
            return Err(InvalidJwks::Empty);
        }
        Ok(set)
    }

    /// Whether the signature of `message` verifies with the key `kid`; `None` if there is no such
    /// key for `algorithm`.
    pub(super) fn verify(
        &self,
        kid: &str,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let keys = self.keys.iter();
        let mut fitting = keys
            .filter(|key| key.kid == kid && key.material.algorithm() == algorithm)
            .peekable();
        fitting.peek()?;
        Some(fitting.any(|key| key.material.verify(message, signature)))
    }
}

impl Key {
    fn from_jwk(json: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json).ok()?;
        let to_verify = |operations: &Vec<String>| operations.iter().any(|one| one == "verify");
        let usable = jwk.used_for.as_ref().is_none_or(|used| used == "sig")
            && jwk.key_ops.as_ref().is_none_or(to_verify);
        let material = match jwk.kty.as_str() {
            "RSA" => PublicKey::rsa(&jwk.n?, &jwk.e?),
            "EC" if jwk.crv.as_deref() == Some("P-256") => PublicKey::p256(&jwk.x?, &jwk.y?),
            _ => None,
        }?;
        let name = material.algorithm().name();
        let fits = jwk.alg.as_ref().is_none_or(|alg| alg == name);
        let kid = jwk.kid.filter(|kid| !kid.is_empty() && usable && fits)?;
        Some(Self { kid, material })
    }
}

impl PublicKey {
    fn rsa(modulus: &str, exponent: &str) -> Option<Self> {
        let modulus = decode(modulus)?;
        let exponent = decode(exponent)?;
        // RFC 7518 §6.3.1.1 forbids leading zeros; some providers write one anyway.
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let modulus = modulus[zeros..].to_vec();
        let good = RSA_MODULUS_BYTES.contains(&modulus.len()) && !exponent.is_empty();
        good.then_some(Self::Rsa { modulus, exponent })
    }

    fn p256(x: &str, y: &str) -> Option<Self> {
        const UNCOMPRESSED: u8 = 4;
        let (x, y) = (decode(x)?, decode(y)?);
        let good = x.len() == P256_COORDINATE_BYTES && y.len() == P256_COORDINATE_BYTES;
        good.then(|| Self::P256([&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat()))
    }

    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
